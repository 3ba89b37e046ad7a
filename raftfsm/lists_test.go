package raftfsm

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

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
