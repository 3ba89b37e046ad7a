package raftfsm

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/quorate/quorate/raftfsm/wal"
	"github.com/quorate/quorate/sequencer/wire"
	"github.com/quorate/quorate/trust"
)

// trio is a group of three replicas on real ports, with real files.
type trio struct {
	t      *testing.T
	dir    string
	peers  []Peer
	muxes  []*Mux
	groups []*Group
	wals   []*wal.Log
	adjust func(node int, cfg *Config)
	who    []*Identity // per node; nil is without TLS
	acked  int         // appends of user a to chat c
}

// quick elects fast, as tests wait for it.
var quick = Timing{Heartbeat: 150 * time.Millisecond, Election: 150 * time.Millisecond, Lease: 100 * time.Millisecond}

func newTrio(t *testing.T, adjust func(node int, cfg *Config)) *trio {
	return newTrioOf(t, make([]*Identity, 3), adjust)
}

// newSecureTrio is newTrio with TLS between the nodes.
func newSecureTrio(t *testing.T, a authority, adjust func(node int, cfg *Config)) *trio {
	var who []*Identity
	for _, id := range []string{"n1", "n2", "n3"} {
		who = append(who, &Identity{Keys: a.keys(trust.Node, id)})
	}
	return newTrioOf(t, who, adjust)
}

func newTrioOf(t *testing.T, who []*Identity, adjust func(node int, cfg *Config)) *trio {
	c := &trio{t: t, dir: t.TempDir(), muxes: make([]*Mux, 3), groups: make([]*Group, 3), wals: make([]*wal.Log, 3), adjust: adjust, who: who}
	for i := range 3 {
		c.peers = append(c.peers, Peer{ID: wire.NodeID(fmt.Sprintf("n%d", i+1)), Generation: 1, RaftAddr: loopback(t)})
	}
	t.Cleanup(func() {
		for i := range c.groups {
			c.stop(i)
		}
	})
	for i := range c.groups {
		c.start(i)
	}
	return c
}

