package sequencer_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

// step is one command of a script and what it must answer: an error's word, a value as fmt shows it, or fields of a map.
type step struct {
	command string // words apart by a space; ␣ stands for one within a word
	fails   string
	is      string
	has     map[string]any
}

// script goes through all commands in order: each builds on those before it. Times are left out, they are the clock's.
var script = []step{
	{command: "PING", is: "PONG"},
	{command: "PING hello", is: "hello"},
	{command: "PING a b", fails: "ERR"},
	{command: "ECHO hello", is: "hello"},
	{command: "ECHO", fails: "ERR"},
	{command: "SELECT 0", is: "OK"},
	{command: "SELECT 1", fails: "ERR"},
	{command: "AUTH secret", fails: "ERR"},
	{command: "NOSUCH command", fails: "ERR"},
	{command: "CLIENT GETNAME", is: "<nil>"},
	{command: "CLIENT SETNAME me", is: "OK"},
	{command: "CLIENT GETNAME", is: "me"},
	{command: "CLIENT SETNAME a\nb", fails: "ERR"},
	{command: "CLIENT SETINFO LIB-NAME test", is: "OK"},
	{command: "CLIENT TRACKING ON", fails: "ERR"},
	{command: "READONLY", is: "OK"},
	{command: "READWRITE", is: "OK"},

	{command: "CHAT.GET g1", fails: "NOCHAT"},
	{command: "CHAT.APPEND g1 alice m1 hello", fails: "NOCHAT"},
	{command: "CHAT.RANGE g1 1 10", fails: "NOCHAT"},
	{command: "CHAT.RECEIPT g1 alice READ 1", fails: "NOCHAT"},
	{command: "CHAT.RECEIPTS g1", fails: "NOCHAT"},
	{command: "CHAT.MEMBERS g1", fails: "NOCHAT"},
	{command: "CHAT.MEMBERS g1 ADD dave", fails: "NOCHAT"},
	{command: "CHAT.HEAD g1", is: "[<nil>]"},
	{command: "CHAT.HEAD g1 FOR alice", is: "[<nil>]"},

	{
		command: "CHAT.CREATE g1 group alice NAME The␣group MEMBERS bob carol alice bob",
		has: map[string]any{
			"chatId": "g1", "type": "group", "name": "The group", "creator": "alice", "members": "[alice bob carol]",
			"lastSeq": 0, "hotFrom": 1, "lamport": 0, "version": 1, "fresh": 1, "history": "join",
			"intervals": "[[1 0] [1 0] [1 0]]",
		},
	},
	{command: "CHAT.CREATE g1 group alice HISTORY join NAME The␣group MEMBERS carol bob", has: map[string]any{"fresh": 0}},
	{command: "CHAT.CREATE g1 group bob MEMBERS carol alice", fails: "CONFLICT"},
	{command: "CHAT.CREATE d1 direct alice MEMBERS bob", has: map[string]any{"type": "direct", "fresh": 1}},
	{command: "CHAT.CREATE d2 direct alice", fails: "ERR"},
	{command: "CHAT.CREATE d2 direct alice MEMBERS bob carol", fails: "ERR"},
	{command: "CHAT.CREATE d2 club alice", fails: "ERR"},
	{command: "CHAT.CREATE d2 group alice HISTORY never", fails: "ERR"},
	{command: "CHAT.CREATE d2 group alice NAME a NAME b", fails: "ERR"},
	{command: "CHAT.CREATE d2/../x group alice", fails: "ERR"},
	{command: "CHAT.CREATE d2 group al␣ice", fails: "ERR"},
	{command: "CHAT.CREATE d2 group alice MEMBERS b*b", fails: "ERR"},
	{command: "CHAT.CREATE d2 group alice NAME bad\xff", fails: "ERR"},
	{command: "CHAT.CREATE d2 group alice NAME " + strings.Repeat("n", 257), fails: "TOOLARGE"},
	{command: "CHAT.CREATE full group alice MEMBERS " + users(255), has: map[string]any{"fresh": 1}},
	{command: "CHAT.CREATE over group alice MEMBERS " + users(256), fails: "TOOLARGE"},
	{command: "CHAT.MEMBERS full ADD one-more", fails: "TOOLARGE"},

	{command: "CHAT.APPEND g1 alice m1 hello␣you", has: map[string]any{"seq": 1, "lamport": 1, "replayed": 0}},
	{command: "CHAT.APPEND g1 alice m1 hello␣you", has: map[string]any{"seq": 1, "lamport": 1, "replayed": 1}},
	{command: "CHAT.APPEND g1 alice m1 other", fails: "CONFLICT"},
	{command: "CHAT.APPEND g1 bob m1 hi SEEN 41 TRACE 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", has: map[string]any{"seq": 2, "lamport": 42}},
	{command: "CHAT.APPEND g1 dave m1 hi", fails: "NOTMEMBER"},
	{command: "CHAT.APPEND g1 alice m2", fails: "ERR"},
	{command: "CHAT.APPEND g1 alice m2 ", fails: "ERR"},
	{command: "CHAT.APPEND g1 alice m\x01 text", fails: "ERR"},
	{command: "CHAT.APPEND g1 alice  text", fails: "ERR"},
	{command: "CHAT.APPEND g1 alice m2 nul\x00", fails: "ERR"},
	{command: "CHAT.APPEND g1 alice m2 bad\xff", fails: "ERR"},
	{command: "CHAT.APPEND g1 alice m2 text SEEN -1", fails: "ERR"},
	{command: "CHAT.APPEND g1 alice m2 text SEEN 18446744073709551616", fails: "ERR"},
	{command: "CHAT.APPEND g1 alice m2 text SEEN", fails: "ERR"},
	{command: "CHAT.APPEND g1 alice m2 text TRACE " + strings.Repeat("t", 65), fails: "TOOLARGE"},
	{command: "CHAT.APPEND g1 alice m2 text MORE", fails: "ERR"},
	{command: "CHAT.APPEND g1 alice m2 " + strings.Repeat("x", wire.MaxTextBytes+1), fails: "TOOLARGE"},
	{command: "CHAT.APPEND g1 alice m2 " + strings.Repeat("x", wire.MaxTextBytes), has: map[string]any{"seq": 3}},

	{command: "CHAT.RANGE g1 1 2", has: map[string]any{"chatId": "g1", "next": 3, "archived": 0}},
	{command: "CHAT.RANGE g1 3 2", has: map[string]any{"next": 0}},
	{command: "CHAT.RANGE g1 4 2", has: map[string]any{"messages": "[]", "next": 0}},
	{command: "CHAT.RANGE g1 3 1 BEFORE", has: map[string]any{"next": 2}},
	{command: "CHAT.RANGE g1 2 1 BEFORE STALE TIMES FOR alice", has: map[string]any{"next": 0}},
	{command: "CHAT.RANGE g1 1 1 FOR dave", fails: "NOTMEMBER"},
	{command: "CHAT.RANGE g1 0 1", fails: "ERR"},
	{command: "CHAT.RANGE g1 -1 1", fails: "ERR"},
	{command: "CHAT.RANGE g1 +1 1", fails: "ERR"},
	{command: "CHAT.RANGE g1 9223372036854775808 1", fails: "ERR"},
	{command: "CHAT.RANGE g1 9007199254740991 1", has: map[string]any{"messages": "[]"}},
	{command: "CHAT.RANGE g1 9007199254740992 1", fails: "ERR"},
	{command: "CHAT.RANGE g1 1 0", fails: "ERR"},
	{command: "CHAT.RANGE g1 1 501", fails: "ERR"},
	{command: "CHAT.RANGE g1 1 1 SIDEWAYS", fails: "ERR"},
	{command: "CHAT.RANGE g1 1 1 STALE STALE", fails: "ERR"},

	{
		command: "CHAT.RECEIPT g1 bob DELIVERED 2",
		has:     map[string]any{"0": map[string]any{"userId": "bob", "deliveredUpTo": 2, "readUpTo": 0, "readAt": 0}},
	},
	{
		command: "CHAT.RECEIPT g1 bob READ 2 carol DELIVERED 1 READ 1 alice",
		has: map[string]any{
			"0": map[string]any{"deliveredUpTo": 2, "readUpTo": 2}, "1": map[string]any{"deliveredUpTo": 1, "readUpTo": 1},
			"2": map[string]any{"userId": "alice"},
		},
	},
	{command: "CHAT.RECEIPT g1 bob READ 4", fails: "ERR"},
	{command: "CHAT.RECEIPT g1 dave READ 1", fails: "NOTMEMBER"},
	{command: "CHAT.RECEIPT g1 bob READ 0", fails: "ERR"},
	{command: "CHAT.RECEIPT g1 bob READ 1 READ 2", fails: "ERR"},
	{command: "CHAT.RECEIPTS g1 1", has: map[string]any{"0": map[string]any{"userId": "bob"}, "1": map[string]any{"userId": "carol"}}},
	{command: "CHAT.RECEIPTS g1 4", fails: "NOCHAT"},
	{command: "CHAT.RECEIPTS g1 FOR dave", fails: "NOTMEMBER"},
	{command: "CHAT.RECEIPTS g1 x", fails: "ERR"},

	{command: "CHAT.MEMBERS g1", is: "[alice bob carol]"},
	{command: "CHAT.MEMBERS g1 ADD dave REMOVE carol BY alice", is: "[alice bob dave]"},
	{command: "CHAT.MEMBERS g1 ADD erin BY carol", fails: "NOTMEMBER"},
	{command: "CHAT.MEMBERS g1 ADD", fails: "ERR"},
	{command: "CHAT.MEMBERS g1 ADD erin REMOVE erin", fails: "ERR"},
	{command: "CHAT.MEMBERS g1 BY alice", fails: "ERR"},
	{command: "CHAT.MEMBERS d1 ADD dave", fails: "CONFLICT"},
	{command: "CHAT.APPEND g1 dave m1 new␣here", has: map[string]any{"seq": 4}},
	{command: "CHAT.APPEND g1 carol m9 gone", fails: "NOTMEMBER"},
	{command: "CHAT.RANGE g1 1 10 FOR carol", fails: "NOTMEMBER"},
	{command: "CHAT.RECEIPTS g1 1 FOR dave", fails: "NOTMEMBER"},
	{command: "CHAT.GET g1 FOR dave", has: map[string]any{"from": 4, "deliveredUpTo": 3, "lastSeq": 4, "version": 2}},
	{command: "CHAT.GET g1 FOR carol", fails: "NOTMEMBER"},
	{command: "CHAT.GET g1 FOR", fails: "ERR"},
	{command: "CHAT.GET d1 FOR bob", has: map[string]any{"lastMessage": nil, "from": 1}},
	{command: "CHAT.GET g1", has: map[string]any{"intervals": "[[1 0] [1 0] [4 0]]"}},
	{command: "CHAT.HEAD g1", has: map[string]any{"0": map[string]any{"chatId": "g1", "lastSeq": 4, "hotFrom": 1, "lamport": 44}}},
	{
		command: "CHAT.HEAD g1 g1 FOR bob",
		has:     map[string]any{"1": map[string]any{"deliveredUpTo": 2, "readUpTo": 2, "from": 1}},
	},
	{command: "CHAT.HEAD g1 d1", has: map[string]any{"1": map[string]any{"chatId": "d1", "lastSeq": 0, "hotFrom": 1, "lamport": 0}}}, // another slot of the group
	{command: "CHAT.HEAD g1 d1 g2", fails: "CROSSSLOT"},
	{command: "CHAT.HEAD g1 FOR b*b", fails: "ERR"},

	{command: "USER.PAIR alice bob d1", is: "d1"},
	{command: "USER.PAIR alice bob d9", is: "d1"},
	{command: "USER.PAIR alice bob d9 REPLACES d1", is: "d9"},
	{command: "USER.PAIR bob alice d1", fails: "ERR"},
	{command: "USER.PAIR bob bob d1", fails: "ERR"},
	{command: "USER.PAIR alice bob d1 INSTEAD d9", fails: "ERR"},
	{command: "USER.PUTCHAT zoe g7 group Seven 1 1", is: "OK"},
	{command: "USER.PUTCHAT zoe g8 group Eight 1 1", is: "OK"},
	{command: "USER.PUTCHAT zoe g8 group Eight 2 0", is: "OK"},
	{command: "USER.PUTCHAT zoe g8 club Eight 2 0", fails: "ERR"},
	{command: "USER.PUTCHAT zoe g8 group Eight 2 2", fails: "ERR"},
	{command: "USER.CHATS zoe", has: map[string]any{"next": ""}},
	{command: "USER.CHATS zoe AFTER g7", has: map[string]any{"chats": "[]"}},
	{command: "USER.CHATS nobody COUNT 500", has: map[string]any{"chats": "[]"}},
	{command: "USER.CHATS zoe COUNT 501", fails: "ERR"},
	{command: "USER.CHATS zoe AFTER", fails: "ERR"},

	{command: "FEED.HEAD 2", fails: "ERR"},
	{command: "FEED.READ 0 0", fails: "ERR"},
	{command: "FEED.READ 9 1", fails: "ERR"},
	{command: "FEED.READ 0 1 COUNT 0", fails: "ERR"},
	{command: "FEED.READ 0 1 BLOCK 30001", fails: "ERR"},
	{command: "FEED.READ 0 1000000 BLOCK 1", has: map[string]any{"next": 1000000, "events": "[]"}},

	{command: "CLUSTER KEYSLOT foo", is: "12182"},
	{command: "CLUSTER KEYSLOT {foo}.bar", is: "12182"},
	{command: "CLUSTER COUNTKEYSINSLOT 5", is: "0"},
	{command: "CLUSTER COUNTKEYSINSLOT 16384", fails: "ERR"},
	{command: "CLUSTER MEET", fails: "ERR"},
	{command: "RAFT TRANSFER 0 n9", fails: "ERR"},
	{command: "RAFT TRANSFER 0 n1", is: "OK"},
	{command: "RAFT PEERS 7", fails: "ERR"},
	{
		command: "RAFT PEERS 1",
		has: map[string]any{"0": map[string]any{
			"group": 1, "nodeId": "n1", "suffrage": "voter", "leader": 1, "state": "Leader",
		}},
	},
	{command: "COMMAND GETKEYS CHAT.APPEND c a m t", is: "[c]"},
	{command: "COMMAND GETKEYS PING", fails: "ERR"},
	{command: "COMMAND INFO NOSUCH", is: "[<nil>]"},
	{command: "RESET", is: "RESET"},
	{command: "CLIENT GETNAME", is: "<nil>"},
}

