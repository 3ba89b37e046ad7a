#!/usr/bin/env bash
# idle.sh CONNECTIONS: so many idle sessions of users in 20 groups of 256 on this machine, servers and clients, and where each byte is.
# A process may have only so many files, so there are as many delivery nodes (--roles edge) as that takes, each with a process of clients.
# RATE connections a second are opened, at WAVE nodes at a time; all are held for HOLD seconds. USERS users have the connections, each at
# several nodes where they are fewer. PLAIN=n also runs a plain goroutine-per-connection server with n connections.
# What it starts ends with it, after LONGEST seconds at the latest.
set -euo pipefail
cd "$(dirname "$0")/.."
ulimit -n "$(ulimit -Hn)"
connections=${1:?how many connections}
rate=${RATE:-800} wave=${WAVE:-4} hold=${HOLD:-60} hubs=${HUBS:-2} chats=${CHATS:-20} ping=${PING:-5m} base=${BASE_PORT:-25000}
users=${USERS:-$((connections < 62500 ? connections : 62500))}
each=$(($(ulimit -n) - 300)) # logs, feeds, links and peers take the rest
edges=$(((connections + each - 1) / each))
each=$(((connections + edges - 1) / edges))
quorate=$PWD/bin/quorate
dir=$(mktemp -d)
pids=()
trap 'kill -KILL "${pids[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT # there is nothing to keep
trap 'echo "it took longer than ${LONGEST:-1500} s" >&2; exit 1' ALRM
(sleep "${LONGEST:-1500}" && kill -ALRM $$) 2>/dev/null &
pids+=($!)
began=$SECONDS

run() { # run NAME ARGS…: a process of quorate, its number in $dir/NAME.pid
	"$quorate" "${@:2}" >"$dir/$1.out" 2>"$dir/$1.log" &
	pids+=($!)
	echo $! >"$dir/$1.pid"
}
ready() { # ready NAME…
	local name
	for name in "$@"; do
		for _ in $(seq 300); do
			grep -q '^ready' "$dir/$name.out" "$dir/$name.log" && continue 2
			sleep 0.1
		done
		cat "$dir/$name.log" >&2
		return 1
	done
}
names() { seq -f "$1%g" "$2"; } # names PREFIX N
anon() { # anon NAME…: KiB of memory that is theirs alone
	local name sum=0
	for name in "$@"; do sum=$((sum + $(awk '/^RssAnon/ {print $2}' "/proc/$(<"$dir/$name.pid")/status"))); done
	echo $sum
}
files() { # files NAME…
	local name sum=0
	for name in "$@"; do sum=$((sum + $(ls "/proc/$(<"$dir/$name.pid")/fd" | wc -l))); done
	echo $sum
}
cpu() { # cpu NAME…: milliseconds of processor that they have used
	local name sum=0
	for name in "$@"; do sum=$((sum + $(awk '{print ($14 + $15) * 10}' "/proc/$(<"$dir/$name.pid")/stat"))); done
	echo $sum
}
machine() { awk '/^cpu / {print ($2 + $3 + $4 + $7 + $8) * 10}' /proc/stat; } # milliseconds of processor that everything has used
kernel() { awk -v name="$1:" '$1 == name {print $2}' /proc/meminfo; } # kernel NAME: KiB
sockets() { awk '/^TCP:/ {for (i = 2; i < NF; i += 2) if ($i == "mem") print $(i + 1) * 4}' /proc/net/sockstat; } # KiB of data in them
look() { # look PREFIX: what everything takes now, into variables PREFIX_…
	printf -v "$1_edges" %s "$(anon $edge_names)"
	printf -v "$1_hubs" %s "$(anon $hub_names)"
	printf -v "$1_nodes" %s "$(anon n1 n2 n3)"
	printf -v "$1_slab" %s "$(kernel SUnreclaim)"
	printf -v "$1_tables" %s "$(kernel PageTables)"
	printf -v "$1_data" %s "$(sockets)"
	printf -v "$1_free" %s "$(kernel MemAvailable)"
}
row() { # row WHAT N KIB: a line of the account
	awk -v what="$1" -v n="$2" -v kib="$3" -v all="$connections" 'BEGIN {printf "%-52s %6s %9.1f %9.0f\n", what, n, kib / 1024, kib * 1024 / all}'
}

