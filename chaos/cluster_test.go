//go:build linux

package chaos

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// setup is what a cluster is made of.
type setup struct {
	nodes  int
	groups int
	disks  int      // megabytes of each node's own disk; 0 is a plain directory
	noSync bool     // run the binary that never waits for a disk
	flags  []string // more flags of every node
	place  func(i int) host
	dial   dialer // how clients reach the nodes, where the tests' own namespace does not
}

// cluster is a quorum of processes. Its methods are for the test's goroutine.
type cluster struct {
	t      *testing.T
	setup  setup
	nodes  []*node
	client *wire.Client // asks, and mends; the load has its own
}

// start runs a cluster and waits until every group has a leader. It ends with the test.
func start(t *testing.T, s setup) *cluster {
	t.Helper()
	openNetwork(t)
	if s.place == nil {
		s.place = nodeHost
	}
	c := &cluster{t: t, setup: s}
	var first []string
	for range s.nodes {
		n := c.add()
		first = append(first, n.id+"="+n.raftAddr())
	}
	t.Cleanup(c.close) // before the disks are unmounted
	for _, n := range c.nodes {
		n.argv = append(n.argv, "--groups", strconv.Itoa(s.groups), "--bootstrap", strings.Join(first, ","))
		n.start(t)
	}
	c.client = newClient(t, c.addrs(), s.dial)
	c.awaitLeaders()
	c.operate("CLUSTER", "SET", "spread", "off") // the tests say who leads
	return c
}

// add makes a node with a place for its data. It does not start it, nor tell it of the others.
func (c *cluster) add() *node {
	c.t.Helper()
	i := len(c.nodes)
	n := &node{host: c.setup.place(i), id: fmt.Sprintf("n%d", i+1), i: i}
	if c.setup.disks > 0 {
		n.disk = newDisk(c.t, n.id, c.setup.disks)
		n.data = filepath.Join(n.disk.dir, "data")
	} else {
		n.data = filepath.Join(c.t.TempDir(), n.id)
	}
	binary := os.Getenv(binaryEnv)
	if c.setup.noSync {
		binary = os.Getenv(noSyncEnv)
	}
	n.argv = append([]string{
		binary, "sequencer", "--node-id", n.id, "--data", n.data, "--raft-addr", n.raftAddr(), "--resp-addr", n.respAddr(),
		"--ops-addr", "",
	}, c.setup.flags...)
	c.nodes = append(c.nodes, n)
	return n
}

// operate sends an operator's command, and again while the cluster has no leader for it.
func (c *cluster) operate(args ...string) (reply wire.Reply) {
	c.t.Helper()
	var err error
	for deadline := time.Now().Add(settle); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		for _, n := range c.nodes {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			reply, err = c.client.DoFollow(ctx, n.respAddr(), args...)
			cancel()
			if err == nil || !wire.Temporary(err) {
				break
			}
		}
		if err == nil {
			return reply
		}
		if !wire.Temporary(err) {
			break
		}
	}
	c.t.Fatalf("%q: %v", args, err)
	return reply
}

// newClient gives a client that ends with the test.
func newClient(t *testing.T, addrs []string, dial dialer) *wire.Client {
	config := wire.ClientConfig{Seeds: addrs, Logger: slog.New(slog.DiscardHandler)}
	if dial != nil {
		config.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return dial(ctx, "tcp", addr) }
	}
	client := wire.NewClient(config)
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("close a client: %v", err)
		}
	})
	return client
}

func (c *cluster) close() {
	for _, n := range c.nodes {
		n.kill()
		if c.t.Failed() {
			n.keepLog(c.t)
		}
	}
}

func (c *cluster) addrs() []string {
	var addrs []string
	for _, n := range c.nodes {
		addrs = append(addrs, n.respAddr())
	}
	return addrs
}

// others lists the addresses of all nodes but one.
func (c *cluster) others(i int) []string {
	var ips []string
	for _, n := range c.nodes {
		if n.i != i {
			ips = append(ips, n.ip)
		}
	}
	return ips
}

