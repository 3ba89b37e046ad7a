#!/usr/bin/env bash
# Builds a MinIO server, for the tests of the archive, into the directory $1, from the module proxy and the sums that it vouches for:
# minutes the first time, never again until the version here moves.
set -euo pipefail
cd "$(dirname "$0")/.."
version=v0.0.0-20260212201848-7aac2a2c5b7c
mkdir -p "$1"
dir=$(cd "$1" && pwd)
if [[ ! -x $dir/minio || ! -f $dir/minio.version || $(<"$dir/minio.version") != "$version" ]]; then
	echo "building MinIO $version into $1 (minutes the first time, never again until it moves)"
	(cd / && GOFLAGS=-mod=mod GOBIN=$dir CGO_ENABLED=0 go install "github.com/minio/minio@$version")
	echo "$version" >"$dir/minio.version"
fi
