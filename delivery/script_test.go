package delivery

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// script is a sequencer that says what a test wants, when the test wants it. It is for the moments between two answers that
// a real cluster does not hold still for. Commands of one connection are answered in order, as a real one does; feeds are
// read over connections of their own.
type script struct {
	t      testing.TB
	ln     net.Listener
	nodes  []*script // of the cluster, the leader first; this one only where it is empty
	answer func(args []string) any

	mu    sync.Mutex
	feed  []fieldList // events from offset 1 on
	floor int         // the first offset that is held
	asked int         // the highest offset that was read from
	wake  chan struct{}
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

// fieldList is a map of RESP3: key, value, key, value …
type fieldList []any

// fault is an error reply.
type fault string

func newScript(t testing.TB, answer func(args []string) any) *script {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, ln: ln, answer: answer, floor: 1, wake: make(chan struct{}), conns: map[net.Conn]bool{}}
	s.wg.Go(s.accept)
	t.Cleanup(func() {
		_ = ln.Close()
		s.mu.Lock()
		for c := range s.conns {
			_ = c.Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

func (s *script) addr() string { return s.ln.Addr().String() }

func (s *script) accept() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.wg.Go(func() {
			defer c.Close()
			if err := s.serve(c); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				s.t.Logf("script: %v", err)
			}
		})
	}
}

func (s *script) serve(c net.Conn) error {
	r := bufio.NewReader(c)
	line := func() (string, error) {
		text, err := r.ReadString('\n')
		return strings.TrimSuffix(text, "\r\n"), err
	}
	for {
		head, err := line()
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(strings.TrimPrefix(head, "*"))
		if err != nil {
			return fmt.Errorf("not an array: %q", head)
		}
		args := make([]string, n)
		for i := range args {
			head, err := line()
			if err != nil {
				return err
			}
			size, err := strconv.Atoi(strings.TrimPrefix(head, "$"))
			if err != nil {
				return fmt.Errorf("not a string: %q", head)
			}
			b := make([]byte, size+2)
			if _, err := io.ReadFull(r, b); err != nil {
				return err
			}
			args[i] = string(b[:size])
		}
		if _, err := c.Write(appendRESP(nil, s.reply(args))); err != nil {
			return err
		}
	}
}

func (s *script) reply(args []string) any {
	switch args[0] {
	case "HELLO":
		return fieldList{"server", "redis", "proto", 3}
	case "CLUSTER":
		if args[1] == "SETTINGS" {
			return fieldList{}
		}
		return []any{append([]any{0, 16383}, s.slots()...)}
	case "FEED.HEAD":
		s.mu.Lock()
		defer s.mu.Unlock()
		return fieldList{"next", len(s.feed) + 1, "floor", s.floor}
	case "FEED.READ":
		return s.read(args)
	case "CLIENT", "PING", "READONLY":
		return "OK"
	}
	return s.answer(args)
}

func (s *script) slots() (nodes []any) {
	list := s.nodes
	if len(list) == 0 {
		list = []*script{s}
	}
	for i, n := range list {
		host, port, _ := net.SplitHostPort(n.addr())
		p, _ := strconv.Atoi(port)
		nodes = append(nodes, []any{host, p, fmt.Sprintf("n%d", i+1)})
	}
	return nodes
}

func (s *script) read(args []string) any {
	from, _ := strconv.Atoi(args[2])
	wait := time.After(20 * time.Millisecond)
	for {
		s.mu.Lock()
		s.asked = max(s.asked, from)
		feed, floor, wake := s.feed, s.floor, s.wake
		s.mu.Unlock()
		if from < floor {
			return fault("TRIMMED the feed begins later")
		}
		if from <= len(feed) {
			var events []any
			for i, ev := range feed[from-1:] {
				events = append(events, append(fieldList{"offset", from + i, "at", 1_700_000_000_000}, ev...))
			}
			return fieldList{"next", len(feed) + 1, "events", events}
		}
		select {
		case <-wake:
		case <-wait:
			return fieldList{"next", from, "events", []any{}}
		}
	}
}

// publish adds events to the feed.
func (s *script) publish(events ...fieldList) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feed = append(s.feed, events...)
	close(s.wake)
	s.wake = make(chan struct{})
}

// dispatched waits until a reader has come back for what follows the last event: by then it has handed on all before it.
func (s *script) dispatched() {
	s.t.Helper()
	eventually(s.t, "the feed to be read", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.asked > len(s.feed)
	})
}

func appendRESP(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "_\r\n"...)
	case int:
		return fmt.Appendf(dst, ":%d\r\n", v)
	case string:
		return fmt.Appendf(dst, "$%d\r\n%s\r\n", len(v), v)
	case fault:
		return fmt.Appendf(dst, "-%s\r\n", string(v))
	case []any:
		dst = fmt.Appendf(dst, "*%d\r\n", len(v))
		for _, e := range v {
			dst = appendRESP(dst, e)
		}
		return dst
	case fieldList:
		dst = fmt.Appendf(dst, "%%%d\r\n", len(v)/2)
		for _, e := range v {
			dst = appendRESP(dst, e)
		}
		return dst
	}
	panic(fmt.Sprintf("a reply cannot hold %T", v))
}

// The one chat of the scripts is "c"; alice is in it from the start.

func scriptMessage(seq int) fieldList {
	return fieldList{
		"seq", seq, "senderId", "bob", "clientMessageId", fmt.Sprintf("m%d", seq), "text", "x",
		"sentAt", 1_700_000_000_000, "lamport", seq,
	}
}

func scriptEvent(seq int) fieldList {
	return append(fieldList{"kind", "message", "chatId", "c", "trace", ""}, scriptMessage(seq)...)
}

// scriptPage answers CHAT.RANGE with the messages from the asked one to last.
func scriptPage(args []string, last int) any {
	from, _ := strconv.Atoi(args[2])
	count, _ := strconv.Atoi(args[3])
	messages, next := []any{}, 0
	for seq := from; seq <= last; seq++ {
		if len(messages) == count {
			next = seq
			break
		}
		messages = append(messages, scriptMessage(seq))
	}
	return fieldList{"chatId", "c", "messages", messages, "next", next, "archived", 0}
}

func scriptHead(last, delivered int) any {
	return []any{fieldList{
		"chatId", "c", "lastSeq", last, "hotFrom", 1, "lamport", last, "deliveredUpTo", delivered, "readUpTo", 0, "from", 1,
	}}
}

func scriptChat(last, version int, members ...string) any {
	var ids, intervals []any
	for _, m := range members {
		ids, intervals = append(ids, m), append(intervals, []any{1, 0})
	}
	return fieldList{
		"chatId", "c", "type", "group", "name", "", "creator", "bob", "members", ids, "intervals", intervals,
		"createdAt", 1_700_000_000_000, "lastSeq", last, "hotFrom", 1, "lamport", last, "version", version,
	}
}

func scriptList() any {
	return fieldList{"chats", []any{fieldList{"chatId", "c", "type", "group", "name", "", "version", 1}}, "next", ""}
}
