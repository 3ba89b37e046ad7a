package raftfsm

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/sequencer/wire"
)

func TestFSM_AppendGivesDenseSeqsClampedTimesAndStamps(t *testing.T) {
	m := newMachine(t)
	m.one(1000, group("c", "a", "b"))
	first := m.one(2000, say("c", "a", "1", "x")).Append
	late := say("c", "b", "1", "y")
	late.Seen = 40
	second := m.one(1500, late).Append // the next leader's clock is behind
	both := m.do(3000, say("c", "a", "2", "z"), say("c", "a", "3", "z"))
	want := []AppendResult{{1, 2000, 1, false}, {2, 2000, 41, false}, {3, 3000, 42, false}, {4, 3000, 43, false}}
	got := []AppendResult{first, second, both[0].Append, both[1].Append}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	messages, err := m.store.Range("c", 1, 10)
	if err != nil || len(messages) != 4 || messages[3].Seq != 4 || messages[1].Text != "y" {
		t.Fatalf("got %v, %v", messages, err)
	}
}

func TestFSM_RetryGetsTheFirstResult(t *testing.T) {
	m := newMachine(t)
	m.one(1000, group("c", "a", "b"))
	first := m.one(2000, say("c", "a", "1", "x")).Append
	same := m.do(3000, say("c", "a", "1", "x"), say("c", "a", "2", "n"), say("c", "a", "2", "n"), say("c", "a", "2", "m"))
	first.Replayed = true
	if same[0].Append != first {
		t.Fatalf("a retry in a later entry got %v", same[0].Append)
	}
	if !same[2].Append.Replayed || same[2].Append.Seq != same[1].Append.Seq {
		t.Fatalf("a retry in the same entry got %v", same[2].Append)
	}
	if !errors.Is(same[3].Err, wire.ErrConflict) {
		t.Fatalf("another text got %v", same[3].Err)
	}
	if other := m.one(3000, say("c", "b", "1", "x")).Append; other.Replayed || other.Seq != 3 {
		t.Fatalf("the same id of another sender got %v", other)
	}
}

func TestFSM_RetryOfOneWhoLeft(t *testing.T) {
	m := newMachine(t)
	m.one(1000, group("c", "a", "b"))
	m.one(2000, say("c", "b", "1", "x"))
	m.one(3000, ChangeMembers{ChatID: "c", Remove: []string{"b"}})
	if r := m.one(4000, say("c", "b", "1", "x")).Append; !r.Replayed || r.Seq != 1 {
		t.Fatalf("the answer to a message that was stored became %+v", r)
	}
	if err := m.do(5000, say("c", "b", "2", "x"))[0].Err; !errors.Is(err, wire.ErrNotMember) {
		t.Fatalf("one who left could write: %v", err)
	}
}

func TestFSM_ReplayAfterCrashAppliesOnce(t *testing.T) {
	m := newMachine(t)
	var log []*raft.Log
	apply := func(l *raft.Log) { m.fsm.ApplyBatch([]*raft.Log{l}) }
	add := func(commands ...Command) {
		l := logOf(uint64(len(log)+1), wire.Millis(1000+len(log)), commands...)
		log = append(log, l)
		apply(l)
	}
	add(group("c", "a", "b"))
	for i := range 20 {
		add(say("c", "a", fmt.Sprint(i), "x"))
		if i == 9 {
			if err := m.store.db.Flush(); err != nil { // so that the crash takes some entries and not others
				t.Fatal(err)
			}
		}
	}
	before := dump(t, m.store)
	m.crash()
	if index, _ := m.store.Applied(); index == 0 || index >= uint64(len(log)) {
		t.Fatalf("after the crash the state is at %d of %d: the test shows nothing", index, len(log))
	}
	replies := m.fsm.ApplyBatch(log)
	if replies[0] != nil || replies[len(replies)-1] == nil {
		t.Fatal("what the state held was applied again, or what it had lost was not")
	}
	if after := dump(t, m.store); after != before {
		t.Fatalf("the state differs after the replay:\n%s\nbefore:\n%s", after, before)
	}
	m.fsm.ApplyBatch(log)
	if after := dump(t, m.store); after != before {
		t.Fatal("a second replay changed the state")
	}
}

func TestFSM_OtherLogsCountAsApplied(t *testing.T) {
	m := newMachine(t)
	replies := m.fsm.ApplyBatch([]*raft.Log{
		{Index: 1, Term: 3, Type: raft.LogConfiguration, Data: []byte("not an entry")},
		logOf(2, 5, group("c", "a")),
	})
	if len(replies) != 2 || replies[0] != nil || replies[1] == nil {
		t.Fatalf("got %v", replies)
	}
	m.fsm.ApplyBatch([]*raft.Log{{Index: 3, Term: 4, Type: raft.LogConfiguration}})
	if index, term := m.store.Applied(); index != 3 || term != 4 {
		t.Fatalf("applied %d of term %d", index, term)
	}
}

func TestFSM_StampsEndWhereJSONDoes(t *testing.T) {
	m := newMachine(t)
	m.one(1, group("c", "a"))
	for i, seen := range []wire.Lamport{maxLamport - 1, maxLamport, 1<<64 - 1, 0} {
		c := say("c", "a", fmt.Sprint(i), "x")
		c.Seen = seen
		if r := m.one(2, c).Append; r.Lamport != maxLamport || r.Seq != wire.Seq(i+1) {
			t.Fatalf("seen %d gave %+v", seen, r)
		}
	}
}
