package wire_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// What a script answers beside RESP.
const (
	noAnswer = ""              // and the connection stays
	cut      = "cut"           // close the connection instead
	cutAfter = "cut after\x00" // in front of an answer: send it, then close
)

// fakeNode is a RESP server that does what On says. HELLO and CLUSTER SLOTS it answers itself unless On does.
type fakeNode struct {
	t    testing.TB
	addr string
	done sync.WaitGroup

	// On answers a command on a connection. It is called in the order of the commands of a connection. ok false: the
	// fake answers HELLO and CLUSTER SLOTS itself, and +OK to all else.
	On func(c *fakeConn, args []string) (answer string, ok bool)
	// Slots is the answer to CLUSTER SLOTS, *0 where it is nil.
	Slots func() string

	mu    sync.Mutex
	ln    net.Listener
	conns map[*fakeConn]struct{}
	seen  [][]string // every command, HELLO and CLUSTER left out
	quiet bool       // nothing goes into seen any more
	dials int
}

// fakeConn is one connection of a fakeNode.
type fakeConn struct {
	net.Conn
	node  *fakeNode
	muted bool // something was not answered; for talk alone
	mu    sync.Mutex
}

// send writes an answer at any time, from any goroutine.
func (c *fakeConn) send(answer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = io.WriteString(c.Conn, answer) // the client may be gone
}

// startNode starts a node; it ends with the test. Set its fields through script.
func startNode(t testing.TB) *fakeNode {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &fakeNode{t: t, addr: ln.Addr().String()}
	n.serve(ln)
	t.Cleanup(n.stop)
	return n
}

func (n *fakeNode) serve(ln net.Listener) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ln, n.conns = ln, map[*fakeConn]struct{}{}
	n.done.Go(func() { n.accept(ln) })
}

func (n *fakeNode) accept(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		c := &fakeConn{Conn: conn, node: n}
		n.mu.Lock()
		n.conns[c] = struct{}{}
		n.dials++
		n.mu.Unlock()
		n.done.Go(func() { n.talk(c) })
	}
}

// stop closes the port and all connections. restart opens it again.
func (n *fakeNode) stop() {
	n.mu.Lock()
	_ = n.ln.Close()
	n.mu.Unlock()
	n.cutAll()
	n.done.Wait()
}

func (n *fakeNode) restart() {
	n.t.Helper()
	for range 50 { // another process may hold the port for a moment
		ln, err := net.Listen("tcp", n.addr)
		if err == nil {
			n.serve(ln)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	n.t.Fatalf("port %s does not come free", n.addr)
}

func (n *fakeNode) cutAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		_ = c.Close()
	}
}

// commands gives what has come so far, each command as one text.
func (n *fakeNode) commands() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]string, len(n.seen))
	for i := range n.seen {
		list[i] = strings.Join(n.seen[i], " ")
	}
	return list
}

// forget has the node keep no commands.
func (n *fakeNode) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.quiet = true
}

func (n *fakeNode) dialled() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials
}

// script sets On.
func (n *fakeNode) script(on func(c *fakeConn, args []string) string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.On = func(c *fakeConn, args []string) (string, bool) {
		if args[0] == "HELLO" || args[0] == "CLUSTER" {
			return "", false
		}
		return on(c, args), true
	}
}

// raw sets On for all commands.
func (n *fakeNode) raw(on func(c *fakeConn, args []string) (string, bool)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.On = on
}

func (n *fakeNode) leads(slots func() string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.Slots = slots
}

func (n *fakeNode) talk(c *fakeConn) {
	defer func() {
		_ = c.Close()
		n.mu.Lock()
		delete(n.conns, c)
		n.mu.Unlock()
	}()
	r := bufio.NewReader(c.Conn)
	var out strings.Builder
	for {
		args, err := readCommand(r)
		if err != nil {
			return
		}
		answer := n.answer(c, args)
		if answer == cut {
			return
		}
		last := strings.HasPrefix(answer, cutAfter)
		out.WriteString(strings.TrimPrefix(answer, cutAfter))
		if last || r.Buffered() == 0 {
			c.send(out.String())
			out.Reset()
		}
		if last {
			return
		}
	}
}

