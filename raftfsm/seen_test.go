package raftfsm

import (
	"errors"
	"fmt"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

func TestFSM_LastSeenOnlyRises(t *testing.T) {
	m := newMachine(t)
	const now = 1_700_000_000_000
	for i, step := range []struct{ at, want wire.Millis }{
		{now - 50, now - 50}, {now - 80, now - 50}, {now - 50, now - 50}, {now + maxSeenAhead, now + maxSeenAhead}, {now, now + maxSeenAhead},
	} {
		if r := m.one(now, Seen{UserID: "ann", At: step.at}); wire.Millis(r.Value) != step.want {
			t.Errorf("step %d: %d, want %d", i, r.Value, step.want)
		}
	}
	if r := m.do(now, Seen{UserID: "bob", At: now + maxSeenAhead + 1})[0]; !errors.Is(r.Err, wire.ErrBadRequest) {
		t.Errorf("far ahead: %+v", r)
	}
	for _, user := range []string{"", "a\x00b"} {
		if r := m.do(now, Seen{UserID: user, At: now})[0]; !errors.Is(r.Err, wire.ErrBadRequest) {
			t.Errorf("user %q: %+v", user, r)
		}
	}
	if at, err := m.store.LastSeen("bob"); at != 0 || err != nil {
		t.Errorf("bob was never seen: %d, %v", at, err)
	}
	results := m.do(now+1, Seen{UserID: "cid", At: 5}, Seen{UserID: "cid", At: 9}, Seen{UserID: "cid", At: 7})
	for i, want := range []uint64{5, 9, 9} {
		if results[i].Value != want {
			t.Errorf("within an entry, command %d: %d, want %d", i, results[i].Value, want)
		}
	}
}

func TestFSM_ConsumersOfTheFeedAreBounded(t *testing.T) {
	m := newMachine(t)
	m.one(1, group("c", "ann"))
	commands := make([]Command, maxConsumers)
	for i := range commands {
		commands[i] = CommitFeed{Consumer: fmt.Sprint("hub/", i), Offset: 1}
	}
	half := len(commands) / 2
	for i, r := range append(m.do(2, commands[:half]...), m.do(3, commands[half:]...)...) {
		if r.Err != nil || r.Value != 1 {
			t.Fatalf("consumer %d: %+v", i, r)
		}
	}
	if r := m.do(4, CommitFeed{Consumer: "one more", Offset: 1})[0]; !errors.Is(r.Err, wire.ErrTooLarge) {
		t.Errorf("one too many: %+v", r)
	}
	if r := m.one(5, CommitFeed{Consumer: "hub/7", Offset: 2}); r.Value != 2 {
		t.Errorf("one of those known: %+v", r)
	}
	for what, c := range map[string]CommitFeed{
		"offset 0": {Consumer: "hub/7"}, "offset beyond the feed": {Consumer: "hub/7", Offset: 3}, "no name": {Offset: 1},
	} {
		if r := m.do(6, c)[0]; !errors.Is(r.Err, wire.ErrBadRequest) {
			t.Errorf("%s: %+v", what, r)
		}
	}
	if offset, err := m.store.Committed("hub/7"); offset != 2 || err != nil {
		t.Errorf("goes on at %d, %v", offset, err)
	}
	if offset, err := m.store.Committed("one more"); offset != 0 || err != nil {
		t.Errorf("a stranger goes on at %d, %v", offset, err)
	}
}
