package sequencer_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/quorate/quorate/sequencer"
)

// page shows the seqs of a CHAT.RANGE, and next.
func page(t *testing.T, c *raw, args ...string) string {
	t.Helper()
	got := fields(t, works(t, c.do(append([]string{"CHAT.RANGE"}, args...)...)))
	var seqs []string
	for _, m := range list(t, got["messages"]) {
		seqs = append(seqs, fmt.Sprint(fields(t, m)["seq"]))
	}
	return fmt.Sprintf("%s/%v", strings.Join(seqs, " "), got["next"])
}

// coming makes a chat of 12 messages where bob was a member for 1..3, 7..8 and from 11 on.
func coming(t *testing.T, c *raw) {
	t.Helper()
	works(t, c.do("CHAT.CREATE", "c", "group", "alice", "MEMBERS", "bob"))
	for seq := 1; seq <= 12; seq++ {
		switch seq {
		case 4, 9:
			works(t, c.do("CHAT.MEMBERS", "c", "REMOVE", "bob"))
		case 7, 11:
			works(t, c.do("CHAT.MEMBERS", "c", "ADD", "bob"))
		}
		works(t, c.do("CHAT.APPEND", "c", "alice", fmt.Sprint("m", seq), strings.Repeat("x", 1000)))
	}
}

func TestRange_SkipsWhatAMemberMayNotRead(t *testing.T) {
	c := dial(t, openNode(t, nil).RESPAddr())
	coming(t, c)
	for _, tt := range []struct{ args, want string }{
		{"c 1 500", "1 2 3 4 5 6 7 8 9 10 11 12/0"},
		{"c 1 500 FOR bob", "1 2 3 7 8 11 12/0"},
		{"c 1 3 FOR bob", "1 2 3/7"},
		{"c 4 1 FOR bob", "7/8"},
		{"c 8 1 FOR bob", "8/11"},
		{"c 9 2 FOR bob", "11 12/0"},
		{"c 13 2 FOR bob", "/0"},
		{"c 9007199254740991 500 BEFORE FOR bob", "1 2 3 7 8 11 12/0"},
		{"c 9007199254740991 3 BEFORE FOR bob", "8 11 12/8"},
		{"c 8 2 BEFORE FOR bob", "3 7/3"},
		{"c 3 2 BEFORE FOR bob", "1 2/0"},
		{"c 1 2 BEFORE FOR bob", "/0"},
		{"c 9 3 BEFORE", "6 7 8/6"},
	} {
		if got := page(t, c, strings.Fields(tt.args)...); got != tt.want {
			t.Errorf("CHAT.RANGE %s: %s, want %s", tt.args, got, tt.want)
		}
	}
	if got := fields(t, c.do("CHAT.GET", "c"))["intervals"]; fmt.Sprint(got) != "[[1 0] [1 3 7 8 11 0]]" {
		t.Errorf("intervals are %v", got)
	}
	failsWith(t, c.do("CHAT.RECEIPTS", "c", "5", "FOR", "bob"), "NOTMEMBER")
	works(t, c.do("CHAT.RECEIPTS", "c", "7", "FOR", "bob"))
}

// TestRange_PagesAreBoundedInBytes: a page ends early rather than grow, and the walk goes on all the same.
func TestRange_PagesAreBoundedInBytes(t *testing.T) {
	c := dial(t, openNode(t, func(cfg *sequencer.Config) { cfg.Limits.FeedBytes = 4000 }).RESPAddr())
	coming(t, c)
	for _, tt := range []struct{ args, want string }{
		{"c 1 500 FOR bob", "1 2/3"},
		{"c 3 500 FOR bob", "3 7/8"},
		{"c 11 500 FOR bob", "11 12/0"},
		{"c 100 500 BEFORE FOR bob", "11 12/11"},
		{"c 3 500 BEFORE FOR bob", "1 2/0"},
	} {
		if got := page(t, c, strings.Fields(tt.args)...); got != tt.want {
			t.Errorf("CHAT.RANGE %s: %s, want %s", tt.args, got, tt.want)
		}
	}
}

