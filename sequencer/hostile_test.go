package sequencer_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer"
)

// TestServer_HostileCommands sends commands that are well framed and mean harm. Each is answered at once, with little.
func TestServer_HostileCommands(t *testing.T) {
	n := openNode(t, nil)
	many := func(command ...string) []string {
		for len(command) < 1000 {
			command = append(command, fmt.Sprint("channel-", len(command)))
		}
		return command
	}
	stars := strings.Repeat("*?", 5000) + "b"
	for _, tt := range []struct {
		name    string
		command []string
	}{
		{"a thousand channels", many("SUBSCRIBE")},
		{"a thousand patterns", many("PSUBSCRIBE", stars)},
		{"a pattern that backtracks", []string{"KEYS", stars}},
		{"a scan with a pattern", []string{"SCAN", "0", "MATCH", stars}},
		{"a script", []string{"EVAL", strings.Repeat("while true do end ", 1000), "0"}},
		{"a configuration", []string{"CONFIG", "SET", "dir", "/tmp"}},
		{"a replica of somebody", []string{"REPLICAOF", "10.0.0.1", "6379"}},
		{"a module", []string{"MODULE", "LOAD", "/tmp/x.so"}},
		{"a dialect of the future", []string{"HELLO", strings.Repeat("9", 60_000)}},
		{"a name without end", []string{"HELLO", "3", "SETNAME", strings.Repeat("x", 60_000)}},
		{"many options", many("HELLO", "3", "SETNAME", "x", "SETNAME")},
		{"a name of control bytes", []string{"CLIENT", "SETNAME", "a\r\n+OK\r\n"}},
		{"an unknown command of 60 kB", []string{strings.Repeat("x", 60_000), stars}},
		{"an unknown user of 60 kB", []string{"AUTH", strings.Repeat("x", 60_000), stars}},
		{"a subcommand of line ends", []string{"ACL", "\r\n-ERR\r\n"}},
		{"all users", []string{"ACL", "LIST"}},
		{"a seq near 2^64", []string{"CHAT.RANGE", "tea", "18446744073709551615", "1"}},
		{"a count near 2^64", []string{"CHAT.RANGE", "tea", "1", "18446744073709551615"}},
		{"a feed that blocks for ages", []string{"FEED.READ", "0", "1", "BLOCK", "9223372036854775807"}},
		{"a group that is not there", []string{"FEED.READ", "4294967295", "1"}},
	} {
		c := dial(t, n.RESPAddr())
		begun := time.Now()
		err, ok := c.do(tt.command...).(replyError)
		if !ok {
			t.Errorf("%s: taken", tt.name)
			continue
		}
		if len(err) > 1000 || strings.ContainsAny(string(err), "\r\n") || time.Since(begun) > 5*time.Second {
			t.Errorf("%s: %d bytes after %s: %.200q", tt.name, len(err), time.Since(begun), err)
		}
		if v := c.do("PING"); v != "PONG" {
			t.Errorf("%s: then PING is answered %v", tt.name, v)
		}
		c.Close()
	}
}

// TestServer_TypesOfRESP3AreNoCommands: a request is an array of bulk strings, whatever the dialect of the answers.
func TestServer_TypesOfRESP3AreNoCommands(t *testing.T) {
	n := openNode(t, nil)
	for _, input := range []string{
		"|2147483647\r\n+ttl\r\n:1\r\n", "%1\r\n+a\r\n+b\r\n", "~1\r\n+PING\r\n", ">1\r\n+PING\r\n", "#t\r\n", ",1.5\r\n",
		"(123456789012345678901234567890\r\n", "=15\r\ntxt:Some string\r\n", "_\r\n", "!5\r\nERR x\r\n", "*1\r\n*1\r\n$4\r\nPING\r\n",
		"*1\r\n|1\r\n+a\r\n+b\r\n$4\r\nPING\r\n", "*?\r\n", "$?\r\n;4\r\nPING\r\n;0\r\n",
	} {
		c := dial(t, n.RESPAddr())
		works(t, c.do("HELLO", "3"))
		c.send(input)
		failsWith(t, c.next(), "ERR")
		c.ended()
	}
}

// TestServer_StrangerThatDoesNotRead pipelines commands without a password, and takes no answers.
func TestServer_StrangerThatDoesNotRead(t *testing.T) {
	n := openNode(t, func(cfg *sequencer.Config) {
		cfg.Password, cfg.Limits.WriteWait = "secret", 200*time.Millisecond
	})
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c := dial(t, n.RESPAddr())
	chunk := []byte(strings.Repeat(pipelined("PING"), 10_000))
	for sent := 0; ; sent += len(chunk) {
		if _, err := c.Write(chunk); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection was not closed")
			}
			break
		}
		if sent > 256<<20 {
			t.Fatal("a quarter of a gigabyte was taken from a stranger who does not read")
		}
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 64<<20 {
		t.Errorf("the heap has grown by %d MiB", grown>>20)
	}
	if other := dial(t, n.RESPAddr()); works(t, other.do("AUTH", "secret")) != "OK" {
		t.Error("others are not served")
	}
}
