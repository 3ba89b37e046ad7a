#!/usr/bin/env bash
# benchmarks.sh [PART…]: makes BENCHMARKS.md, each table with the command that makes it. Nothing else may run on the machine meanwhile.
# FOR=8s is the time that counts of each. The parts are aims, scenarios, stored, peers, crowds and units; the text of each is kept in .cache/benchmarks,
# so that they can be made one after the other; with the part page the page is put together alone.
set -euo pipefail
cd "$(dirname "$0")/.."
ulimit -n "$(ulimit -Hn)"
out=.cache/benchmarks
mkdir -p "$out"
time=${FOR:-8s}
parts=("$@")
((${#parts[@]})) || parts=(aims scenarios stored peers crowds units)

# table COMMAND…: the command, and what it prints. An exit code other than 0 is told, and is no reason to stop.
table() {
	printf '```console\n$ %s\n' "$*"
	local code=0
	# shellcheck disable=SC2294 # the words are ours
	PATH=$PWD/bin:$PATH eval "$@" 2>"$out/stderr" || code=$?
	if ((code)); then
		tail -n 3 "$out/stderr"
		echo "(exit $code)"
	fi
	printf '```\n\n'
}
aims() {
	echo '## The work of the aims'
	echo
	echo 'Three sequencers, a delivery node and the bench on the same two cores.'
	echo
	for senders in 512 64 1; do
		echo "### Append to ack, RESP, $senders senders"
		echo
		table "quorate bench send --processes --closed --senders $senders --chats 1000 --size 100 --for $time"
	done
	echo '### Send to ack, WebSocket, 512 connections'
	echo
	table "quorate bench send --processes --protocol ws --closed --senders 512 --chats 1000 --size 100 --for $time"
	echo '### 1:1 at 500 a second'
	echo
	table "quorate bench live --processes --rate 500 --size 100 --for $time"
	for flight in 16 1; do
		echo "### Fan-out to 256, $flight in flight"
		echo
		table "quorate bench fanout --processes --closed --in-flight $flight --size 100 --for $time"
	done
}
each() { # COMMANDS…
	local command
	for command in "$@"; do
		echo "### $command"
		echo
		table "quorate bench $command --processes --for $time"
	done
}
scenarios() {
	echo '## The scenarios, as they are without settings'
	echo
	each send 'send --protocol ws' 'send --protocol rest' live fanout reconnect receipts mixed
}
stored() {
	each catchup 'catchup --archived' history 'history --protocol ws' 'history --archived'
}
peers() {
	echo '## Beside others'
	echo
	echo 'The same work in alternation, medians of three rounds; the last column is the rate of Quorate over the one of the line.'
	echo
	table "quorate bench peers --for $time"
	table "quorate bench peers --work fanout --peers nats-always,centrifuge --in-flight 16 --for $time"
}
crowds() {
	table "quorate bench peers --senders 512 --work send --for $time"
}
units() {
	echo '## Unit costs'
	echo
	table "quorate bench units --out docs/units.json --for $time"
	table 'quorate plan'
}
for part in "${parts[@]}"; do
	[[ $part != page ]] || continue
	"$part" >"$out/$part.part"
	mv "$out/$part.part" "$out/$part.md"
done
{
	echo '# Benchmarks'
	echo
	echo 'Made by `scripts/benchmarks.sh` on a machine with 2 cores and 24 GiB, with all servers and all clients on it. How each number'
	echo 'comes to be is in [bench/METHOD.md](bench/METHOD.md). Times are from the planned time where nothing else is said.'
	echo
	cat bench/AIMS.md
	echo
	for part in aims scenarios stored peers crowds units; do
		[[ ! -f $out/$part.md ]] || cat "$out/$part.md"
	done
} >BENCHMARKS.md
