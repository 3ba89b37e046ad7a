#!/usr/bin/env bash
# Gets what the tests need beside Go: redis-cli, and, on Linux as root, the WebSocket clients of other people for delivery's interop tests
# (Node's ws, Python's websockets, Chromium) and what makes networks, disks and faults for the tests in chaos/. Without the latter two
# those tests are skipped; those in chaos/ fail where the first argument is "chaos".
set -euo pipefail
need() { # command, Debian's package
	command -v "$1" >/dev/null || packages+=("$2")
}
PATH=$PATH:/usr/sbin:/sbin
packages=()
need redis-cli redis-tools
if [[ $(uname) == Linux && $(id -u) == 0 ]]; then
	need ip iproute2
	need nft nftables
	need mkfs.ext4 e2fsprogs
	need strace strace
	need chromium chromium
	[[ -d /usr/share/nodejs/ws ]] || packages+=(node-ws)
	/usr/bin/python3 -c 'import websockets' 2>/dev/null || packages+=(python3-websockets)
	need npm npm # for DuckDB
elif [[ ${1:-} == chaos ]]; then
	echo "make chaos: needs Linux and root, for network namespaces and loop mounts" >&2
	exit 1
fi
others() { # what is not Debian's
	[[ $(uname) == Linux && $(id -u) == 0 && ${1:-} != chaos ]] || return 0
	scripts/duckdb.sh .cache/duckdb || echo "make test: DuckDB cannot be had; its test is skipped" >&2
}
cd "$(dirname "$0")/.."
((${#packages[@]} > 0)) || { others "$@"; exit 0; }
if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
	echo "make test: ${packages[*]} is missing. Install it (Debian and Ubuntu: apt-get install ${packages[*]}; macOS: brew install redis) and try again." >&2
	exit 1
fi
echo "make test: installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null 2>&1 ||
	{ apt-get update -qq && apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null; }
others "$@"