// status is one group as one node sees it, from INFO.
type status struct {
	held                  bool // the node has a replica of it
	state, leader         string
	serving               bool
	term, applied, commit uint64
	installs              int
}

// ask gives what node i says of its groups, or false where it does not answer.
func (c *cluster) ask(i int) ([]status, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r, err := c.client.DoNode(ctx, c.nodes[i].respAddr(), "INFO", "raft")
	if err != nil {
		return nil, false
	}
	all := make([]status, c.setup.groups)
	for line := range strings.Lines(r.Str()) {
		name, fields, _ := strings.Cut(strings.TrimSpace(line), ":")
		number, ok := strings.CutPrefix(name, "group")
		group, err := strconv.Atoi(number)
		if !ok || err != nil || group >= len(all) {
			continue // a heading, or a group that carries no chats
		}
		all[group] = readStatus(fields)
	}
	return all, true
}

func readStatus(fields string) (s status) {
	s.held = true
	for field := range strings.SplitSeq(fields, ",") {
		name, value, _ := strings.Cut(field, "=")
		number, _ := strconv.ParseUint(value, 10, 64) // 0 for what is no number
		switch name {
		case "state":
			s.state = value
		case "leader":
			s.leader = value
		case "serving":
			s.serving = value == "true"
		case "term":
			s.term = number
		case "applied":
			s.applied = number
		case "commit":
			s.commit = number
		case "installs":
			s.installs = int(number)
		}
	}
	return s
}

// leaders gives the node that serves each group, -1 where none says so, and the highest term of each.
func (c *cluster) leaders() (at []int, terms []uint64) {
	at, terms = make([]int, c.setup.groups), make([]uint64, c.setup.groups)
	for g := range at {
		at[g] = -1
	}
	served := make([]uint64, c.setup.groups) // the term in which at serves: a leader that is cut off may not know yet
	for i, n := range c.nodes {
		if !n.up() {
			continue
		}
		all, _ := c.ask(i)
		for g, s := range all {
			terms[g] = max(terms[g], s.term)
			if s.serving && s.term > served[g] {
				at[g], served[g] = i, s.term
			}
		}
	}
	return at, terms
}

// awaitLeaders waits until every group is served.
func (c *cluster) awaitLeaders() (at []int) {
	c.t.Helper()
	await(c.t, "a leader of every group", func() bool {
		at, _ = c.leaders()
		for _, i := range at {
			if i < 0 {
				return false
			}
		}
		return true
	})
	return at
}

// lead has the given nodes lead the groups in turn: group g is led by node by[g modulo their number].
func (c *cluster) lead(by ...int) {
	c.t.Helper()
	await(c.t, "leadership to be spread", func() bool {
		done := true
		for g, i := range c.awaitLeaders() {
			if want := by[g%len(by)]; i != want {
				_ = c.transfer(g, i, want) // looked at again
				done = false
			}
		}
		return done
	})
}

// spread has every node lead its share of the groups.
func (c *cluster) spread() {
	c.t.Helper()
	var all []int
	for i := range c.nodes {
		all = append(all, i)
	}
	c.lead(all...)
}

// transfer hands a group over.
func (c *cluster) transfer(group, from, to int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	_, err := c.client.DoNode(ctx, c.nodes[from].respAddr(), "RAFT", "TRANSFER", strconv.Itoa(group), c.nodes[to].id)
	return err
}

// awaitCaughtUp waits until node i has applied in every group what the group's leader has applied now.
func (c *cluster) awaitCaughtUp(i int) {
	c.t.Helper()
	want := make([]uint64, c.setup.groups)
	for g, leader := range c.awaitLeaders() {
		await(c.t, "a leader to tell what it has applied", func() bool {
			all, ok := c.ask(leader)
			if ok {
				want[g] = all[g].applied
			}
			return ok
		})
	}
	await(c.t, c.nodes[i].id+" to catch up", func() bool {
		all, ok := c.ask(i)
		for g := range all {
			ok = ok && (!all[g].held || all[g].applied >= want[g])
		}
		return ok
	})
}