head -c 32 /dev/urandom | base64 >"$dir/secret" && chmod 600 "$dir/secret"
bootstrap=n1=127.0.0.1:$((base + 1)),n2=127.0.0.1:$((base + 2)),n3=127.0.0.1:$((base + 3))
resp=127.0.0.1:$((base + 11)),127.0.0.1:$((base + 12)),127.0.0.1:$((base + 13))
hub_names=$(names h "$hubs") edge_names=$(names e "$edges") client_names=$(names c "$edges")
for i in 1 2 3; do
	run "n$i" sequencer --node-id "n$i" --data "$dir/n$i" --groups 2 --bootstrap "$bootstrap" --heartbeat-timeout 1s --election-timeout 1s --lease-timeout 500ms \
		--raft-addr "127.0.0.1:$((base + i))" --resp-addr "127.0.0.1:$((base + 10 + i))" --ops-addr "127.0.0.1:$((base + 20 + i))"
done
export GOMAXPROCS=1 GOGC=100 # they are many on few processors
for i in $(seq "$hubs"); do
	run "h$i" delivery --roles hub --sequencers "$resp" --addr "127.0.0.1:$((base + 30 + i))" --ops-addr "127.0.0.1:$((base + 40 + i))" \
		--jwt-secret-file "$dir/secret"
done
for i in $(seq "$edges"); do
	run "e$i" delivery --roles edge --sequencers "$resp" --addr "127.0.0.1:$((base + 100 + i))" --ops-addr "127.0.0.1:$((base + 300 + i))" \
		--jwt-secret-file "$dir/secret" --ping-every "$ping"
done
ready n1 n2 n3 $hub_names $edge_names
sleep 3 # the hubs share the feeds out
echo "$connections connections of $users users at $edges delivery nodes, $hubs hubs; began after $((SECONDS - began)) s"
"$quorate" bench idle --run idle --secret-file "$dir/secret" --target "http://127.0.0.1:$((base + 101))" --connections -1 --users "$users" \
	--chats "$chats" >"$dir/setup" 2>&1 || { cat "$dir/setup" >&2; exit 1; }
echo "$(((users * chats + 255) / 256)) groups of 256 made after $((SECONDS - began)) s"
sleep 5
look before
opened=$SECONDS
cpu_before=($(cpu $edge_names) $(cpu $hub_names) $(cpu n1 n2 n3) $(machine))
left=$connections
last=$(((edges + wave - 1) / wave * wave))
for first in $(seq 1 "$wave" "$edges"); do
	for i in $(seq "$first" $((first + wave - 1 < edges ? first + wave - 1 : edges))); do
		n=$((left < each ? left : each))
		left=$((left - n))
		run "c$i" bench idle --run idle --secret-file "$dir/secret" --target "http://127.0.0.1:$((base + 100 + i))" --servers "$(<"$dir/e$i.pid")" \
			--connections "$n" --first-user $(((i - 1) * each % users)) --users "$users" --chats -1 --ramp $((rate / wave)) --for 1h --json "$dir/c$i.json"
	done
	for i in $(seq "$first" $((first + wave - 1 < edges ? first + wave - 1 : edges))); do
		until grep -q '^hold ' "$dir/c$i.log"; do
			kill -0 "$(<"$dir/c$i.pid")" || { cat "$dir/c$i.log" >&2; exit 1; }
			sleep 0.2
		done
	done
	echo "$((connections - left)) open after $((SECONDS - began)) s, $(($(kernel MemAvailable) / 1024)) MiB available"
