package raftfsm

import (
	"context"
	"slices"
	"sort"
	"sync"

	"github.com/quorate/quorate/sequencer/wire"
)

// feedTail holds the newest events of a feed decoded, so that readers at its head touch no disk, and wakes those who wait
// for the next one. Events that are in it never change or move: readers hold parts of its pages.
type feedTail struct {
	limit int // bytes

	mu     sync.Mutex
	pages  []tailPage // without a gap between them; only the last one grows
	next   wire.Offset
	bytes  int
	closed bool
	grew   chan struct{} // closed when an event is added, or at the end; then replaced
}

// tailPage is a run of events. Whole pages are dropped.
type tailPage struct {
	events []wire.Event // room for tailPageEvents, so that it never moves
	bytes  int
}

const (
	tailPageEvents = 512 // in one page
	tailPageShare  = 16  // a page holds at most this part of the tail's bytes, and one event more
)

func newFeedTail(limit int) *feedTail { return &feedTail{limit: limit, grew: make(chan struct{})} }

// reset empties the tail; the next event will have offset next.
func (t *feedTail) reset(next wire.Offset) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pages, t.bytes, t.next = nil, 0, next
	t.wake()
}

// first is the offset of the oldest event that is held, or of the next one.
func (t *feedTail) first() wire.Offset {
	if len(t.pages) == 0 {
		return t.next
	}
	return t.pages[0].events[0].Offset
}

// add appends events, and drops the oldest pages over the limit.
func (t *feedTail) add(events []wire.Event) {
	if len(events) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range events {
		page := t.open()
		size := eventBytes(&events[i])
		page.events = append(page.events, events[i])
		page.bytes += size
		t.bytes += size
	}
	t.next += wire.Offset(len(events))
	for t.bytes > t.limit && len(t.pages) > 1 {
		t.bytes -= t.pages[0].bytes
		t.pages = slices.Delete(t.pages, 0, 1)
	}
	t.wake()
}

// open gives the page that takes the next event.
func (t *feedTail) open() *tailPage {
	if n := len(t.pages); n > 0 {
		if last := &t.pages[n-1]; len(last.events) < tailPageEvents && last.bytes < t.limit/tailPageShare {
			return last
		}
	}
	t.pages = append(t.pages, tailPage{events: make([]wire.Event, 0, tailPageEvents)})
	return &t.pages[len(t.pages)-1]
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

// read gives events from an offset on, at most count and about size bytes, and whether the tail covers that offset. It
// ends with a page: there may be more behind it.
func (t *feedTail) read(from wire.Offset, count, size int) (events []wire.Event, covered bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if from < t.first() {
		return nil, false
	}
	if from >= t.next {
		return nil, true
	}
	i := sort.Search(len(t.pages), func(i int) bool { return t.pages[i].events[0].Offset > from }) - 1
	all := t.pages[i].events[from-t.pages[i].events[0].Offset:]
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
