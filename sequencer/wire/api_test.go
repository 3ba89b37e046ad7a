package wire_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

// scripted is a node that answers each command as the table says, and a client of it.
func scripted(t *testing.T, answers map[string]string) *wire.Client {
	_, c := single(t, wire.ClientConfig{}, func(_ *fakeConn, args []string) string {
		answer, ok := answers[strings.Join(args, " ")]
		if !ok {
			return "-ERR unexpected: " + strings.Join(args, " ") + "\r\n"
		}
		return answer
	})
	return c
}

var ctx = context.Background()

func TestClient_Append(t *testing.T) {
	ack := func(replayed int) string {
		return maps("seq", num(7), "sentAt", num(1700000000123), "lamport", num(99), "replayed", num(replayed))
	}
	c := scripted(t, map[string]string{
		"CHAT.APPEND tea ann id-1 hi there":              ack(0),
		"CHAT.APPEND tea ann id-1 hi SEEN 41 TRACE 00-1": ack(1),
		"CHAT.APPEND tea ann id-2 x":                     "-CONFLICT other text\r\n",
		"CHAT.APPEND tea ann id-3 x":                     "+OK\r\n",
		"CHAT.APPEND tea ann id-4 x":                     maps("seq", num(0)),
	})
	want := wire.AppendAck{Seq: 7, SentAt: 1700000000123, Lamport: 99}
	got, err := c.Append(ctx, wire.AppendRequest{ChatID: "tea", SenderID: "ann", ClientMessageID: "id-1", Text: "hi there"})
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	want.Replayed = true
	q := wire.AppendRequest{ChatID: "tea", SenderID: "ann", ClientMessageID: "id-1", Text: "hi", Seen: 41, Trace: "00-1"}
	done := make(chan struct{})
	c.AppendAsync(patience, q, func(got wire.AppendAck, err error) {
		if err != nil || got != want {
			t.Errorf("async: got %+v, %v", got, err)
		}
		close(done)
	})
	awaitClosed(t, "ack", done)
	q = wire.AppendRequest{ChatID: "tea", SenderID: "ann", ClientMessageID: "id-2", Text: "x"}
	if _, err := c.Append(ctx, q); !errors.Is(err, wire.ErrConflict) {
		t.Errorf("conflict: %v", err)
	}
	for _, id := range []string{"id-3", "id-4"} {
		q.ClientMessageID = id
		if got, err := c.Append(ctx, q); err == nil || wire.Temporary(err) {
			t.Errorf("malformed: %v, %v", got, err)
		}
	}
}

// chatFields is a chat map but for its head.
func chatFields(more ...string) string {
	return maps(append([]string{
		"chatId", bulk("tea"), "type", bulk("group"), "name", bulk("Tea & Cake"), "creator", bulk("ann"),
		"members", list(bulk("ann"), bulk("bob")),
		"intervals", list(list(num(1), num(0)), list(num(1), num(4), num(9), num(0))),
		"history", bulk("start"), "createdAt", num(1700000000000), "lastSeq", num(12), "hotFrom", num(2),
		"lamport", num(55), "version", num(3),
	}, more...)...)
}

var teaChat = wire.Chat{
	ChatID: "tea", Type: wire.GroupChat, Name: "Tea & Cake", CreatorID: "ann", CreatedAt: 1700000000000,
	HistoryFromStart: true, Version: 3, LastSeq: 12, HotFrom: 2, Lamport: 55,
	Members: []wire.Member{
		{UserID: "ann", Intervals: []wire.Interval{{From: 1}}},
		{UserID: "bob", Intervals: []wire.Interval{{From: 1, To: 4}, {From: 9}}},
	},
}

// messageOf is a message map, and teaMessage what it says.
func messageOf(seq int, more ...string) string {
	return maps(append([]string{
		"seq", num(seq), "senderId", bulk("ann"), "clientMessageId", bulk(fmt.Sprintf("id-%d", seq)), "text", bulk("grüße"),
		"sentAt", num(1700000000000 + seq), "lamport", num(100 + seq),
	}, more...)...)
}

func teaMessage(seq int) wire.Message {
	return wire.Message{
		ChatID: "tea", Seq: wire.Seq(seq), SenderID: "ann", ClientMessageID: fmt.Sprintf("id-%d", seq), Text: "grüße",
		SentAt: wire.Millis(1700000000000 + seq), Lamport: wire.Lamport(100 + seq),
	}
}

