package sequencer

import (
	"sync"
	"time"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// completion is told once what became of a submitted command. complete runs on a goroutine that many others wait for:
// it must not block. err is nil, and then the command was applied and res.Err says what it came to; or it is one of
// wire's errors, all of them definite but wire.ErrUnknown.
type completion interface {
	complete(res raftfsm.Result, err error)
}

// doneFunc makes a completion of a function, where an allocation per command does not matter.
type doneFunc func(raftfsm.Result, error)

func (f doneFunc) complete(res raftfsm.Result, err error) { f(res, err) }

// pending is one submitted command that nobody has answered yet.
type pending struct {
	done completion
	slot wire.Slot     // of the command's key, for MOVED
	came time.Duration // when it was accepted; see clock
}

// batch is the content of one entry while it is filled, and who waits for it while it is in flight.
type batch struct {
	commands []byte // encoded; its memory is used again, so raft gets a copy
	waiting  []pending
	outbox   bool        // a command in it may leave records in the outbox
	format   wire.Format // that an entry with these commands must have at least
}

// queue holds the commands of one group that no entry has taken yet, as the batches they will leave in. Only the last
// batch is open for more.
type queue struct {
	limits *Limits
	wake   chan struct{} // holds one token while a batch waits

	mu      sync.Mutex
	batches []*batch
	bytes   int
	closed  bool
	spare   []*batch // empty ones, for their memory; at most as many as are in flight
}

func newQueue(limits *Limits) *queue {
	return &queue{limits: limits, wake: make(chan struct{}, 1)}
}

// put adds a command. It answers wire.ErrBusy where the queue is full and wire.ErrTryAgain where it is closed, and then
// done has not been taken.
func (q *queue) put(cmd raftfsm.Command, slot wire.Slot, done completion) error {
	now := clock()
	q.mu.Lock()
	switch {
	case q.closed:
		q.mu.Unlock()
		return wire.ErrTryAgain
	case q.bytes >= q.limits.QueueBytes:
		q.mu.Unlock()
		return wire.ErrBusy
	}
	last := q.open()
	before := len(last.commands)
	last.commands = raftfsm.AppendCommand(last.commands, cmd)
	q.bytes += len(last.commands) - before
	if len(last.commands) > q.limits.EntryBytes && before > 0 {
		full := last
		last = q.grow()
		last.commands = append(last.commands, full.commands[before:]...)
		full.commands = full.commands[:before]
	}
	last.waiting = append(last.waiting, pending{done: done, slot: slot, came: now})
	last.outbox = last.outbox || leavesOutbox(cmd)
	last.format = max(last.format, raftfsm.FormatOf(cmd))
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default: // the proposer has not yet looked since the last one
	}
	return nil
}

// open gives the batch that takes the next command.
func (q *queue) open() *batch {
	if n := len(q.batches); n > 0 && len(q.batches[n-1].waiting) < q.limits.EntryCommands {
		return q.batches[n-1]
	}
	return q.grow()
}

func (q *queue) grow() *batch {
	var b *batch
	if n := len(q.spare); n > 0 {
		b, q.spare = q.spare[n-1], q.spare[:n-1]
	} else {
		b = &batch{}
	}
	q.batches = append(q.batches, b)
	return b
}

func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.batches) == 0
}

// take gives the oldest batch, or nil.
func (q *queue) take() *batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.batches) == 0 {
		return nil
	}
	b := q.batches[0]
	copy(q.batches, q.batches[1:])
	q.batches[len(q.batches)-1] = nil
	q.batches = q.batches[:len(q.batches)-1]
	q.bytes -= len(b.commands)
	return b
}

// recycle takes back a batch whose commands have all been answered.
func (q *queue) recycle(b *batch) {
	clear(b.waiting)
	b.commands, b.waiting, b.outbox, b.format = b.commands[:0], b.waiting[:0], false, 0
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.spare) < q.limits.InFlight {
		q.spare = append(q.spare, b)
	}
}

// close refuses further commands. What waits stays, for take.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

// leavesOutbox reports whether a command can change chat lists.
func leavesOutbox(cmd raftfsm.Command) bool {
	switch cmd.(type) {
	case raftfsm.CreateChat, raftfsm.ChangeMembers:
		return true
	}
	return false
}
