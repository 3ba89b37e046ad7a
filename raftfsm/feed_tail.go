package raftfsm

import (
	"context"
	"sync"

	"github.com/quorate/quorate/sequencer/wire"
)

// feedTail holds the newest events of a feed decoded, so that readers at its head touch no disk, and wakes those who wait
// for the next one. Its events are contiguous and shared: nobody changes them.
type feedTail struct {
	limit int // bytes

	mu     sync.Mutex
	events []wire.Event // from first on
	first  wire.Offset
	next   wire.Offset
	bytes  int
	closed bool
	grew   chan struct{} // closed when an event is added, or at the end; then replaced
}

func newFeedTail(limit int) *feedTail { return &feedTail{limit: limit, grew: make(chan struct{})} }

// reset empties the tail; the next event will have offset next.
func (t *feedTail) reset(next wire.Offset) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events, t.bytes, t.first, t.next = nil, 0, next, next
	t.wake()
}

// add appends events, and drops old ones over the limit.
func (t *feedTail) add(events []wire.Event) {
	if len(events) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, events...)
	t.next += wire.Offset(len(events))
	for i := range events {
		t.bytes += eventBytes(&events[i])
	}
	if t.bytes > t.limit {
		t.shrink()
	}
	t.wake()
}

// shrink drops old events down to three quarters of the limit. The rest moves, as readers may hold the old slice.
func (t *feedTail) shrink() {
	drop := 0
	for t.bytes > t.limit/4*3 {
		t.bytes -= eventBytes(&t.events[drop])
		drop++
	}
	t.events = append([]wire.Event(nil), t.events[drop:]...)
	t.first += wire.Offset(drop)
}

func (t *feedTail) wake() {
	close(t.grew)
	t.grew = make(chan struct{})
}

func (t *feedTail) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.wake()
}

// eventBytes is about what an event takes in memory.
func eventBytes(e *wire.Event) int {
	n := 160 + len(e.ChatID) + 32*(len(e.Added)+len(e.Removed))
	if m := e.Message; m != nil {
		n += 160 + len(m.SenderID) + len(m.ClientMessageID) + len(m.Text) + len(m.Trace)
	}
	return n
}

// read gives at most count events and about size bytes from an offset on, and whether the tail covers that offset.
func (t *feedTail) read(from wire.Offset, count, size int) (events []wire.Event, covered bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if from < t.first {
		return nil, false
	}
	if from >= t.next {
		return nil, true
	}
	all := t.events[from-t.first:]
	n := 0
	for n < len(all) && n < count && (n == 0 || size > 0) {
		size -= eventBytes(&all[n])
		n++
	}
	return all[:n:n], true
}

// wait returns when an event of offset from or later is there, with wire.ErrTryAgain when the store closes.
func (t *feedTail) wait(ctx context.Context, from wire.Offset) error {
	for {
		t.mu.Lock()
		there, closed, grew := t.next > from, t.closed, t.grew
		t.mu.Unlock()
		switch {
		case there:
			return nil
		case closed:
			return wire.ErrTryAgain
		}
		select {
		case <-grew:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
