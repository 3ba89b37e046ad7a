package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/quorate/quorate/sequencer/wire"
)

func TestStore_FeedFromMemoryAndDiskAreTheSame(t *testing.T) {
	m := newMachine(t)
	m.one(1, group("c", "a", "b"))
	for i := range 50 {
		m.one(wire.Millis(100+i), say("c", "a", fmt.Sprint(i), "x"))
		m.one(wire.Millis(100+i), Receipt{ChatID: "c", UserID: "b", Delivered: wire.Seq(i + 1)})
	}
	read := func() (all []wire.Event) {
		for from := wire.Offset(1); ; {
			events, next, err := m.store.Feed(from, 7, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if next == from {
				return all
			}
			all, from = append(all, events...), next
		}
	}
	memory := read()
	if err := m.store.db.Flush(); err != nil {
		t.Fatal(err)
	}
	m.crash()
	disk := read()
	if len(memory) != 101 || !reflect.DeepEqual(memory, disk) {
		t.Fatalf("memory has %d events, disk %d, or they differ", len(memory), len(disk))
	}
}

// A reader may look at the floor just before it moves. He must not get what lies behind it as if nothing were missing.
func TestStore_FeedIsTrimmedUnderAReader(t *testing.T) {
	m := newMachine(t)
	m.one(1, group("c", "a"))
	for i := range 10 {
		m.one(wire.Millis(100+i), say("c", "a", fmt.Sprint(i), "x"))
	}
	m.one(200, Expire{FeedBefore: 106, DedupBefore: 106, Max: 100})
	if events, err := m.store.feedFromDisk(5, 10, 1<<20); !errors.Is(err, wire.ErrTrimmed) || events != nil {
		t.Fatalf("got %v, %v", events, err)
	}
}

func TestStore_HolesAreNotServed(t *testing.T) {
	for what, remove := range map[string][]byte{
		"an event":           numberKey(nil, tableFeed, 5),
		"an event's message": messageKey(nil, "c", 4),
	} {
		m, told := faultyMachine(t, func(errorfs.Op) bool { return false })
		defer m.store.Close()
		m.one(1, group("c", "a"))
		for i := range 10 {
			m.one(2, say("c", "a", fmt.Sprint(i), "x"))
		}
		if err := m.store.db.Delete(remove, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		if events, err := m.store.feedFromDisk(5, 10, 1<<20); !errors.Is(err, ErrStorage) || !errors.Is(<-told, ErrStorage) {
			t.Errorf("%s: got %v, %v", what, events, err)
		}
	}
	m, told := faultyMachine(t, func(errorfs.Op) bool { return false })
	defer m.store.Close()
	m.one(1, group("c", "a"))
	m.do(2, say("c", "a", "1", "x"), say("c", "a", "2", "x"), say("c", "a", "3", "x"))
	if err := m.store.db.Delete(messageKey(nil, "c", 2), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	if page, err := m.store.Range("c", 1, 10); !errors.Is(err, ErrStorage) || !errors.Is(<-told, ErrStorage) {
		t.Errorf("got %v, %v", page, err)
	}
}

func TestStore_FeedWaitWakesAndEnds(t *testing.T) {
	m := newMachine(t)
	woken := make(chan error, 1)
	go func() { woken <- m.store.FeedWait(context.Background(), 1) }()
	m.one(1, group("c", "a"))
	if err := <-woken; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := m.store.FeedWait(ctx, 2); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	go func() { woken <- m.store.FeedWait(context.Background(), 2) }()
	m.store.Close()
	if err := <-woken; !errors.Is(err, wire.ErrTryAgain) {
		t.Fatal(err)
	}
}

func TestStore_TailForgetsTheOldestAndStaysRight(t *testing.T) {
	tail := newFeedTail(10_000)
	tail.reset(1)
	for i := range 1000 {
		tail.add([]wire.Event{{Offset: wire.Offset(i + 1), ChatID: "c"}})
		events, covered := tail.read(wire.Offset(i+1), 1, 1)
		if !covered || events[0].Offset != wire.Offset(i+1) {
			t.Fatalf("the newest event is not at hand: %v", events)
		}
	}
	if tail.bytes > tail.limit || tail.first() == 1 {
		t.Fatalf("%d bytes from %d on", tail.bytes, tail.first())
	}
	if _, covered := tail.read(tail.first()-1, 1, 1); covered {
		t.Fatal("an event that is gone is said to be covered")
	}
}
