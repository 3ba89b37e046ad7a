package raftfsm

import (
	"math"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// earlyLog lets the entries of a leader go to its followers while its own disk still writes them, so that a commit takes the longer of the
// two writes and not both. Raft believes a leader's entry to be on its disk as soon as it has stored it, so whatever follows from that waits
// here until it is true:
//
//   - An entry is applied, and with that answered, when it is on this disk: durableFSM waits with await.
//   - A follower is told of a commit that does not go beyond this disk: settledTransport asks settled. It must not apply what may be lost together
//     with this node.
//
// For the next leader an entry that this node took as leader counts as stored here, too, and needs no gate: that leader commits nothing before
// an entry of its own term is here, which is stored behind all that still waits.
//
// Only commands go early. A configuration, and the first entry of a term, is on the disk before anything follows from it; so is all that a
// follower stores.
type earlyLog struct {
	raft.LogStore             // answers a write when it is durable
	full          func() bool // while it is true no entry is taken
	fatal         func(error) // told of a write that failed after it was answered
	lifted        gate        // that keep nobody waiting: a bug that tests plant

	leader atomic.Pointer[raft.Raft] // nil until it runs

	mu      sync.Mutex
	changed sync.Cond   // one of what follows
	queue   []*raft.Log // that are not known to be durable, oldest first
	failed  error
	closed  bool
	ended   sync.WaitGroup
}

// gate is one of the places where what follows from an entry waits for the disk.
type gate byte

const (
	gateApply  gate = 1 << iota // before an entry is applied
	gateCommit                  // before a follower is told of a commit
)

// maxEarly bounds the entries that wait for the disk: fewer than minTrailingLogs. A leader that has so many waits too.
const maxEarly = 32

func newEarlyLog(inner raft.LogStore, c *Config) *earlyLog {
	l := &earlyLog{LogStore: inner, full: c.Full, fatal: c.Fatal, lifted: c.lifted}
	l.changed.L = &l.mu
	l.ended.Go(l.write)
	return l
}

// leads says for which raft the log is.
func (l *earlyLog) leads(r *raft.Raft) { l.leader.Store(r) }

// close waits until what was taken is written, or cannot be.
func (l *earlyLog) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.changed.Broadcast()
	l.ended.Wait()
}

// write is the goroutine that writes what the leader has taken, all that waits at once.
func (l *earlyLog) write() {
	for batch := l.next(); len(batch) > 0; batch = l.next() {
		err := l.LogStore.StoreLogs(batch)
		if l.wrote(batch, err); err != nil {
			return
		}
	}
}

// next waits for entries to write; there are none after close.
func (l *earlyLog) next() []*raft.Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) == 0 && !l.closed {
		l.changed.Wait()
	}
	return l.queue
}

// wrote takes what came of a write.
func (l *earlyLog) wrote(batch []*raft.Log, err error) {
	l.mu.Lock()
	closed := l.closed
	if l.failed = err; err == nil {
		clear(batch)
		l.queue = l.queue[len(batch):]
	}
	l.mu.Unlock()
	l.changed.Broadcast()
	if err != nil && !closed {
		l.fatal(err)
	}
}

// await waits until the disk has all entries up to index. An error says that it never will.
func (l *earlyLog) await(index uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.awaitLocked(index)
}

func (l *earlyLog) awaitLocked(index uint64) error {
	for l.failed == nil && len(l.queue) > 0 && l.queue[0].Index <= index {
		l.changed.Wait()
	}
	return l.failed
}

// writing tells whether there are entries that the disk does not have.
func (l *earlyLog) writing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) > 0
}

// settled gives the commit index that a follower may be told: of what is committed, as much as the disk has.
func (l *earlyLog) settled(commit uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 || l.lifted&gateCommit != 0 {
		return commit
	}
	return min(commit, l.queue[0].Index-1)
}

// StoreLog stores one entry.
func (l *earlyLog) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

// StoreLogs takes entries from the goroutine of raft: commands of a leader to be written, all others when they are durable.
func (l *earlyLog) StoreLogs(entries []*raft.Log) error {
	if l.full() {
		return ErrNoSpace
	}
	l.mu.Lock()
	early := l.mayBeEarly(entries)
	for early && l.failed == nil && len(l.queue)+len(entries) > maxEarly && len(l.queue) > 0 {
		l.changed.Wait()
	}
	if early && l.failed == nil && !l.closed {
		l.queue = append(l.queue, entries...)
		l.mu.Unlock()
		l.changed.Broadcast()
		return nil
	}
	err := l.awaitLocked(math.MaxUint64)
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return l.LogStore.StoreLogs(entries)
}

// mayBeEarly tells whether raft leads, and stores commands. It is asked on raft's own goroutine, which alone changes that.
func (l *earlyLog) mayBeEarly(entries []*raft.Log) bool {
	r := l.leader.Load()
	if r == nil || r.State() != raft.Leader {
		return false
	}
	for _, e := range entries {
		if e.Type != raft.LogCommand {
			return false
		}
	}
	return true
}

// GetLog reads an entry.
func (l *earlyLog) GetLog(index uint64, to *raft.Log) error {
	l.mu.Lock()
	if len(l.queue) > 0 && index >= l.queue[0].Index && index-l.queue[0].Index < uint64(len(l.queue)) {
		*to = *l.queue[index-l.queue[0].Index]
		l.mu.Unlock()
		return nil
	}
	l.mu.Unlock()
	return l.LogStore.GetLog(index, to)
}

// FirstIndex gives the index of the first entry, 0 when there is none.
func (l *earlyLog) FirstIndex() (uint64, error) {
	l.mu.Lock()
	var early uint64
	if len(l.queue) > 0 {
		early = l.queue[0].Index
	}
	l.mu.Unlock()
	if first, err := l.LogStore.FirstIndex(); err != nil || first != 0 {
		return first, err
	}
	return early, nil
}

// LastIndex gives the index of the last entry, 0 when there is none.
func (l *earlyLog) LastIndex() (uint64, error) {
	l.mu.Lock()
	if n := len(l.queue); n > 0 {
		defer l.mu.Unlock()
		return l.queue[n-1].Index, nil
	}
	l.mu.Unlock()
	return l.LogStore.LastIndex()
}

// DeleteRange deletes entries at one end of the log, none of which is still being written.
func (l *earlyLog) DeleteRange(first, last uint64) error {
	if err := l.await(last); err != nil {
		return err
	}
	return l.LogStore.DeleteRange(first, last)
}

// durableFSM applies an entry when this node's disk has it.
type durableFSM struct {
	timedFSM
	log *earlyLog
}

// ApplyBatch carries out logs in order. After a failure of the disk every answer is nil, which leaves the outcome open.
func (d durableFSM) ApplyBatch(logs []*raft.Log) []interface{} {
	if d.log.lifted&gateApply == 0 && d.log.await(logs[len(logs)-1].Index) != nil {
		return make([]interface{}, len(logs))
	}
	return d.timedFSM.ApplyBatch(logs)
}

// settledTransport tells followers of no commit beyond what this node's own disk has.
type settledTransport struct {
	timedTransport
	log *earlyLog
}

// AppendEntries sends entries, a commit index or a heartbeat to a follower and waits for its answer.
func (s settledTransport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	args.LeaderCommitIndex = s.log.settled(args.LeaderCommitIndex)
	return s.timedTransport.AppendEntries(id, target, args, resp)
}
