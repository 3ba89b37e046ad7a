#!/usr/bin/env bash
# Puts DuckDB for Node into the directory $1, for the test that somebody else's program reads the archive's objects.
set -euo pipefail
cd "$(dirname "$0")/.."
version=1.5.5-r.5
mkdir -p "$1"
cd "$1"
if [[ ! -d node_modules/@duckdb/node-api || ! -f version || $(<version) != "$version" ]]; then
	echo "getting DuckDB $version into $1"
	timeout 150 npm install --fetch-retries=1 --fetch-timeout=20000 --silent --no-audit --no-fund --no-save --prefix . "@duckdb/node-api@$version"
	echo "$version" >version
fi