func users(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("user%03d", i)
	}
	return strings.Join(names, " ")
}

func TestCommands_Script(t *testing.T) {
	for _, proto := range []string{"2", "3"} {
		t.Run("RESP"+proto, func(t *testing.T) {
			c := dial(t, openNode(t, nil).RESPAddr())
			works(t, c.do("HELLO", proto))
			for _, s := range script {
				words := strings.Split(s.command, " ")
				for i := range words {
					words[i] = strings.ReplaceAll(words[i], "␣", " ")
				}
				s.check(t, c.do(words...))
			}
		})
	}
}

func (s *step) check(t *testing.T, got any) {
	t.Helper()
	name := s.command[:min(len(s.command), 80)]
	err, failed := got.(replyError)
	switch {
	case s.fails != "":
		if !failed || strings.Fields(string(err))[0] != s.fails {
			t.Errorf("%q: %v, want %s", name, got, s.fails)
		}
	case failed:
		t.Errorf("%q: %v", name, err)
	case s.has != nil:
		hasFields(t, name, got, s.has)
	default:
		if fmt.Sprint(got) != s.is {
			t.Errorf("%q: %v, want %s", name, got, s.is)
		}
	}
}

// hasFields looks for fields of a map, or for elements of an array by their place.
func hasFields(t *testing.T, name string, got any, want map[string]any) {
	t.Helper()
	for field, value := range want {
		var v any
		if _, place := want["0"]; place || field == "1" {
			var at int
			if _, err := fmt.Sscan(field, &at); err != nil {
				t.Fatal(err)
			}
			if l := list(t, got); at < len(l) {
				v = l[at]
			}
		} else {
			v = fields(t, got)[field]
		}
		if inner, ok := value.(map[string]any); ok {
			hasFields(t, name+" "+field, v, inner)
			continue
		}
		if !reflect.DeepEqual(v, value) && fmt.Sprint(v) != fmt.Sprint(value) {
			t.Errorf("%q: %s is %v, want %v", name, field, v, value)
		}
	}
}
