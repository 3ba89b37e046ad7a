package wire

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// linkRig is a link to somebody who reads only when he is told to.
type linkRig struct {
	*link
	t    *testing.T
	peer net.Conn
}

func newLinkRig(t *testing.T) *linkRig {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = conn.Close(), peer.Close() })
	c := &Client{cfg: ClientConfig{MaxInFlight: 100, MaxInFlightBytes: 64 << 20, WriteTimeout: time.Minute}, epoch: time.Now().Add(-time.Second)}
	return &linkRig{link: newLink(newNode(c, "a:1"), conn, newReplyReader(conn)), t: t, peer: peer}
}

// queue puts a message behind those that wait.
func (r *linkRig) queue(word string) {
	r.node.queue = append(r.node.queue, &request{args: []string{word}, bytes: len(word), phase: queued, appends: true})
}

// burst sends so many messages that are answered together.
func (r *linkRig) burst(n int) {
	r.t.Helper()
	for range n {
		r.queue("B")
	}
	if err := r.writeSome(); err != nil {
		r.t.Fatal(err)
	}
	for range n {
		r.reads("B")
	}
	r.answered()
}

// reads looks that the peer gets a command.
func (r *linkRig) reads(word string) {
	r.t.Helper()
	want := string(appendCommand(nil, []string{word}))
	got := make([]byte, len(want))
	if err := r.peer.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.ReadFull(r.peer, got); err != nil || string(got) != want {
		r.t.Fatalf("%.40q came, and %v; want %.40q", got, err, want)
	}
}

func (r *linkRig) writesNow(want bool) {
	r.t.Helper()
	if got := r.writeNow(); got != want {
		r.t.Fatalf("writeNow is %t, want %t", got, want)
	}
}

// answered takes the answers to all that was written.
func (r *linkRig) answered() {
	for r.waiting.len() > 0 {
		r.next()
	}
}

// TestLink_WritesALoneRequestAtOnce, and leaves to its own goroutine what comes while answers are due, or comes in bursts.
func TestLink_WritesALoneRequestAtOnce(t *testing.T) {
	r := newLinkRig(t)
	r.queue("ONE")
	r.writesNow(true)
	r.reads("ONE")

	r.queue("TWO")
	r.writesNow(false)
	if err := r.writeSome(); err != nil {
		t.Fatal(err)
	}
	r.reads("TWO")

	r.answered()
	r.queue("THREE")
	r.writesNow(false) // two were under way together
	if err := r.writeSome(); err != nil {
		t.Fatal(err)
	}
	r.reads("THREE")

	r.answered()
	r.queue("FOUR")
	r.writesNow(true) // one was
	r.reads("FOUR")
}

// TestLink_WaitsForABurst like the last ones, where these were many and nothing is due, and not for ever.
func TestLink_WaitsForABurst(t *testing.T) {
	for _, c := range []struct {
		what     string
		last     []int
		due      bool
		waiting  int
		want     bool
		thenPoke bool
	}{
		{"the first of many", []int{8, 8}, false, 1, true, true},
		{"one of many", []int{8, 8}, false, 7, true, false},
		{"all of them", []int{8, 8}, false, 8, false, false},
		{"as many as in the smaller one", []int{16, 8}, false, 8, false, false},
		{"only one burst was so large", []int{1, 8}, false, 1, false, false},
		{"they were too small", []int{burstFrom - 1, burstFrom - 1}, false, 1, false, false},
		{"an answer is due", []int{8, 8}, true, 1, false, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			r := newLinkRig(t)
			for _, n := range c.last {
				r.burst(n)
			}
			if c.due {
				r.progress.Store(1)
			}
			if got := r.holds(c.waiting); got != c.want {
				t.Fatalf("holds is %t, want %t", got, c.want)
			}
			if c.thenPoke {
				<-r.node.wake // by the timer
			}
		})
	}
}

// TestLink_LoneRequestThatDoesNotFit: what the socket has no room for follows when it has, and nothing comes in between.
func TestLink_LoneRequestThatDoesNotFit(t *testing.T) {
	r := newLinkRig(t)
	long := strings.Repeat("long", 8<<20/4)
	r.queue(long)
	r.writesNow(false)
	r.queue("NEXT")
	r.answered() // not yet, but then nothing else keeps it from being written
	r.writesNow(false)
	written := make(chan error, 1)
	go func() { written <- r.writeSome() }()
	r.reads(long)
	r.reads("NEXT")
	if err := <-written; err != nil {
		t.Fatal(err)
	}
}

// TestLink_TakesNothingBehindItsEnd: whatever it took then would never be answered.
func TestLink_TakesNothingBehindItsEnd(t *testing.T) {
	r := newLinkRig(t)
	r.shut(errRetired)
	if err := r.serve(); err == nil {
		t.Fatal("a link that was shut ended well")
	}
	r.queue("ONE")
	r.writesNow(false)
	if n := len(r.node.queue); n != 1 || r.waiting.len() != 0 {
		t.Fatalf("%d wait for a link, %d for an answer", n, r.waiting.len())
	}
}

// TestLink_DeadlineOfAnEarlierWrite is over, and breaks nothing.
func TestLink_DeadlineOfAnEarlierWrite(t *testing.T) {
	r := newLinkRig(t)
	r.node.client.cfg.WriteTimeout = time.Second
	r.queue("ONE")
	if err := r.writeSome(); err != nil {
		t.Fatal(err)
	}
	r.reads("ONE")
	r.answered()
	time.Sleep(r.node.client.cfg.WriteTimeout) // a deadline that passes tells nobody
	r.queue("TWO")
	r.writesNow(true)
	r.reads("TWO")
}
