package wire

import (
	"reflect"
	"strings"
	"testing"
)

func decodeText[T any](decode func(Reply) (T, error), text string) (T, error) {
	r, err := parse(text)
	if err != nil {
		var zero T
		return zero, err
	}
	return decode(r)
}

// eventText is an event map, in RESP2 so that it is easy to write.
func eventText(pairs ...string) string {
	var b strings.Builder
	b.WriteString("*" + utoa(uint64(len(pairs))) + "\r\n")
	for i, p := range pairs {
		if i%2 == 1 && p != "" && strings.Contains(":*_", p[:1]) {
			b.WriteString(p + "\r\n")
			continue
		}
		b.WriteString("$" + utoa(uint64(len(p))) + "\r\n" + p + "\r\n")
	}
	return b.String()
}

func TestDecodeEvent_EveryKind(t *testing.T) {
	base := func(kind string, more ...string) string {
		return eventText(append([]string{"offset", ":9", "kind", kind, "chatId", "tea", "at", ":5"}, more...)...)
	}
	want := func(kind EventKind) Event { return Event{Offset: 9, Kind: kind, ChatID: "tea", At: 5} }
	message := want(EventMessage)
	message.Message = &Message{
		ChatID: "tea", Seq: 3, SenderID: "ann", ClientMessageID: "id 1", Text: "hi", SentAt: 4, Lamport: 8, Trace: "00-1",
	}
	receipt := want(EventReceipt)
	receipt.Marks = &Watermarks{UserID: "bob", Delivered: 3, Read: 2}
	members := want(EventMembers)
	members.Version, members.Seq, members.Added, members.Removed = 2, 3, []string{"eve"}, []string{}
	for text, want := range map[string]Event{
		base("message", "seq", ":3", "senderId", "ann", "clientMessageId", "id 1", "text", "hi", "sentAt", ":4", "lamport", ":8",
			"trace", "00-1"): message,
		base("receipt", "userId", "bob", "deliveredUpTo", ":3", "readUpTo", ":2"):                  receipt,
		base("members", "version", ":2", "seq", ":3", "added", "*1\r\n$3\r\neve", "removed", "*0"): members,
		base("of another version", "seq", "not a number"):                                          want("of another version"),
	} {
		if got, err := decodeText(decodeEvent, text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	for name, text := range map[string]string{
		"no map":              "+OK\r\n",
		"no offset":           eventText("kind", "chat", "chatId", "tea"),
		"no chat":             eventText("offset", ":1", "kind", "chat"),
		"bad chat":            eventText("offset", ":1", "kind", "chat", "chatId", "a b"),
		"negative time":       eventText("offset", ":1", "kind", "chat", "chatId", "tea", "at", ":-1"),
		"message without seq": base("message", "senderId", "ann"),
		"receipt of nobody":   base("receipt"),
		"members no list":     base("members", "added", ":1"),
		"members no strings":  base("members", "added", "*1\r\n:1"),
	} {
		if got, err := decodeText(decodeEvent, text); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestDecodeChat_Refuses(t *testing.T) {
	base := []string{"chatId", "tea", "type", "group", "creator", "ann"}
	for name, more := range map[string][]string{
		"members no list":      {"members", ":1"},
		"member no id":         {"members", "*1\r\n$1\r\n \r\n"},
		"intervals missing":    {"members", "*2\r\n$1\r\na\r\n$1\r\nb", "intervals", "*1\r\n*0"},
		"intervals no lists":   {"members", "*1\r\n$1\r\na", "intervals", "*1\r\n:1"},
		"intervals odd":        {"members", "*1\r\n$1\r\na", "intervals", "*1\r\n*1\r\n:1"},
		"intervals no numbers": {"members", "*1\r\n$1\r\na", "intervals", "*1\r\n*2\r\n:1\r\n+x"},
		"time":                 {"createdAt", ":9007199254740992"},
		"name no string":       {"name", ":1"},
		"last message":         {"lastMessage", ":1"},
		"seq no number":        {"lastSeq", "*0"},
	} {
		if got, err := decodeText(decodeChat, eventText(append(base, more...)...)); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	unsorted := eventText(append(base, "members", "*2\r\n$1\r\nb\r\n$1\r\na", "intervals", "*2\r\n*2\r\n:5\r\n:0\r\n*2\r\n:1\r\n:0")...)
	got, err := decodeText(decodeChat, unsorted)
	if err != nil || got.Members[0].UserID != "a" || got.Members[0].Intervals[0].From != 1 {
		t.Errorf("members are not put in order with their intervals: %+v, %v", got, err)
	}
}

func TestDecodeEvents_Order(t *testing.T) {
	page := func(next string, offsets ...string) string {
		events := "*" + utoa(uint64(len(offsets)))
		for _, o := range offsets {
			events += "\r\n" + strings.TrimSuffix(eventText("offset", o, "kind", "chat", "chatId", "tea"), "\r\n")
		}
		return eventText("next", next, "events", events)
	}
	for text, ok := range map[string]bool{
		page(":3", ":1", ":2"): true, page(":9", ":1", ":5"): true, page(":1"): true,
		page(":3", ":2", ":1"): false, page(":3", ":2", ":2"): false, page(":3", ":3"): false, page(":0"): false,
	} {
		r := mustParse(t, text)
		if _, _, err := decodeEvents(r); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// decodeSeeds are replies as a sequencer sends them.
var decodeSeeds = []string{
	eventText("offset", ":9", "kind", "message", "chatId", "tea", "at", ":5", "seq", ":3", "senderId", "ann", "clientMessageId", "i",
		"text", "hi", "sentAt", ":4", "lamport", ":8", "trace", ""),
	eventText("offset", ":9", "kind", "receipt", "chatId", "tea", "at", ":5", "userId", "bob", "deliveredUpTo", ":3"),
	eventText("offset", ":9", "kind", "members", "chatId", "tea", "at", ":5", "version", ":2", "added", "*1\r\n$1\r\na", "removed", "*0"),
	eventText("chatId", "tea", "type", "group", "creator", "ann", "members", "*1\r\n$1\r\na", "intervals", "*1\r\n*2\r\n:1\r\n:0"),
	eventText("seq", ":1", "sentAt", ":2", "lamport", ":3", "replayed", ":0"),
	eventText("chatId", "tea", "messages", "*1\r\n*4\r\n$3\r\nseq\r\n:1\r\n$8\r\nsenderId\r\n$1\r\na", "next", ":0"),
	eventText("chats", "*1\r\n*2\r\n$6\r\nchatId\r\n$1\r\na", "next", ""),
	eventText("next", ":2", "events", "*0"),
	"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$1\r\nh\r\n:1\r\n", "*1\r\n_\r\n", "%1\r\n$3\r\nseq\r\n:1\r\n",
}

func FuzzDecodeEvent(f *testing.F) {
	for _, seed := range decodeSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parse(string(data))
		if err != nil {
			return
		}
		ev, err := decodeEvent(r)
		if err == nil && (ev.Offset == 0 || CheckID("chatId", ev.ChatID) != nil || (ev.Kind == EventMessage) != (ev.Message != nil) ||
			(ev.Kind == EventReceipt) != (ev.Marks != nil)) {
			t.Errorf("%q gives %+v", data, ev)
		}
		_, _, _ = decodeEvents(r)
	})
}

func FuzzDecodeMessage(f *testing.F) {
	for _, seed := range decodeSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parse(string(data))
		if err != nil {
			return
		}
		if m, err := decodeMessage("tea", r); err == nil && (m.Seq == 0 || m.SentAt < 0 || CheckID("senderId", m.SenderID) != nil) {
			t.Errorf("%q gives %+v", data, m)
		}
		if page, err := decodePage(r); err == nil {
			for i := 1; i < len(page.Messages); i++ {
				if page.Messages[i].Seq <= page.Messages[i-1].Seq {
					t.Errorf("%q gives %+v", data, page)
				}
			}
		}
		_, _ = decodeAck(r)
	})
}

func FuzzDecodeChat(f *testing.F) {
	for _, seed := range decodeSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parse(string(data))
		if err != nil {
			return
		}
		if v, err := decodeChat(r); err == nil {
			for _, m := range v.Members {
				if found, ok := v.Member(m.UserID); !ok || found.UserID != m.UserID {
					t.Errorf("%q: member %q is not found", data, m.UserID)
				}
			}
		}
		_, _ = decodeHeads([]string{"tea"}, r)
		_, _ = decodeUserChats(r)
		_, _ = decodeWatermarks(r)
		_, _ = decodeMarks([]Mark{{UserID: "a"}})(r)
		_, _ = decodeStrings(r)
		if ranges, err := decodeSlots("h:1", r); err == nil {
			_, _ = groupsOf(ranges, nil)
		}
	})
}
