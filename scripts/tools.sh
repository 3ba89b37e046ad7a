#!/usr/bin/env bash
# Builds the tools that tools/go.mod pins into the directory $1, unless they are there already. A stamp with the
# checksum of the pins tells.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
dir=$(cd "$1" && pwd)
want=$(cat tools/go.mod tools/go.sum <(go version) | sha256sum)
if [[ ! -f $dir/stamp || $(<"$dir/stamp") != "$want" ]]; then
	echo "building the pinned tools into $1 (minutes the first time, never again until a pin moves)"
	(cd tools && go build -o "$dir/" tool)
	echo "$want" >"$dir/stamp"
fi
