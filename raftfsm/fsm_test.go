package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
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

func TestFSM_WatermarksRiseAndKeepTheirTimes(t *testing.T) {
	m := newMachine(t)
	m.one(1, group("c", "a", "b", "z"))
	for i := range 10 {
		m.one(10, say("c", "a", fmt.Sprint(i), "x"))
	}
	m.one(20, Receipt{ChatID: "c", UserID: "b", Delivered: 4})
	m.one(30, Receipt{ChatID: "c", UserID: "b", Delivered: 8, Read: 2})
	got := m.one(40, Receipt{ChatID: "c", UserID: "b", Delivered: 3, Read: 6}).Marks
	if want := (wire.Watermarks{UserID: "b", Delivered: 8, Read: 6, DeliveredAt: 30, ReadAt: 40}); got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	head, _ := m.store.FeedHead()
	m.one(50, Receipt{ChatID: "c", UserID: "b", Delivered: 8, Read: 6})
	if now, _ := m.store.FeedHead(); now != head {
		t.Fatal("a receipt that changes nothing is told")
	}
	m.one(60, Receipt{ChatID: "c", UserID: "z", Read: 5})
	chat, _ := m.store.Chat("c")
	page, _ := m.store.Range("c", 1, 10)
	if err := m.store.Times(chat, page); err != nil {
		t.Fatal(err)
	}
	var delivered, read []wire.Millis
	for _, p := range page {
		delivered, read = append(delivered, p.DeliveredAt), append(read, p.ReadAt)
	}
	if want := []wire.Millis{60, 60, 60, 60, 60, 0, 0, 0, 0, 0}; !reflect.DeepEqual(delivered, want) {
		t.Errorf("delivered %v, want %v", delivered, want)
	}
	if want := []wire.Millis{60, 60, 60, 60, 60, 0, 0, 0, 0, 0}; !reflect.DeepEqual(read, want) {
		t.Errorf("read %v, want %v", read, want)
	}
	of, err := m.store.ReceiptsOf("c", 3)
	if err != nil || len(of) != 2 || of[0].DeliveredAt != 20 || of[0].ReadAt != 40 || of[1].ReadAt != 60 {
		t.Errorf("receipts of 3: %+v, %v", of, err)
	}
	for _, bad := range []Receipt{{ChatID: "c", UserID: "b", Delivered: 11}, {ChatID: "c", UserID: "b", Read: 1 << 63}} {
		if err := m.do(70, bad)[0].Err; !errors.Is(err, wire.ErrBadRequest) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if err := m.do(70, Receipt{ChatID: "c", UserID: "q", Read: 1})[0].Err; !errors.Is(err, wire.ErrNotMember) {
		t.Errorf("a stranger's receipt: %v", err)
	}
}

func TestFSM_ChatListsFollowVersions(t *testing.T) {
	m := newMachine(t)
	line := func(version uint64, present bool) PutUserChat {
		return PutUserChat{UserID: "u", Present: present, Chat: wire.UserChat{ChatID: "c", Type: wire.GroupChat, Version: version}}
	}
	m.do(1, line(3, true), line(2, false))
	chats, _, err := m.store.UserChats("u", "", 10)
	if err != nil || len(chats) != 1 || chats[0].Version != 3 {
		t.Fatalf("an older change won: %v, %v", chats, err)
	}
	m.one(2, line(4, false))
	if chats, _, _ = m.store.UserChats("u", "", 10); len(chats) != 0 {
		t.Fatalf("the chat is still listed: %v", chats)
	}
	for i := range 7 {
		m.one(3, PutUserChat{UserID: "w", Present: true, Chat: wire.UserChat{ChatID: fmt.Sprintf("c%d", i), Version: 1}})
	}
	var seen []string
	for behind := ""; ; {
		page, next, err := m.store.UserChats("w", behind, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page {
			seen = append(seen, c.ChatID)
		}
		if behind = next; next == "" {
			break
		}
	}
	if want := []string{"c0", "c1", "c2", "c3", "c4", "c5", "c6"}; !reflect.DeepEqual(seen, want) {
		t.Fatalf("pages gave %v", seen)
	}
}

func TestFSM_OutboxHoldsChangesUntilAcknowledged(t *testing.T) {
	m := newMachine(t)
	m.one(1, group("c", "a", "b"))
	m.one(2, ChangeMembers{ChatID: "c", Remove: []string{"b"}})
	records, err := m.store.Outbox(10)
	if err != nil || len(records) != 3 || records[2].Present || records[2].Chat.Version != 2 {
		t.Fatalf("got %+v, %v", records, err)
	}
	m.one(3, AckOutbox{Through: records[1].ID})
	if left, _ := m.store.Outbox(10); len(left) != 1 || left[0].ID != records[2].ID {
		t.Fatalf("left %+v", left)
	}
	m.one(4, AckOutbox{Through: 1 << 60})
	if left, _ := m.store.Outbox(10); len(left) != 0 {
		t.Fatalf("left %+v", left)
	}
	m.one(5, ChangeMembers{ChatID: "c", Add: []string{"b"}})
	if left, _ := m.store.Outbox(10); len(left) != 1 {
		t.Fatalf("an acknowledgement took a record that came after it: %+v", left)
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

func TestFSM_PairsAreClaimedOnce(t *testing.T) {
	m := newMachine(t)
	claim := func(chat, replaces string) string {
		return m.one(1, ClaimPair{UserID: "a", OtherID: "b", ChatID: chat, Replaces: replaces}).ChatID
	}
	got := []string{claim("x", ""), claim("y", ""), claim("z", "y"), claim("z", "x"), claim("q", "")}
	if want := []string{"x", "x", "x", "z", "z"}; !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if winner, err := m.store.Pair("a", "b"); winner != "z" || err != nil {
		t.Fatalf("got %q, %v", winner, err)
	}
}

func TestFSM_ExpireForgetsFeedAndDedupByTime(t *testing.T) {
	m := newMachine(t)
	m.one(1, group("c", "a"))
	for i := range 10 {
		m.one(wire.Millis(100+i), say("c", "a", fmt.Sprint(i), "x"))
	}
	r := m.one(200, Expire{FeedBefore: 106, DedupBefore: 103, Max: 4})
	for r.More {
		r = m.one(200, Expire{FeedBefore: 106, DedupBefore: 103, Max: 4})
	}
	if _, floor := m.store.FeedHead(); floor != 8 {
		t.Fatalf("the feed begins at %d", floor)
	}
	if _, _, err := m.store.Feed(7, 10, 1<<20); !errors.Is(err, wire.ErrTrimmed) {
		t.Fatalf("a forgotten event: %v", err)
	}
	if r := m.one(201, say("c", "a", "3", "x")).Append; !r.Replayed {
		t.Fatal("a clientMessageId was forgotten too early")
	}
	if r := m.one(202, say("c", "a", "2", "x")).Append; r.Replayed || r.Seq != 11 {
		t.Fatalf("a clientMessageId is remembered for too long: %+v", r)
	}
}

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
	if tail.bytes > tail.limit || tail.first == 1 {
		t.Fatalf("%d bytes from %d on", tail.bytes, tail.first)
	}
	if _, covered := tail.read(tail.first-1, 1, 1); covered {
		t.Fatal("an event that is gone is said to be covered")
	}
}
