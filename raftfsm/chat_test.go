package raftfsm

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

func TestFSM_MembershipIsIntervals(t *testing.T) {
	m := newMachine(t)
	m.one(1, group("c", "a", "b"))
	m.one(2, say("c", "a", "1", "x"))
	m.one(3, ChangeMembers{ChatID: "c", By: "a", Remove: []string{"b"}})
	if err := m.do(4, say("c", "b", "1", "x"))[0].Err; !errors.Is(err, wire.ErrNotMember) {
		t.Fatalf("one who left could write: %v", err)
	}
	if err := m.do(4, ChangeMembers{ChatID: "c", By: "b", Add: []string{"b"}})[0].Err; !errors.Is(err, wire.ErrNotMember) {
		t.Fatalf("one who left could come back by himself: %v", err)
	}
	m.one(5, say("c", "a", "2", "x"))
	chat := m.one(6, ChangeMembers{ChatID: "c", By: "a", Add: []string{"b", "z", "z"}}).Chat
	b, _ := chat.Member("b")
	z, _ := chat.Member("z")
	if !reflect.DeepEqual(b.Intervals, []wire.Interval{{From: 1, To: 1}, {From: 3}}) {
		t.Fatalf("b reads %v", b.Intervals)
	}
	if !reflect.DeepEqual(z.Intervals, []wire.Interval{{From: 3}}) || len(chat.Members) != 3 {
		t.Fatalf("z reads %v of %v", z.Intervals, chat.Members)
	}
	marks, err := m.store.Marks("c", "z")
	if err != nil || marks.Delivered != 2 || marks.Read != 2 {
		t.Fatalf("what z cannot read counts as unread: %v, %v", marks, err)
	}
	events, _, err := m.store.Feed(1, 100, 1<<20)
	if err != nil || len(events) != 5 || events[2].Kind != wire.EventMembers || events[2].Removed[0] != "b" {
		t.Fatalf("feed: %v, %v", events, err)
	}
}

func TestFSM_IntervalsOfAnEmptyChatAndTheirBound(t *testing.T) {
	m := newMachine(t)
	m.one(1, group("c", "a", "b"))
	m.one(2, ChangeMembers{ChatID: "c", Remove: []string{"b"}})
	chat := m.one(3, ChangeMembers{ChatID: "c", Add: []string{"b"}}).Chat
	if b, _ := chat.Member("b"); !reflect.DeepEqual(b.Intervals, []wire.Interval{{From: 1}}) {
		t.Fatalf("nothing was said, and b reads %v", b.Intervals)
	}
	for i := range 3 * maxIntervals {
		m.one(4, say("c", "a", fmt.Sprint(i), "x"))
		m.one(4, ChangeMembers{ChatID: "c", Remove: []string{"b"}})
		chat = m.one(4, ChangeMembers{ChatID: "c", Add: []string{"b"}}).Chat
	}
	if b, _ := chat.Member("b"); len(b.Intervals) != maxIntervals {
		t.Fatalf("%d intervals are kept", len(b.Intervals))
	} else if last := b.Intervals[maxIntervals-1]; last != (wire.Interval{From: chat.LastSeq + 1}) {
		t.Fatalf("the newest one is %v at seq %d", last, chat.LastSeq)
	}
}

func TestFSM_HistoryFromStart(t *testing.T) {
	m := newMachine(t)
	c := group("c", "a")
	c.HistoryFromStart = true
	m.one(1, c)
	m.one(2, say("c", "a", "1", "x"))
	chat := m.one(3, ChangeMembers{ChatID: "c", Add: []string{"b"}}).Chat
	if b, _ := chat.Member("b"); !b.Covers(1) {
		t.Fatalf("b reads %v", b.Intervals)
	}
}

