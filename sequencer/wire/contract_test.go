package wire_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

// TestSlotOf_AsRedisDoes has the vectors of the Redis Cluster specification and of its documentation.
func TestSlotOf_AsRedisDoes(t *testing.T) {
	for key, want := range map[string]wire.Slot{
		"":              0,
		"123456789":     0x31C3, // the CRC itself is below 16384
		"foo":           12182,
		"bar":           5061,
		"hello":         866,
		"somekey":       11058,
		"foo{hash_tag}": 2515,
	} {
		if got := wire.SlotOf(key); got != want {
			t.Errorf("slot of %q is %d, want %d", key, got, want)
		}
	}
}

func TestSlotOf_Tags(t *testing.T) {
	same := [][2]string{
		{"{user1000}.following", "user1000"},
		{"{user1000}.followers", "user1000"},
		{"foo{{bar}}zap", "{bar"}, // from the first { to the first } behind it
		{"foo{bar}{zap}", "bar"},  // only the first
		{"a{b}", "b"},
	}
	for _, pair := range same {
		if a, b := wire.SlotOf(pair[0]), wire.SlotOf(pair[1]); a != b {
			t.Errorf("%q is in slot %d, %q in %d", pair[0], a, pair[1], b)
		}
	}
	for _, key := range []string{"foo{}{bar}", "{}foo", "foo{bar", "foo}bar{"} { // the whole key counts
		if wire.SlotOf(key) == wire.SlotOf("bar") || wire.SlotOf(key) == wire.SlotOf("") {
			t.Errorf("%q is taken to have a tag", key)
		}
	}
	if got := wire.SlotOf("foo{}{bar}"); got != 8363 {
		t.Errorf("slot of foo{}{bar} is %d, want 8363", got)
	}
}

// TestSlotRange_IsTheInverseOfGroupOf also says that the groups share all slots, in order and evenly.
func TestSlotRange_IsTheInverseOfGroupOf(t *testing.T) {
	for n := 1; n <= 64; n++ {
		next := 0
		for g := range wire.GroupID(n) {
			first, last := wire.SlotRange(g, n)
			if int(first) != next {
				t.Fatalf("group %d of %d begins at slot %d, want %d", g, n, first, next)
			}
			if size := int(last) - int(first) + 1; size != wire.Slots/n && size != wire.Slots/n+1 {
				t.Fatalf("group %d of %d has %d slots", g, n, size)
			}
			for slot := first; slot <= last; slot++ {
				if got := wire.GroupOf(slot, n); got != g {
					t.Fatalf("slot %d of %d groups is in group %d, want %d", slot, n, got, g)
				}
			}
			next = int(last) + 1
		}
		if next != wire.Slots {
			t.Fatalf("%d groups end at slot %d", n, next)
		}
	}
}

func TestCheckID(t *testing.T) {
	for _, id := range []string{"a", "A.b_c-9", ".", strings.Repeat("x", 64)} {
		if err := wire.CheckID("id", id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"", "a b", "a\x00", "ä", "a/b", "{a}", strings.Repeat("x", 65)} {
		if err := wire.CheckID("chatId", id); !errors.Is(err, wire.ErrBadRequest) || !strings.Contains(err.Error(), "chatId") {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestCheckClientMessageID(t *testing.T) {
	for _, id := range []string{"1", "a b~!", strings.Repeat("x", 64)} {
		if err := wire.CheckClientMessageID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"", "a\n", "a\x7f", "ü", strings.Repeat("x", 65)} {
		if err := wire.CheckClientMessageID(id); !errors.Is(err, wire.ErrBadRequest) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestCheckText(t *testing.T) {
	for text, want := range map[string]error{
		"hi": nil, "grüße 👋": nil, "line\nline": nil, strings.Repeat("x", 16<<10): nil,
		"": wire.ErrBadRequest, "a\x00b": wire.ErrBadRequest, "\xff": wire.ErrBadRequest, "\xed\xa0\x80": wire.ErrBadRequest,
		strings.Repeat("x", 16<<10+1): wire.ErrTooLarge,
	} {
		if err := wire.CheckText(text); !errors.Is(err, want) {
			t.Errorf("text of %d bytes: got %v, want %v", len(text), err, want)
		}
	}
}

func TestCheckName(t *testing.T) {
	for name, want := range map[string]error{
		"": nil, "Tea & Cake": nil, strings.Repeat("x", 256): nil,
		strings.Repeat("x", 257): wire.ErrTooLarge, "\x00": wire.ErrBadRequest, "\xc3": wire.ErrBadRequest,
	} {
		if err := wire.CheckName(name); !errors.Is(err, want) {
			t.Errorf("name of %d bytes: got %v, want %v", len(name), err, want)
		}
	}
}

func TestErrorOf(t *testing.T) {
	for _, sentinel := range []error{
		wire.ErrBadRequest, wire.ErrNotMember, wire.ErrNoChat, wire.ErrConflict, wire.ErrTooLarge, wire.ErrTrimmed,
		wire.ErrNoAuth, wire.ErrNoPerm, wire.ErrBusy, wire.ErrTryAgain, wire.ErrClusterDown, wire.ErrUnknown,
	} {
		word := sentinel.Error()
		for text, want := range map[string]string{word: word, word + " said": word + ": said", word + ": said": word + ": said"} {
			if err := wire.ErrorOf(text); !errors.Is(err, sentinel) || err.Error() != want {
				t.Errorf("%q gives %v", text, err)
			}
		}
	}
	for _, text := range []string{"MOVED", "MOVED 1", "MOVED x 1:2", "MOVED 16384 a:1", "MOVED -1 a:1", "BUSYGROUP x", "", "busy"} {
		err := wire.ErrorOf(text)
		if !errors.Is(err, wire.ErrBadRequest) || wire.Temporary(err) {
			t.Errorf("%q gives %v", text, err)
		}
	}
	var moved *wire.MovedError
	if err := wire.ErrorOf("MOVED 3999 127.0.0.1:6381"); !errors.As(err, &moved) || moved.Slot != 3999 || moved.Addr != "127.0.0.1:6381" {
		t.Errorf("got %v", err)
	} else if err.Error() != "MOVED 3999 127.0.0.1:6381" || !wire.Temporary(err) {
		t.Errorf("it reads %q", err)
	}
}

func TestMember_Covers(t *testing.T) {
	m := wire.Member{UserID: "ann", Intervals: []wire.Interval{{From: 1, To: 4}, {From: 9, To: 9}, {From: 12}}}
	for seq, want := range map[wire.Seq]bool{0: false, 1: true, 4: true, 5: false, 9: true, 10: false, 12: true, 1000: true} {
		if got := m.Covers(seq); got != want {
			t.Errorf("seq %d: %v", seq, got)
		}
	}
}

func TestChat_Member(t *testing.T) {
	c := wire.Chat{Members: []wire.Member{{UserID: "ann"}, {UserID: "bob"}, {UserID: "eve"}}}
	for user, want := range map[string]bool{"ann": true, "bob": true, "eve": true, "": false, "b": false, "zoe": false} {
		if m, ok := c.Member(user); ok != want || ok && m.UserID != user {
			t.Errorf("%q: %v, %v", user, m, ok)
		}
	}
}
