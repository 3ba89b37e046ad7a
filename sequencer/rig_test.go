package sequencer_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
)

// patience is how long anything in a test may take.
const patience = 60 * time.Second

// openNode runs a quorum of one with two groups. It ends with the test, which fails if a handler panicked.
func openNode(t testing.TB, change func(*sequencer.Config)) *sequencer.Node {
	t.Helper()
	return openNodeThatPanics(t, 0, change)
}

// openNodeThatPanics is openNode where a test has handlers panic so many times.
func openNodeThatPanics(t testing.TB, panics int64, change func(*sequencer.Config)) *sequencer.Node {
	t.Helper()
	raft, resp := sequencertest.LoopbackAddrs(t)
	cfg := sequencer.Config{
		NodeID: "n1", Dir: t.TempDir(), RaftAddr: raft, RESPAddr: resp, Groups: 2, Version: "test",
		Bootstrap: []sequencer.Peer{{ID: "n1", RaftAddr: raft}},
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Fatal:     func(err error) { t.Errorf("storage failure: %v", err) },
	}
	if change != nil {
		change(&cfg)
	}
	n, err := sequencer.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := n.Panics(); n != panics {
			t.Errorf("%d panics of handlers, want %d", n, panics)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return n
}

// raw is a connection that speaks RESP and judges nothing. Its methods fail the test where the connection does.
type raw struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func dial(t testing.TB, addr string) *raw {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &raw{Conn: conn, t: t, r: bufio.NewReaderSize(conn, 64<<10)}
}

// replyError is an error reply.
type replyError string

func (e replyError) Error() string { return string(e) }

// pipelined gives the bytes of one command.
func pipelined(args ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	return b.String()
}

func (c *raw) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// do sends one command and gives its reply.
func (c *raw) do(args ...string) any {
	c.t.Helper()
	c.send(pipelined(args...))
	return c.next()
}

// next gives the next reply: string, int64, nil, replyError, []any or map[string]any.
func (c *raw) next() any {
	c.t.Helper()
	v, err := c.read()
	if err != nil {
		c.t.Fatalf("read a reply: %v", err)
	}
	return v
}

// ended looks that the connection is closed with nothing more to read. A reset says so too.
func (c *raw) ended() {
	c.t.Helper()
	if v, err := c.read(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Errorf("the connection goes on: %v, %v", v, err)
	}
}

func (c *raw) read() (any, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	kind, text := line[0], strings.TrimSuffix(line[1:], "\r\n")
	switch kind {
	case '+':
		return text, nil
	case '-':
		return replyError(text), nil
	case '_':
		return nil, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("not RESP: %q", line)
	}
	switch {
	case kind == ':':
		return n, nil
	case n < 0:
		return nil, nil
	case kind == '$':
		b := make([]byte, n+2)
		_, err := io.ReadFull(c.r, b)
		return string(b[:n]), err
	case kind == '*':
		list := make([]any, n)
		for i := range list {
			if list[i], err = c.read(); err != nil {
				return nil, err
			}
		}
		return list, nil
	case kind == '%':
		fields := map[string]any{}
		for range n {
			name, err := c.read()
			if err != nil {
				return nil, err
			}
			if fields[fmt.Sprint(name)], err = c.read(); err != nil {
				return nil, err
			}
		}
		return fields, nil
	}
	return nil, fmt.Errorf("not RESP: %q", line)
}

// fields gives a map that came in either dialect.
func fields(t testing.TB, v any) map[string]any {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		return v
	case []any:
		if len(v)%2 == 0 {
			m := map[string]any{}
			for i := 0; i < len(v); i += 2 {
				m[fmt.Sprint(v[i])] = v[i+1]
			}
			return m
		}
	}
	t.Fatalf("%v is not a map", v)
	return nil
}

// list gives an array.
func list(t testing.TB, v any) []any {
	t.Helper()
	l, ok := v.([]any)
	if !ok {
		t.Fatalf("%v is not an array", v)
	}
	return l
}

// failsWith looks that a reply is an error of this word.
func failsWith(t testing.TB, v any, word string) {
	t.Helper()
	if err, ok := v.(replyError); !ok || strings.Fields(string(err))[0] != word {
		t.Errorf("answers %v, want %s", v, word)
	}
}

// works looks that a reply is no error, and gives it.
func works(t testing.TB, v any) any {
	t.Helper()
	if err, ok := v.(replyError); ok {
		t.Fatalf("answers %v", err)
	}
	return v
}