func TestRange_Times(t *testing.T) {
	c := dial(t, openNode(t, nil).RESPAddr())
	works(t, c.do("CHAT.CREATE", "c", "group", "alice", "MEMBERS", "bob", "carol"))
	for i := range 3 {
		works(t, c.do("CHAT.APPEND", "c", "alice", fmt.Sprint(i), "text"))
	}
	works(t, c.do("CHAT.RECEIPT", "c", "bob", "READ", "3", "carol", "DELIVERED", "2"))
	messages := list(t, fields(t, works(t, c.do("CHAT.RANGE", "c", "1", "3", "TIMES")))["messages"])
	for i, m := range messages {
		got := fields(t, m)
		if delivered := got["deliveredAt"] != int64(0); delivered != (i < 2) || got["readAt"] != int64(0) {
			t.Errorf("message %d: %v", i+1, got)
		}
	}
	receipts := list(t, works(t, c.do("CHAT.RECEIPTS", "c", "3")))
	if len(receipts) != 2 {
		t.Fatalf("receipts of a message: %v", receipts)
	}
	bob, carol := fields(t, receipts[0]), fields(t, receipts[1])
	if bob["userId"] != "bob" || bob["readAt"] == int64(0) || carol["userId"] != "carol" || carol["deliveredAt"] != int64(0) {
		t.Errorf("receipts of message 3: %v", receipts)
	}
}

func TestFeed_TellsAllThatHappened(t *testing.T) {
	c := dial(t, openNode(t, func(cfg *sequencer.Config) { cfg.Groups = 1 }).RESPAddr())
	works(t, c.do("HELLO", "3"))
	works(t, c.do("CHAT.CREATE", "c", "group", "alice", "MEMBERS", "bob"))
	works(t, c.do("CHAT.APPEND", "c", "alice", "m1", "hello", "SEEN", "6", "TRACE", "00-trace"))
	works(t, c.do("CHAT.RECEIPT", "c", "bob", "READ", "1"))
	works(t, c.do("CHAT.MEMBERS", "c", "ADD", "carol", "REMOVE", "bob"))
	first := fields(t, works(t, c.do("FEED.READ", "0", "1", "COUNT", "3")))
	rest := fields(t, works(t, c.do("FEED.READ", "0", fmt.Sprint(first["next"]))))
	events := append(list(t, first["events"]), list(t, rest["events"])...)
	want := []map[string]any{
		{"offset": 1, "kind": "chat", "chatId": "c", "version": 1, "seq": 0, "added": "[alice bob]", "removed": "[]"},
		{
			"offset": 2, "kind": "message", "chatId": "c", "seq": 1, "senderId": "alice", "clientMessageId": "m1", "text": "hello",
			"lamport": 7, "trace": "00-trace",
		},
		{"offset": 3, "kind": "receipt", "chatId": "c", "userId": "bob", "deliveredUpTo": 1, "readUpTo": 1},
		{"offset": 4, "kind": "members", "chatId": "c", "version": 2, "seq": 1, "added": "[carol]", "removed": "[bob]"},
	}
	if len(events) != len(want) || rest["next"] != int64(5) {
		t.Fatalf("the feed is %v, then %v", first, rest)
	}
	for i := range want {
		hasFields(t, fmt.Sprint("event ", i), events[i], want[i])
	}
	if head := fields(t, c.do("FEED.HEAD", "0")); head["next"] != int64(5) || head["floor"] != int64(1) {
		t.Errorf("FEED.HEAD answers %v", head)
	}
}

// TestUserChats_FollowMembership: a chat list changes a moment after the members of the chat.
func TestUserChats_FollowMembership(t *testing.T) {
	c := dial(t, openNode(t, nil).RESPAddr())
	for i := range 5 {
		works(t, c.do("CHAT.CREATE", fmt.Sprint("g", i), "group", "alice", "NAME", fmt.Sprint("Group ", i), "MEMBERS", "bob"))
	}
	works(t, c.do("CHAT.MEMBERS", "g2", "REMOVE", "bob"))
	chats := func(args ...string) string {
		got := fields(t, works(t, c.do(append([]string{"USER.CHATS", "bob"}, args...)...)))
		var ids []string
		for _, chat := range list(t, got["chats"]) {
			ids = append(ids, fmt.Sprint(fields(t, chat)["chatId"]))
		}
		return fmt.Sprintf("%s/%v", strings.Join(ids, " "), got["next"])
	}
	eventually(t, "the list to be complete", func() bool { return chats() == "g0 g1 g3 g4/" })
	if got := chats("COUNT", "3"); got != "g0 g1 g3/g3" {
		t.Errorf("the first page is %s", got)
	}
	if got := chats("AFTER", "g3", "COUNT", "3"); got != "g4/" {
		t.Errorf("the second page is %s", got)
	}
}
