#!/usr/bin/env bash
# bench-local.sh BENCH [FLAGS…]: three sequencer nodes and a delivery node as processes on loopback, and `quorate bench BENCH` against them.
# EDGES=n runs n delivery nodes, GROUPS_N=n so many groups, QUORATE=FILE another program than bin/quorate, to compare two. The processes and their data go with it.
set -euo pipefail
cd "$(dirname "$0")/.."
ulimit -n "$(ulimit -Hn)"
quorate=${QUORATE:-$PWD/bin/quorate}
dir=$(mktemp -d)
pids=()
# ends only what it started
trap 'kill "${pids[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
head -c 32 /dev/urandom | base64 >"$dir/secret" && chmod 600 "$dir/secret"
base=${BASE_PORT:-27300}
bootstrap=n1=127.0.0.1:$((base + 1)),n2=127.0.0.1:$((base + 2)),n3=127.0.0.1:$((base + 3))
resp=127.0.0.1:$((base + 11)),127.0.0.1:$((base + 12)),127.0.0.1:$((base + 13))
run() {
	local name=$1
	shift
	"$quorate" "$@" >"$dir/$name.log" 2>&1 &
	pids+=($!)
}
for i in 1 2 3; do
	run "n$i" sequencer --node-id "n$i" --data "$dir/n$i" --groups "${GROUPS_N:-2}" --bootstrap "$bootstrap" \
		--raft-addr "127.0.0.1:$((base + i))" --resp-addr "127.0.0.1:$((base + 10 + i))" --ops-addr "127.0.0.1:$((base + 20 + i))"
done
targets=
for i in $(seq "${EDGES:-1}"); do
	run "d$i" delivery --sequencers "$resp" --addr "127.0.0.1:$((base + 30 + i))" --ops-addr "127.0.0.1:$((base + 60 + i))" --jwt-secret-file "$dir/secret"
	targets=$targets,http://127.0.0.1:$((base + 30 + i))
done
for log in "$dir"/*.log; do
	for _ in $(seq 150); do
		grep -q '^ready' "$log" && break
		sleep 0.2
	done
	grep -q '^ready' "$log" || { cat "$log" >&2; exit 1; }
done
sleep 2 # the hubs share the feeds out, and leaders are settled
bench=$1
shift
"$quorate" bench "$bench" --secret-file "$dir/secret" --target "${targets#,}" --servers "$(IFS=,; echo "${pids[*]}")" "$@"
