#!/usr/bin/env bash
# Runs every fuzz target of the module for the time $1, one after the other, and fails at the first that finds something.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp)
trap 'rm -f "$out"' EXIT
ran=0
for dir in $(go list -f '{{.Dir}}' ./...); do
	for target in $(cat "$dir"/*_test.go 2>/dev/null | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' | sort -u); do
		echo "fuzz: .${dir#"$PWD"} $target for $1"
		if go test -run '^$' -fuzz "^$target\$" -fuzztime "$1" -fuzzminimizetime 20x -timeout 20m "$dir" >"$out" 2>&1; then
			tail -n 1 "$out"
		elif grep -q 'context deadline exceeded' "$out" && ! grep -qE 'Failing input written|panic:|hung or terminated' "$out"; then
			echo "fuzz: $target found nothing; go test took the end of its time for a failure, which it does on a busy machine"
		else
			cat "$out"
			echo "fuzz: $target FAILED" >&2
			exit 1
		fi
		ran=$((ran + 1))
	done
done
echo "fuzz: $ran targets ran for $1 each"
((ran > 0))
