#!/usr/bin/env bash
# Runs every fuzz target of the module for the time $1, one after the other, and fails at the first that finds something.
set -euo pipefail
cd "$(dirname "$0")/.."
ran=0
for dir in $(go list -f '{{.Dir}}' ./...); do
	for target in $(cat "$dir"/*_test.go 2>/dev/null | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' | sort -u); do
		echo "fuzz: .${dir#"$PWD"} $target for $1"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$1" -timeout 20m "$dir"
		ran=$((ran + 1))
	done
done
echo "fuzz: $ran targets ran for $1 each"
((ran > 0))