func (n *fakeNode) answer(c *fakeConn, args []string) string {
	n.mu.Lock()
	on, slots := n.On, n.Slots
	if args[0] != "HELLO" && args[0] != "CLUSTER" && !n.quiet {
		n.seen = append(n.seen, args)
	}
	n.mu.Unlock()
	if on != nil {
		if answer, ok := on(c, args); ok {
			c.muted = c.muted || answer == noAnswer
			return answer
		}
	}
	switch {
	case c.muted:
		return noAnswer // answers come in order
	case args[0] == "HELLO":
		return "%2\r\n$6\r\nserver\r\n$7\r\nquorate\r\n$5\r\nproto\r\n:3\r\n"
	case args[0] == "CLUSTER" && slots != nil:
		return slots()
	case args[0] == "CLUSTER":
		return "*0\r\n"
	}
	return "+OK\r\n"
}

func readCommand(r *bufio.Reader) ([]string, error) {
	count, err := readNumber(r, '*')
	if err != nil {
		return nil, err
	}
	args := make([]string, count)
	for i := range args {
		n, err := readNumber(r, '$')
		if err != nil {
			return nil, err
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		args[i] = string(b[:n])
	}
	return args, nil
}

func readNumber(r *bufio.Reader, kind byte) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != kind {
		return 0, fmt.Errorf("%q instead of %q", line, kind)
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}

// slotsOf is CLUSTER SLOTS of groups that are led by these nodes; all nodes hold all groups. An empty leader is a group that
// is left out.
func slotsOf(leaders []string, nodes ...string) string {
	var b strings.Builder
	led := 0
	for g, leader := range leaders {
		if leader == "" {
			continue
		}
		led++
		first, last := wire.SlotRange(wire.GroupID(g), len(leaders))
		fmt.Fprintf(&b, "*%d\r\n:%d\r\n:%d\r\n%s", 2+len(nodes), first, last, nodeOf(leader))
		for _, node := range nodes {
			if node != leader {
				b.WriteString(nodeOf(node))
			}
		}
	}
	return fmt.Sprintf("*%d\r\n%s", led, b.String())
}

func nodeOf(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	return fmt.Sprintf("*4\r\n$%d\r\n%s\r\n:%s\r\n$2\r\nid\r\n*0\r\n", len(host), host, port)
}

func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

// maps is a RESP3 map of names and RESP values.
func maps(pairs ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%%%d\r\n", len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		b.WriteString(bulk(pairs[i]) + pairs[i+1])
	}
	return b.String()
}

func list(elems ...string) string {
	return fmt.Sprintf("*%d\r\n%s", len(elems), strings.Join(elems, ""))
}

func num(n int) string { return fmt.Sprintf(":%d\r\n", n) }

// newClient makes a client that ends with the test.
func newClient(t testing.TB, cfg wire.ClientConfig, seeds ...*fakeNode) *wire.Client {
	for _, n := range seeds {
		cfg.Seeds = append(cfg.Seeds, n.addr)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	c := wire.NewClient(cfg)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

// single starts a node that leads all, and a client of it that knows so.
func single(t testing.TB, cfg wire.ClientConfig, on func(c *fakeConn, args []string) string) (*fakeNode, *wire.Client) {
	n := startNode(t)
	if on != nil {
		n.script(on)
	}
	n.leads(func() string { return slotsOf([]string{n.addr}, n.addr) })
	c := newClient(t, cfg, n)
	if err := c.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	return n, c
}

// outcome is what a done was called with.
type outcome struct {
	r   wire.Reply
	err error
}

// submit is Submit whose outcome comes on a channel.
func submit(c *wire.Client, timeout time.Duration, args ...string) <-chan outcome {
	got := make(chan outcome, 2) // room for a second one, which would be a mistake
	c.Submit(args[1], timeout, func(r wire.Reply, err error) { got <- outcome{r, err} }, args...)
	return got
}

const patience = 20 * time.Second

func await(t testing.TB, got <-chan outcome) outcome {
	t.Helper()
	select {
	case o := <-got:
		return o
	case <-time.After(patience):
		t.Fatal("done was not called")
		return outcome{}
	}
}

func awaitClosed(t testing.TB, what string, event <-chan struct{}) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(patience):
		t.Fatalf("no %s", what)
	}
}

// eventually waits until ok is true, where there is no event to wait for.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
	}
}
