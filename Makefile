# Every target is one line; what needs more than a line is a script beside it.
SHELL   := /bin/bash
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 10s
TOOLS   := .cache/tools
# All packages; those whose tests take longest begin first, so that none of them runs alone at the end.
ALL     := ./sequencer ./delivery ./cmd/quorate ./...

.PHONY: dev build test minio race lint fuzz bench sim snapshots archive-size push-size regions chaos chaos-short idle-100k idle-million fmt clean
.DEFAULT_GOAL := build

dev: build ; @exec bin/quorate dev $(ARGS)
build: ; @mkdir -p bin && go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/quorate ./cmd/quorate
test: minio ; @scripts/test-deps.sh && go test -timeout 15m $(ALL)
minio: ; @scripts/minio.sh $(TOOLS)
race: ; @go test -race -short -skip '^TestProcesses_' -timeout 20m $(ALL)
lint: ; @scripts/lint.sh $(TOOLS)
fuzz: ; @scripts/fuzz.sh $(FUZZTIME)
sim: ; @set -o pipefail; go test -count=1 -v -timeout 30m -run '^TestSimulation$$' ./raftfsm -sim.seed=$${SEED:-1} -sim.count=$${SEEDS:-500} | grep -v '=== \|--- PASS.*/'
snapshots: ; @SNAPSHOT_MESSAGES=$${SNAPSHOT_MESSAGES:-5000000} go test -count=1 -v -timeout 30m -run '^TestSnapshots_AtSize$$' ./raftfsm
archive-size: minio ; @ARCHIVE_MESSAGES=$${ARCHIVE_MESSAGES:-2000000} go test -count=1 -v -timeout 120m -run "^TestArchive_AtSize$$" ./delivery
push-size: ; @PUSH_USERS=$${PUSH_USERS:-1000} go test -count=1 -v -timeout 20m -run '^TestProcesses_Push$$' ./cmd/quorate
bench: ; @go test -run '^$$' -bench . -benchtime 2s -timeout 30m ./...
regions: ; @scripts/test-deps.sh chaos && CHAOS=regions go test -count=1 -v -timeout 10m -run '^TestRegions$$' ./chaos
chaos: ; @scripts/test-deps.sh chaos && CHAOS=all go test -count=1 -v -timeout 90m ./chaos
chaos-short: ; @scripts/test-deps.sh chaos && CHAOS=short go test -count=1 -v -timeout 15m ./chaos
idle-100k: build ; @LONGEST=$${LONGEST:-340} USERS=25000 RATE=750 WAVE=3 HOLD=31 scripts/idle.sh 100000
idle-million: build ; @LONGEST=$${LONGEST:-3600} RATE=$${RATE:-750} WAVE=3 HOLD=40 scripts/idle.sh 1000000
fmt: ; @scripts/tools.sh $(TOOLS) && git ls-files '*.go' | xargs $(TOOLS)/gofumpt -w
clean: ; @rm -rf bin .cache