// loopback gives an address that nobody else takes meanwhile: ports of 127.0.0.1 are given to whoever dials.
func loopback(t *testing.T) string {
	t.Helper()
	for {
		addr := fmt.Sprintf("127.%d.%d.%d:7000", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
		ln, err := net.Listen("tcp", addr)
		if err == nil {
			if err := ln.Close(); err != nil {
				t.Fatal(err)
			}
			return addr
		}
	}
}

func (c *trio) nodeDir(i int) string { return filepath.Join(c.dir, string(c.peers[i].ID)) }

func (c *trio) start(i int) {
	c.t.Helper()
	if err := c.tryStart(i); err != nil {
		c.t.Fatal(err)
	}
}

func (c *trio) tryStart(i int) error {
	log := slog.New(slog.DiscardHandler)
	mux, err := ListenSecureMux(c.peers[i].RaftAddr, c.who[i], func() Card { return Card{Node: c.peers[i].ID} }, log)
	if err != nil {
		return err
	}
	cfg := Config{
		Node: c.peers[i].ID, Dir: c.nodeDir(i), Bootstrap: c.peers, Timing: quick, Logger: log,
		TrailingBytes: 1, // a test that cuts the log finds it cut: the group's own sizing, every 10 s, keeps little too
		Fatal:         func(err error) { panic(fmt.Sprintf("%s: %v", c.peers[i].ID, err)) },
	}
	if os.Getenv("QUORATE_TEST_LOG_STORE") != "bolt" {
		if c.wals[i], err = wal.Open(filepath.Join(c.dir, "wal-"+string(cfg.Node)), wal.Options{SegmentBytes: 1 << 20}); err != nil {
			return errors.Join(err, mux.Close())
		}
		cfg.WAL = c.wals[i]
	}
	if c.adjust != nil {
		c.adjust(i, &cfg)
	}
	g, err := Open(cfg, mux)
	if err != nil {
		return errors.Join(err, mux.Close(), c.closeWAL(i))
	}
	c.muxes[i], c.groups[i] = mux, g
	return nil
}

func (c *trio) stop(i int) {
	if c.groups[i] == nil {
		return
	}
	if err := c.groups[i].Close(); err != nil {
		c.t.Errorf("close %s: %v", c.peers[i].ID, err)
	}
	if err := c.muxes[i].Close(); err != nil {
		c.t.Errorf("close %s: %v", c.peers[i].ID, err)
	}
	if err := c.closeWAL(i); err != nil {
		c.t.Errorf("close %s: %v", c.peers[i].ID, err)
	}
	c.groups[i], c.muxes[i] = nil, nil
}

func (c *trio) closeWAL(i int) error {
	if c.wals[i] == nil {
		return nil
	}
	return c.wals[i].Close()
}

func (c *trio) wipe(i int) {
	if err := os.RemoveAll(c.nodeDir(i)); err != nil {
		c.t.Fatal(err)
	}
}

// eventually polls for what no event tells of.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// leader waits for a node that serves.
func (c *trio) leader() (at int) {
	c.t.Helper()
	eventually(c.t, "a leader serves", func() bool {
		for i, g := range c.groups {
			if g != nil && g.Serving() {
				at = i
				return true
			}
		}
		return false
	})
	return at
}

// follower gives a running node that does not lead.
func (c *trio) follower() int {
	c.t.Helper()
	leader := c.leader()
	for i, g := range c.groups {
		if g != nil && i != leader {
			return i
		}
	}
	c.t.Fatal("no follower runs")
	return -1
}

// do carries a command out, at whoever leads, again until it is certain. All commands may be repeated.
func (c *trio) do(cmd Command) Result {
	c.t.Helper()
	var result Result
	eventually(c.t, fmt.Sprintf("%T is applied", cmd), func() bool {
		g := c.groups[c.leader()]
		results, err := g.Propose(AppendEntry(nil, wire.OldestFormat, 1, 1, AppendCommand(nil, cmd))).Wait()
		if err != nil || len(results) != 1 {
			return false
		}
		result = results[0]
		return true
	})
	if result.Err != nil {
		c.t.Fatalf("%+v: %v", cmd, result.Err)
	}
	return result
}

// append adds n messages to chat c, each of which must get the next seq.
func (c *trio) append(n int) {
	c.t.Helper()
	if c.acked == 0 {
		c.do(group("c", "a", "b"))
	}
	for range n {
		c.acked++
		if r := c.do(say("c", "a", fmt.Sprint(c.acked), fmt.Sprint("text ", c.acked))); r.Append.Seq != wire.Seq(c.acked) {
			c.t.Fatalf("message %d got seq %d", c.acked, r.Append.Seq)
		}
	}
}

// check demands that every running replica comes to hold every acknowledged message at its seq, and that all hold the
// same bytes.
func (c *trio) check() {
	c.t.Helper()
	c.do(AckOutbox{}) // an entry of the present term, so that everything before it is applied with it
	leading := c.groups[c.leader()]
	want, _ := leading.Store().Applied()
	var first string
	for i, g := range c.groups {
		if g == nil {
			continue
		}
		eventually(c.t, fmt.Sprintf("%s has caught up", c.peers[i].ID), func() bool {
			index, _ := g.Store().Applied()
			return index >= want
		})
		messages, err := g.Store().Range("c", 1, c.acked+1)
		if err != nil || len(messages) != c.acked {
			c.t.Fatalf("%s holds %d of %d messages: %v", c.peers[i].ID, len(messages), c.acked, err)
		}
		for j, m := range messages {
			if m.Seq != wire.Seq(j+1) || m.Text != fmt.Sprint("text ", j+1) {
				c.t.Fatalf("%s holds %+v at %d", c.peers[i].ID, m, j+1)
			}
		}
		if bytes := dump(c.t, g.Store()); first == "" {
			first = bytes
		} else if bytes != first {
			c.t.Fatalf("%s holds other bytes than the first replica", c.peers[i].ID)
		}
	}
}