func TestClient_Chats(t *testing.T) {
	c := scripted(t, map[string]string{
		"CHAT.CREATE tea group ann NAME Tea & Cake HISTORY start MEMBERS ann bob": chatFields("fresh", num(1)),
		"CHAT.CREATE tea group ann": chatFields("fresh", num(0)),
		"CHAT.GET tea":              chatFields(),
		"CHAT.GET tea FOR bob": chatFields("deliveredUpTo", num(11), "readUpTo", num(10), "from", num(1),
			"lastMessage", messageOf(12)),
		"CHAT.GET tea FOR eve":                           "-NOTMEMBER\r\n",
		"CHAT.MEMBERS tea":                               list(bulk("ann"), bulk("bob")),
		"CHAT.MEMBERS tea ADD eve zoe REMOVE bob BY ann": list(bulk("ann"), bulk("eve"), bulk("zoe")),
		"USER.PAIR ann bob tea":                          bulk("tea"),
		"USER.PAIR ann bob tea REPLACES old":             bulk("other"),
		"USER.CHATS ann":                                 maps("chats", list(), "next", bulk("")),
		"USER.CHATS ann AFTER tea COUNT 2":               maps("chats", list(maps("chatId", bulk("uni"), "type", bulk("direct"), "name", bulk(""), "version", num(4))), "next", bulk("uni")),
	})
	chat, fresh, err := c.CreateChat(ctx, wire.CreateChatRequest{
		ChatID: "tea", Type: wire.GroupChat, CreatorID: "ann", Name: "Tea & Cake", Members: []string{"ann", "bob"}, HistoryFromStart: true,
	})
	if err != nil || !fresh || !reflect.DeepEqual(*chat, teaChat) {
		t.Errorf("create: %+v, %v, %v", chat, fresh, err)
	}
	if _, fresh, err = c.CreateChat(ctx, wire.CreateChatRequest{ChatID: "tea", Type: wire.GroupChat, CreatorID: "ann"}); err != nil || fresh {
		t.Errorf("create again: %v, %v", fresh, err)
	}
	if view, err := c.GetChat(ctx, "tea", ""); err != nil || !reflect.DeepEqual(*view, wire.ChatView{Chat: teaChat}) {
		t.Errorf("get: %+v, %v", view, err)
	}
	last := teaMessage(12)
	want := wire.ChatView{Chat: teaChat, DeliveredUpTo: 11, ReadUpTo: 10, From: 1, LastMessage: &last}
	done := make(chan struct{})
	c.GetChatAsync(patience, "tea", "bob", func(view *wire.ChatView, err error) {
		if err != nil || !reflect.DeepEqual(*view, want) {
			t.Errorf("get for bob: %+v, %v", view, err)
		}
		close(done)
	})
	awaitClosed(t, "chat", done)
	if view, err := c.GetChat(ctx, "tea", "eve"); view != nil || !errors.Is(err, wire.ErrNotMember) {
		t.Errorf("get for eve: %v, %v", view, err)
	}
	if got, err := c.ChangeMembers(ctx, "tea", "", nil, nil); err != nil || strings.Join(got, " ") != "ann bob" {
		t.Errorf("members: %v, %v", got, err)
	}
	got, err := c.ChangeMembers(ctx, "tea", "ann", []string{"eve", "zoe"}, []string{"bob"})
	if err != nil || strings.Join(got, " ") != "ann eve zoe" {
		t.Errorf("change: %v, %v", got, err)
	}
	if got, err := c.ClaimPair(ctx, "bob", "ann", "tea", ""); err != nil || got != "tea" {
		t.Errorf("pair: %v, %v", got, err)
	}
	if got, err := c.ClaimPair(ctx, "ann", "bob", "tea", "old"); err != nil || got != "other" {
		t.Errorf("pair: %v, %v", got, err)
	}
	if chats, next, err := c.UserChats(ctx, "ann", "", 0); err != nil || len(chats) != 0 || next != "" {
		t.Errorf("no chats: %v, %q, %v", chats, next, err)
	}
	done = make(chan struct{})
	c.UserChatsAsync(patience, "ann", "tea", 2, func(page wire.UserChatsPage, err error) {
		want := wire.UserChatsPage{Chats: []wire.UserChat{{ChatID: "uni", Type: wire.Direct, Version: 4}}, Next: "uni"}
		if err != nil || !reflect.DeepEqual(page, want) {
			t.Errorf("chats: %+v, %v", page, err)
		}
		close(done)
	})
	awaitClosed(t, "chats", done)
}

