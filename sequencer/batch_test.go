package sequencer

import (
	"errors"
	"strings"
	"testing"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// appendOf is an append whose encoding has a bit more than size bytes.
func appendOf(size int) raftfsm.Append {
	return raftfsm.Append{ChatID: "c", SenderID: "s", ClientMessageID: "m", Text: strings.Repeat("x", size)}
}

// counted is a completion that only counts.
type counted struct{ n int }

func (c *counted) complete(raftfsm.Result, error) { c.n++ }

func putAll(t *testing.T, q *queue, n, size int) {
	t.Helper()
	for i := range n {
		if err := q.put(appendOf(size), wire.Slot(i), &counted{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestQueue_BatchEndsAtTheCountOfCommands(t *testing.T) {
	q := newQueue(&Limits{EntryBytes: 1 << 20, EntryCommands: 3, QueueBytes: 1 << 20})
	putAll(t, q, 7, 1)
	for _, want := range []int{3, 3, 1} {
		if b := q.take(); len(b.waiting) != want {
			t.Fatalf("a batch has %d commands, want %d", len(b.waiting), want)
		}
	}
	if q.take() != nil || !q.empty() || q.bytes != 0 {
		t.Fatalf("something is left: %d bytes", q.bytes)
	}
}

// TestQueue_BatchEndsAtItsBytes also looks that the command which did not fit is whole in the next batch, under its own
// slot.
func TestQueue_BatchEndsAtItsBytes(t *testing.T) {
	one := len(raftfsm.AppendCommand(nil, appendOf(100)))
	q := newQueue(&Limits{EntryBytes: 2*one + one/2, EntryCommands: 100, QueueBytes: 1 << 20})
	putAll(t, q, 5, 100)
	next := wire.Slot(0)
	for _, want := range []int{2, 2, 1} {
		b := q.take()
		if len(b.waiting) != want || len(b.commands) != want*one {
			t.Fatalf("a batch has %d commands and %d bytes, want %d and %d", len(b.waiting), len(b.commands), want, want*one)
		}
		for _, p := range b.waiting {
			if p.slot != next {
				t.Fatalf("slot %d comes where %d should", p.slot, next)
			}
			next++
		}
	}
}

func TestQueue_OneCommandAboveTheBytesOfAnEntryStillGoes(t *testing.T) {
	q := newQueue(&Limits{EntryBytes: 10, EntryCommands: 100, QueueBytes: 1 << 20})
	putAll(t, q, 2, 100)
	if b := q.take(); len(b.waiting) != 1 {
		t.Fatalf("the first batch has %d commands", len(b.waiting))
	}
}

func TestQueue_FullIsBusyAtOnce(t *testing.T) {
	q := newQueue(&Limits{EntryBytes: 1 << 20, EntryCommands: 100, QueueBytes: 250})
	putAll(t, q, 2, 125)
	done := &counted{}
	if err := q.put(appendOf(1), 0, done); !errors.Is(err, wire.ErrBusy) || done.n != 0 {
		t.Fatalf("put in a full queue: %v, completed %d times", err, done.n)
	}
	q.recycle(q.take())
	putAll(t, q, 1, 1)
}

func TestQueue_ClosedTakesNothingButKeepsWhatItHas(t *testing.T) {
	q := newQueue(&Limits{EntryBytes: 1 << 20, EntryCommands: 100, QueueBytes: 1 << 20})
	putAll(t, q, 1, 1)
	q.close()
	if err := q.put(appendOf(1), 0, &counted{}); !errors.Is(err, wire.ErrTryAgain) {
		t.Fatalf("put in a closed queue: %v", err)
	}
	if b := q.take(); b == nil || len(b.waiting) != 1 {
		t.Fatal("what waited is gone")
	}
}

func TestQueue_SteadyStateAllocatesNothing(t *testing.T) {
	q := newQueue(&Limits{EntryBytes: 1 << 20, EntryCommands: 100, QueueBytes: 1 << 20, InFlight: 4})
	var cmd raftfsm.Command = appendOf(100)
	done := &counted{}
	got := testing.AllocsPerRun(100, func() {
		for range 50 {
			if err := q.put(cmd, 0, done); err != nil {
				t.Fatal(err)
			}
		}
		q.recycle(q.take())
	})
	if got != 0 {
		t.Fatalf("%v allocations for 50 commands", got)
	}
}
