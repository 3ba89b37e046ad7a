package raftfsm

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/meter"
)

// Stats counts what a replica has done since it was opened. All of it may be read at any time. Times are in seconds.
type Stats struct {
	LogWrites  *meter.Histogram // a write of entries to the log, its fsync included
	Applies    *meter.Histogram // a batch of entries applied to the state
	Appends    *meter.Histogram // entries sent to a follower, until it has answered that its disk has them
	Heartbeats *meter.Histogram // a heartbeat sent to a follower, until it has answered
	Silences   *meter.Histogram // from one heartbeat of a leader to the next, as this follower got them
	Snapshots  *meter.Histogram // a snapshot of this replica's own, until it is durable

	SendFailures  atomic.Uint64 // appends and heartbeats that a follower did not answer
	LeaderChanges atomic.Uint64 // leaders that this replica has learned of
	Elections     atomic.Uint64 // this replica has stood for
	ReadRounds    atomic.Uint64 // proofs of leadership for reads
	ReadsServed   atomic.Uint64 // reads that shared them

	writing atomic.Int64 // UnixNano of the start of the log write under way; 0 while there is none
}

func newStats() *Stats {
	brief := func() *meter.Histogram { return meter.NewHistogram(meter.Brief) }
	return &Stats{
		LogWrites: meter.NewHistogram(meter.Latency), Applies: brief(), Appends: brief(), Heartbeats: brief(), Silences: brief(),
		Snapshots: meter.NewHistogram(meter.Powers(0.01, 4, 8)),
	}
}

// LogWriteAge gives how long the write of the log that is under way has taken so far, 0 without one. A disk that hangs
// shows here before the watchdog ends the process.
func (s *Stats) LogWriteAge() time.Duration {
	began := s.writing.Load()
	if began == 0 {
		return 0
	}
	return max(time.Since(time.Unix(0, began)), 0)
}

// observe counts what raft tells its observers. It runs on raft's own goroutines.
func (s *Stats) observe(data any) {
	switch o := data.(type) {
	case raft.RaftState:
		if o == raft.Candidate {
			s.Elections.Add(1)
		}
	case raft.LeaderObservation:
		if o.LeaderID != "" {
			s.LeaderChanges.Add(1)
		}
	}
}

// timedLog measures the writes of a log store.
type timedLog struct {
	raft.LogStore
	stats *Stats
}

// StoreLog writes one entry.
func (t timedLog) StoreLog(l *raft.Log) error {
	defer t.wrote(t.begin())
	return t.LogStore.StoreLog(l)
}

// StoreLogs writes entries.
func (t timedLog) StoreLogs(logs []*raft.Log) error {
	defer t.wrote(t.begin())
	return t.LogStore.StoreLogs(logs)
}

func (t timedLog) begin() time.Time {
	now := time.Now()
	t.stats.writing.Store(now.UnixNano())
	return now
}

func (t timedLog) wrote(began time.Time) {
	t.stats.writing.Store(0)
	t.stats.LogWrites.Took(began)
}

// timedFSM measures how long entries take to be applied.
type timedFSM struct {
	*FSM
	stats *Stats
}

// ApplyBatch carries out logs in order.
func (t timedFSM) ApplyBatch(logs []*raft.Log) []interface{} {
	defer t.stats.Applies.Took(time.Now())
	return t.FSM.ApplyBatch(logs)
}

// timedTransport measures what this replica sends to followers, and hears from its leader.
type timedTransport struct {
	*transport
	stats *Stats
}

// AppendEntries sends entries, a commit index or a heartbeat to a follower and waits for its answer.
func (t timedTransport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest,
	resp *raft.AppendEntriesResponse,
) error {
	began := time.Now()
	err := t.transport.AppendEntries(id, target, args, resp)
	switch {
	case err != nil:
		t.stats.SendFailures.Add(1)
	case len(args.Entries) > 0:
		t.stats.Appends.Took(began)
	case args.PrevLogEntry == 0 && args.LeaderCommitIndex == 0:
		t.stats.Heartbeats.Took(began)
	}
	return err
}

// SetHeartbeatHandler has heartbeats handled apart from what waits for the disk.
func (t timedTransport) SetHeartbeatHandler(handle func(raft.RPC)) {
	var last atomic.Pointer[heard]
	t.transport.SetHeartbeatHandler(func(rpc raft.RPC) {
		if request, ok := rpc.Command.(*raft.AppendEntriesRequest); ok {
			now := &heard{at: time.Now(), term: request.Term}
			if before := last.Swap(now); before != nil && before.term == now.term {
				t.stats.Silences.Observe(now.at.Sub(before.at).Seconds())
			}
		}
		handle(rpc)
	})
}

// heard is a heartbeat of a leader.
type heard struct {
	at   time.Time
	term uint64
}

// Stats gives the counts of this replica. They go on changing.
func (g *Group) Stats() *Stats { return g.stats }

// StorageFailed reports whether the watchdog has given up the log: nothing is written any more, and the process should
// have ended.
func (g *Group) StorageFailed() bool {
	select {
	case <-g.dog.failed:
		return true
	default:
		return false
	}
}

// LeaderSilence gives how long ago this follower last heard of its leader; 0 for a leader, and for a replica that has
// not heard of any.
func (g *Group) LeaderSilence() time.Duration {
	last := g.raft.LastContact()
	if last.IsZero() || g.raft.State() == raft.Leader {
		return 0
	}
	return time.Since(last)
}

// SnapshotIndex gives the index of the newest snapshot, 0 without one: a start reads the log from there.
func (g *Group) SnapshotIndex() uint64 {
	index, _ := strconv.ParseUint(g.raft.Stats()["last_snapshot_index"], 10, 64) // raft formats a number
	return index
}
