#!/usr/bin/env bash
# Lints the code with the pinned golangci-lint and looks for known vulnerabilities with the pinned govulncheck, both built
# into the directory $1. A vulnerability database that cannot be reached is said and is no failure; a finding is.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/tools.sh "$1"
"$1/golangci-lint" config verify
"$1/golangci-lint" run --timeout 15m ./...
out=$(mktemp)
trap 'rm -f "$out"' EXIT
if "$1/govulncheck" ./... >"$out" 2>&1; then
	tail -n 3 "$out"
elif grep -qE 'dial tcp|no such host|connection refused|i/o timeout|deadline exceeded|proxyconnect|Client.Timeout|HTTP (GET|HEAD).*status|unexpected status|certificate' "$out" &&
	! grep -q '^Vulnerability #' "$out"; then
	echo "lint: NOT CHECKED for known vulnerabilities: their database could not be reached:"
	tail -n 2 "$out"
else
	cat "$out"
	echo "lint: govulncheck failed" >&2
	exit 1
fi
echo "lint: ok"