func TestClient_Range(t *testing.T) {
	page := func(next int, messages ...string) string {
		return maps("chatId", bulk("tea"), "messages", list(messages...), "next", num(next), "archived", num(0))
	}
	c := scripted(t, map[string]string{
		"CHAT.RANGE tea 1 2":                              page(3, messageOf(1), messageOf(2)),
		"CHAT.RANGE tea 9 500 BEFORE STALE TIMES FOR bob": page(0, messageOf(8, "deliveredAt", num(5), "readAt", num(0))),
		"CHAT.RANGE tea 5 2":                              page(0, messageOf(5), messageOf(5)),
		"CHAT.RANGE tea 6 2":                              "+OK\r\n",
	})
	got, err := c.Range(ctx, wire.RangeRequest{ChatID: "tea", From: 1, Count: 2})
	want := wire.Page{Messages: []wire.Message{teaMessage(1), teaMessage(2)}, Next: 3}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	q := wire.RangeRequest{ChatID: "tea", From: 9, Count: 500, Before: true, Stale: true, Times: true, ForUser: "bob"}
	done := make(chan struct{})
	c.RangeAsync(patience, q, func(got wire.Page, err error) {
		m := teaMessage(8)
		m.DeliveredAt = 5
		if err != nil || !reflect.DeepEqual(got, wire.Page{Messages: []wire.Message{m}}) {
			t.Errorf("async: got %+v, %v", got, err)
		}
		close(done)
	})
	awaitClosed(t, "page", done)
	for _, from := range []wire.Seq{5, 6} {
		if got, err := c.Range(ctx, wire.RangeRequest{ChatID: "tea", From: from, Count: 2}); err == nil {
			t.Errorf("malformed from %d: %+v", from, got)
		}
	}
}

// TestClient_Heads asks about chats of one group, two of them in one slot, and some that are not there.
func TestClient_Heads(t *testing.T) {
	testHeads(t, false, func(slots int) bool { return slots > 1 })
}

// TestClient_HeadsOfNodesThatWantOneSlot asks a node of an earlier version. It refuses once.
func TestClient_HeadsOfNodesThatWantOneSlot(t *testing.T) {
	testHeads(t, true, func(slots int) bool { return slots == 1 })
}

