package sequencer_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer"
)

// FuzzCommands sends any words as a command to a running node, in both dialects: each is answered, and no handler panics.
func FuzzCommands(f *testing.F) {
	for _, s := range script {
		if len(s.command) < 200 && !strings.HasPrefix(s.command, "RAFT TRANSFER") {
			f.Add([]byte(s.command), true)
		}
	}
	for _, command := range []string{
		"HELLO 3 SETNAME x", "HELLO 2 AUTH a b", "COMMAND DOCS PING", "COMMAND INFO", "CLUSTER SLOTS", "CLUSTER SHARDS", "INFO raft",
		"CHAT.RECEIPT c u READ 1 v DELIVERED 2", "CHAT.HEAD FOR FOR STALE", "USER.CHATS u AFTER c COUNT 3", "QUIT", "",
		"LEASE RENEW me 1000 a b", "LEASE LIST a", "LEASE GET a", "CLUSTER SETTINGS", "USER.SEEN u", "USER.SEEN u AT 1",
		"FEED.COMMIT 0 hub/eu 1", "FEED.COMMITTED 0 hub/eu", "USER.DEVICES u PUT d fcm TOKEN t MUTED 1", "USER.DEVICES u STALE", "USER.DEVICES u REMOVE d VERSION 1",
		"USER.MUTE u c 1",
	} {
		f.Add([]byte(command), false)
	}
	n := openNode(f, func(cfg *sequencer.Config) { cfg.Limits.BlockWait = time.Millisecond })
	setup := dial(f, n.RESPAddr())
	for _, command := range []string{
		"CHAT.CREATE c group u MEMBERS v", "CHAT.APPEND c u m text", "CHAT.RECEIPT c v READ 1",
	} {
		works(f, setup.do(strings.Fields(command)...))
	}
	f.Fuzz(func(t *testing.T, words []byte, resp3 bool) {
		command := bytes.Split(words, []byte(" "))
		if len(words) > 4<<10 || len(command) > 100 {
			return
		}
		c := dial(t, n.RESPAddr())
		defer c.Close()
		if resp3 {
			works(t, c.do("HELLO", "3"))
		}
		args := make([]string, len(command))
		for i := range args {
			args[i] = string(command[i])
		}
		c.send(pipelined(args...) + pipelined("ECHO", "end"))
		c.next()
		if strings.EqualFold(args[0], "QUIT") {
			return
		}
		if got := c.next(); got != "end" {
			t.Errorf("%q is answered by more than one reply: %v", args, got)
		}
		if n.Panics() > 0 {
			t.Errorf("%q has its handler panic", args)
		}
	})
}