func TestFSM_CreateFindsTheSameChat(t *testing.T) {
	m := newMachine(t)
	if r := m.one(1, group("c", "a", "b")); !r.Fresh {
		t.Fatal("a new chat is not fresh")
	}
	m.one(2, ChangeMembers{ChatID: "c", Add: []string{"z"}})
	again := group("c", "a", "b")
	again.Name, again.HistoryFromStart = "another name", true
	r := m.one(3, again)
	if r.Fresh || len(r.Chat.Members) != 3 || r.Chat.Name != "" || r.Chat.HistoryFromStart {
		t.Fatalf("got %+v", r)
	}
	for what, c := range map[string]CreateChat{
		"other members": group("c", "a"),
		"other creator": {ChatID: "c", Type: wire.GroupChat, CreatorID: "b", Members: []string{"a", "b"}},
	} {
		if err := m.do(4, c)[0].Err; !errors.Is(err, wire.ErrConflict) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, c := range map[string]CreateChat{
		"one member":      {ChatID: "d", Type: wire.Direct, CreatorID: "a", Members: []string{"a"}},
		"no creator":      {ChatID: "d", Type: wire.GroupChat, CreatorID: "q", Members: []string{"a"}},
		"twice":           {ChatID: "d", Type: wire.GroupChat, CreatorID: "a", Members: []string{"a", "a"}},
		"unsorted":        {ChatID: "d", Type: wire.GroupChat, CreatorID: "a", Members: []string{"b", "a"}},
		"an unknown type": {ChatID: "d", Type: "club", CreatorID: "a", Members: []string{"a"}},
		"a NUL in an id":  {ChatID: "d\x00e", Type: wire.GroupChat, CreatorID: "a", Members: []string{"a"}},
		"an empty id":     {ChatID: "d", Type: wire.GroupChat, CreatorID: "", Members: []string{"", "a"}},
	} {
		if err := m.do(5, c)[0].Err; !errors.Is(err, wire.ErrBadRequest) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestFSM_MemberLimits(t *testing.T) {
	m := newMachine(t)
	var all []string
	for i := range wire.MaxMembers {
		all = append(all, fmt.Sprintf("u%04d", i))
	}
	m.one(1, group("c", all...))
	if err := m.do(2, ChangeMembers{ChatID: "c", Add: []string{"x"}})[0].Err; !errors.Is(err, wire.ErrTooLarge) {
		t.Fatalf("member 257: %v", err)
	}
	m.one(3, ChangeMembers{ChatID: "c", Add: []string{"x"}, Remove: []string{"u0000"}})
	if err := m.do(4, group("d", append(all, "v")...))[0].Err; !errors.Is(err, wire.ErrTooLarge) {
		t.Fatalf("a chat of 257: %v", err)
	}
	m.one(5, CreateChat{ChatID: "e", Type: wire.Direct, CreatorID: "a", Members: []string{"a", "b"}})
	if err := m.do(6, ChangeMembers{ChatID: "e", Add: []string{"x"}})[0].Err; !errors.Is(err, wire.ErrConflict) {
		t.Fatalf("a third one in a direct chat: %v", err)
	}
}

func TestFSM_IdsThatWouldSpoilTheKeys(t *testing.T) {
	m := newMachine(t)
	m.one(1, group("c", "a"))
	before := dump(t, m.store)
	for _, c := range []Command{
		ChangeMembers{ChatID: "c", Add: []string{"b", ""}},
		ChangeMembers{ChatID: "c", Add: []string{"b\x00"}},
		ClaimPair{UserID: "a", OtherID: "b\x00c", ChatID: "x"},
		ClaimPair{UserID: "b", OtherID: "a", ChatID: "x"},
		ClaimPair{UserID: "a", OtherID: "a", ChatID: "x"},
		PutUserChat{UserID: "", Chat: wire.UserChat{ChatID: "c", Version: 1}},
		PutUserChat{UserID: "a", Chat: wire.UserChat{ChatID: "c\x00", Version: 1}},
	} {
		if err := m.do(2, c)[0].Err; !errors.Is(err, wire.ErrBadRequest) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	strip := func(dump string) string { return dump[strings.Index(dump, "\n"):] } // the group's record holds the index
	if after := dump(t, m.store); strip(after) != strip(before) {
		t.Errorf("something was stored:\n%s", after)
	}
}