// testHeads asks a node that takes chats of several slots in one command, or does not. fits tells of how many slots the last command may be.
func testHeads(t *testing.T, apart bool, fits func(slots int) bool) {
	n, c := single(t, wire.ClientConfig{}, func(_ *fakeConn, args []string) string {
		if args[1] == "broken" {
			return "-ERR no\r\n"
		}
		if apart && slotsIn(args[1:len(args)-2]) > 1 {
			return "-CROSSSLOT Keys in request don't hash to the same slot\r\n"
		}
		var heads []string
		for _, chat := range args[1 : len(args)-2] {
			if strings.HasPrefix(chat, "none") {
				heads = append(heads, "_\r\n")
				continue
			}
			heads = append(heads, maps("chatId", bulk(chat), "lastSeq", num(len(chat)), "hotFrom", num(1), "lamport", num(9),
				"deliveredUpTo", num(3), "readUpTo", num(2), "from", num(1)))
		}
		return list(heads...)
	})
	twin := "tea" // in the same slot
	for i := 0; twin == "tea" || wire.SlotOf(twin) != wire.SlotOf("tea"); i++ {
		twin = fmt.Sprintf("twin-%d", i)
	}
	chats := []string{"tea", "none-1", twin, "none-2"}
	for i := range 600 { // more than are asked for at a time
		chats = append(chats, fmt.Sprintf("chat-%d", i))
	}
	heads, err := c.Heads(ctx, chats, "ann")
	if err != nil || len(heads) != len(chats) {
		t.Fatalf("%d heads, %v", len(heads), err)
	}
	for i, h := range heads {
		want := wire.Head{ChatID: chats[i]}
		if !strings.HasPrefix(chats[i], "none") {
			want = wire.Head{
				ChatID: chats[i], Found: true, LastSeq: wire.Seq(len(chats[i])), HotFrom: 1, Lamport: 9, DeliveredUpTo: 3, ReadUpTo: 2, From: 1,
			}
		}
		if h != want {
			t.Errorf("%s: %+v", chats[i], h)
		}
	}
	commands := n.commands()
	last := strings.Fields(commands[len(commands)-1])
	if !fits(slotsIn(last[1 : len(last)-2])) {
		t.Errorf("the last command was %q", last)
	}
	if heads, err := c.Heads(ctx, chats[:3], "ann"); err != nil || len(heads) != 3 {
		t.Errorf("again: %v, %v", heads, err)
	}
	if got := n.commands()[len(commands):]; apart && (len(got) != 2 || !strings.HasPrefix(got[0], "CHAT.HEAD tea "+twin+" ") && !strings.HasPrefix(got[1], "CHAT.HEAD tea "+twin+" ")) {
		t.Errorf("again asked %q", got)
	}
	if heads, err := c.Heads(ctx, nil, ""); err != nil || len(heads) != 0 {
		t.Errorf("none: %v, %v", heads, err)
	}
	if _, err := c.Heads(ctx, append([]string{"broken"}, chats...), "ann"); !errors.Is(err, wire.ErrBadRequest) {
		t.Errorf("broken: %v", err)
	}
	done := make(chan struct{})
	c.HeadAsync(patience, "tea", "ann", func(h wire.Head, err error) {
		if err != nil || h != heads[0] {
			t.Errorf("async: %+v, %v", h, err)
		}
		close(done)
	})
	awaitClosed(t, "head", done)
	ended, cancel := context.WithCancel(ctx)
	n.script(func(*fakeConn, []string) string {
		cancel()
		return noAnswer
	})
	if _, err := c.Heads(ended, chats, "ann"); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func slotsIn(chats []string) int {
	slots := map[wire.Slot]bool{}
	for _, id := range chats {
		slots[wire.SlotOf(id)] = true
	}
	return len(slots)
}

func TestClient_Receipts(t *testing.T) {
	marks := func(user string, more ...string) string {
		return maps(append([]string{"userId", bulk(user)}, more...)...)
	}
	bob := marks("bob", "deliveredUpTo", num(9), "readUpTo", num(8), "deliveredAt", num(90), "readAt", num(80))
	c := scripted(t, map[string]string{
		"CHAT.RECEIPT tea bob DELIVERED 9 READ 8 eve READ 3 ann": list(bob, "-NOTMEMBER gone\r\n", "_\r\n"),
		"CHAT.RECEIPT tea eve READ 3":                            "-NOTMEMBER gone\r\n",
		"CHAT.RECEIPTS tea":                                      list(bob),
		"CHAT.RECEIPTS tea 7 FOR ann":                            list(marks("bob", "deliveredAt", num(70), "readAt", num(0))),
	})
	bobs := wire.Watermarks{UserID: "bob", Delivered: 9, Read: 8, DeliveredAt: 90, ReadAt: 80}
	got, err := c.Receipt(ctx, "tea", []wire.Mark{{UserID: "bob", Delivered: 9, Read: 8}, {UserID: "eve", Read: 3}, {UserID: "ann"}})
	if err != nil || len(got) != 3 || got[0].Watermarks != bobs || got[0].Err != nil || !errors.Is(got[1].Err, wire.ErrNotMember) ||
		got[1].UserID != "eve" || !errors.Is(got[2].Err, wire.ErrNotMember) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := c.Receipt(ctx, "tea", []wire.Mark{{UserID: "eve", Read: 3}}); !errors.Is(err, wire.ErrNotMember) {
		t.Errorf("one that is refused: %v", err)
	}
	if got, err := c.Receipts(ctx, "tea", 0, ""); err != nil || !reflect.DeepEqual(got, []wire.Watermarks{bobs}) {
		t.Errorf("all: %+v, %v", got, err)
	}
	if got, err := c.Receipts(ctx, "tea", 7, "ann"); err != nil || !reflect.DeepEqual(got, []wire.Watermarks{{UserID: "bob", DeliveredAt: 70}}) {
		t.Errorf("of a message: %+v, %v", got, err)
	}
}

// TestClient_ReceiptOfAWholeChat has more marks than go into one command.
func TestClient_ReceiptOfAWholeChat(t *testing.T) {
	n, c := single(t, wire.ClientConfig{}, func(_ *fakeConn, args []string) string {
		var results []string
		for i := 2; i < len(args); i += 5 {
			results = append(results, maps("userId", bulk(args[i]), "deliveredUpTo", num(2), "readUpTo", num(1)))
		}
		return list(results...)
	})
	for _, count := range []int{0, 1, 200, 201, wire.MaxMembers, 401} {
		marks := make([]wire.Mark, count)
		for i := range marks {
			marks[i] = wire.Mark{UserID: fmt.Sprintf("user-%d", i), Delivered: 2, Read: 1}
		}
		check := func(how string, got []wire.MarkResult, err error) {
			if err != nil || len(got) != count {
				t.Errorf("%s of %d: %d, %v", how, count, len(got), err)
				return
			}
			for i := range got {
				if got[i].UserID != marks[i].UserID || got[i].Delivered != 2 || got[i].Err != nil {
					t.Errorf("%s of %d: %d is %+v", how, count, i, got[i])
				}
			}
		}
		got, err := c.Receipt(ctx, "tea", marks)
		check("receipt", got, err)
		done := make(chan struct{})
		c.ReceiptAsync(patience, "tea", marks, func(got []wire.MarkResult, err error) {
			check("async", got, err)
			close(done)
		})
		awaitClosed(t, "receipts", done)
	}
	for _, command := range n.commands() {
		if args := strings.Fields(command); len(args) > 1024 {
			t.Errorf("a command has %d arguments", len(args))
		}
	}
}