done
opened=$((SECONDS - opened))
cpu_after=($(cpu $edge_names) $(cpu $hub_names) $(cpu n1 n2 n3) $(machine))
cpu_clients=$(cpu $client_names)
sleep "$hold"
look after
clients=$(anon $client_names)
echo "opened in $opened s, $((connections / (opened > 0 ? opened : 1))) a second; held $hold s with pings every $ping"
us() { echo $(($1 * 1000 / connections)); }
echo "processor time for each connection, all else that ran meanwhile included: delivery nodes $(us $((cpu_after[0] - cpu_before[0]))) µs," \
	"hubs $(us $((cpu_after[1] - cpu_before[1]))) µs, sequencers $(us $((cpu_after[2] - cpu_before[2]))) µs, clients $(us "$cpu_clients") µs;" \
	"the machine was $(((cpu_after[3] - cpu_before[3]) / (opened > 0 ? opened : 1) / 10 / $(nproc))) % busy"
echo
printf '%-52s %6s %9s %9s\n' WHERE PROCS MiB B/CONN
row 'delivery nodes: memory beyond what they had idle' "$edges" $((after_edges - before_edges))
row 'hubs: likewise' "$hubs" $((after_hubs - before_hubs))
row 'sequencers: likewise' 3 $((after_nodes - before_nodes))
row 'clients' "$edges" "$clients"
row 'kernel: slab of both ends (sockets, files, epoll)' '' $((after_slab - before_slab))
row 'kernel: data in sockets' '' $((after_data - before_data))
row 'kernel: page tables' '' $((after_tables - before_tables))
sum=$((after_edges - before_edges + after_hubs - before_hubs + after_nodes - before_nodes + clients + after_slab - before_slab + after_tables - before_tables + after_data - before_data))
row 'sum' '' "$sum"
row 'less available than before' '' $((before_free - after_free))
row 'delivery nodes: what they had idle' "$edges" "$before_edges"
row 'hubs: likewise' "$hubs" "$before_hubs"
row 'sequencers: likewise' 3 "$before_nodes"
echo
echo "available: $((after_free / 1024)) of $(($(kernel MemTotal) / 1024)) MiB; files open: $(files $edge_names) in delivery nodes, $(files $client_names) in clients"
cat /proc/net/sockstat | grep -E '^(TCP|sockets)'
for i in $(seq "$edges"); do curl -s "http://127.0.0.1:$((base + 300 + i))/metrics" | awk '/^quorate_edge_bytes_per_connection|^quorate_delivery_connections/ {print $1, $2}'; done |
	awk '/bytes/ {n++; sum += $2; if ($2 > most) most = $2} /delivery_connections/ {c += $2} END {printf "quorate_edge_bytes_per_connection: mean %.0f, most %.0f; quorate_delivery_connections: %d\n", sum / n, most, c}'
run plain bench plain --addr "127.0.0.1:$((base + 100))" # what else takes as many connections as one of the nodes has
ready plain
plain=$(anon plain)
run cplain bench idle --secret-file "$dir/secret" --target "http://127.0.0.1:$((base + 100))" --servers "$(<"$dir/plain.pid")" \
	--connections "$n" --chats -1 --ramp 2500 --for 1h
until grep -q '^hold ' "$dir/cplain.log"; do sleep 0.2; done
sleep 2
echo "a plain server with a goroutine for each connection: $((($(anon plain) - plain) * 1024 / n)) B for each of $n"
for i in $(seq "$edges"); do kill -INT "$(<"$dir/c$i.pid")" 2>/dev/null || true; done
for i in $(seq "$edges"); do wait "$(<"$dir/c$i.pid")" 2>/dev/null || true; done
told() { # told NAME: the sum of such a value over all clients
	awk -v name="\"name\": \"$1\"," 'index($0, name) {getline; sum += $2 + 0} END {print sum + 0}' "$dir"/c*.json
}
least=$(awk '/"name": "chats in each welcome/ {getline; v = $2 + 0; if (!n++ || v < least) least = v} END {print least + 0}' "$dir"/c*.json)
echo "sessions: $(told connections), failed $(told 'connections that failed or ended'), chats in each at least $least," \
	"asked to come again $(told 'times one was asked to come again') times, pings answered $(told 'pings answered')"
grep -hA1 '"why": \[' "$dir"/c*.json | grep -hv why | head -n 3 || true
