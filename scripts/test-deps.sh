#!/usr/bin/env bash
# Gets what the tests need beside Go: redis-cli, from Debian's redis-tools.
set -euo pipefail
command -v redis-cli >/dev/null && exit 0
if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
	echo "make test: redis-cli is missing. Install it (Debian and Ubuntu: apt-get install redis-tools; macOS: brew install redis) and try again." >&2
	exit 1
fi
echo "make test: installing redis-tools for redis-cli"
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -qq --no-install-recommends redis-tools >/dev/null 2>&1 ||
	{ apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-tools >/dev/null; }
