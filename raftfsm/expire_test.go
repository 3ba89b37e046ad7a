package raftfsm

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/sequencer/wire"
)

// tenMessages makes a chat with messages 0 to 9, at the times 100 to 109; message i is event i+2.
func tenMessages(t *testing.T) *machine {
	t.Helper()
	m := newMachine(t)
	m.one(1, group("c", "a"))
	for i := range 10 {
		m.one(wire.Millis(100+i), say("c", "a", fmt.Sprint(i), "x"))
	}
	return m
}

// feedOnDisk gives the offsets of the first and the last event on disk, 0 and 0 where there is none.
func feedOnDisk(t *testing.T, m *machine) (first, last uint64) {
	t.Helper()
	it, err := m.store.db.NewIter(&pebble.IterOptions{LowerBound: []byte{tableFeed}, UpperBound: []byte{tableFeed + 1}})
	if err != nil {
		t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		if last = keyNumber(it.Key()); first == 0 {
			first = last
		}
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return first, last
}

func TestExpire_FeedAndDedupGoByTime(t *testing.T) {
	for what, c := range map[string]struct {
		feed, dedup wire.Millis
		floor       wire.Offset // the first event that can be read
		known       int         // the first message whose clientMessageId is known
		disk        uint64      // the first event on disk
	}{
		"dedup outlives the feed": {106, 103, 8, 3, 5},
		"the feed outlives dedup": {103, 106, 5, 6, 5},
		"both at once":            {105, 105, 7, 5, 7},
		"nothing is old enough":   {1, 1, 1, 0, 1},
		"everything":              {500, 500, 12, 10, 0},
	} {
		t.Run(what, func(t *testing.T) {
			m := tenMessages(t)
			steps := 1
			for m.one(200, Expire{FeedBefore: c.feed, DedupBefore: c.dedup, Max: 4}).More {
				steps++
			}
			if looked := int(c.floor-1) + c.known + 1; steps < looked/4 || steps > looked/4+2 {
				t.Errorf("%d steps of 4 events for %d", steps, looked)
			}
			if _, floor := m.store.FeedHead(); floor != c.floor {
				t.Errorf("the feed begins at %d, want %d", floor, c.floor)
			}
			if _, _, err := m.store.Feed(c.floor-1, 10, 1<<20); !errors.Is(err, wire.ErrTrimmed) {
				t.Errorf("an event that is forgotten: %v", err)
			}
			if first, _ := feedOnDisk(t, m); first != c.disk {
				t.Errorf("the disk begins at %d, want %d", first, c.disk)
			}
			for i := range 10 {
				if r := m.one(201, say("c", "a", fmt.Sprint(i), "x")).Append; r.Replayed != (i >= c.known) {
					t.Errorf("message %d again: %+v", i, r)
				}
			}
		})
	}
}

// A clientMessageId that was forgotten and used again belongs to the new message: the old event must not take it along.
func TestExpire_ForgottenIDUsedAgain(t *testing.T) {
	m := tenMessages(t)
	m.one(200, Expire{FeedBefore: 1, DedupBefore: 101, Max: 100})
	again := m.one(201, say("c", "a", "0", "y")).Append
	if again.Replayed {
		t.Fatal("the id is still known")
	}
	m.one(300, Expire{FeedBefore: 150, DedupBefore: 150, Max: 100})
	if r := m.one(301, say("c", "a", "0", "y")).Append; !r.Replayed || r.Seq != again.Seq {
		t.Fatalf("the id of the new message went with the old event: %+v", r)
	}
}

// What an entry forgets, its later commands do not know any more.
func TestExpire_WithinOneEntry(t *testing.T) {
	m := tenMessages(t)
	r := m.do(200, say("c", "a", "3", "x"), Expire{FeedBefore: 104, DedupBefore: 104, Max: 100},
		Expire{FeedBefore: 106, DedupBefore: 106, Max: 100}, say("c", "a", "3", "x"), say("c", "a", "3", "x"))
	if !r[0].Append.Replayed || r[3].Append.Replayed || r[3].Append.Seq != 11 || !r[4].Append.Replayed {
		t.Fatalf("got %+v", r)
	}
	if first, last := feedOnDisk(t, m); first != 8 || last != 12 {
		t.Fatalf("on disk are %d to %d", first, last)
	}
}

func TestExpire_NothingMayBeLookedAt(t *testing.T) {
	m := tenMessages(t)
	if r := m.do(200, Expire{FeedBefore: 500, DedupBefore: 500})[0]; !errors.Is(r.Err, wire.ErrBadRequest) || r.More {
		t.Fatalf("got %+v", r)
	}
}
