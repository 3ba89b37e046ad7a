// Package sequencertest makes clusters for tests: real nodes in this process, on loopback ports, with real data
// directories and fsyncs, which a test may kill, wipe and restart. It also has the load and the checks that every test
// of the promise shares, whether its nodes are in this process or not.
package sequencertest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/wire"
)

// Cluster is a running quorum. Its methods are for one goroutine, but for Addrs, Node and Client.
type Cluster struct {
	t       testing.TB
	configs []sequencer.Config
	nodes   []*sequencer.Node // nil while a node is down
	named   int               // ids given to nodes so far
}

// Option changes the configuration of node i before it starts.
type Option func(i int, cfg *sequencer.Config)

// settle is how long anything a cluster is waited for may take. It is generous: a test that passes waits for events.
const settle = 60 * time.Second

// Start runs a cluster of nodes with groups groups, and waits until it serves. It ends with the test.
func Start(t testing.TB, nodes, groups int, options ...Option) *Cluster {
	t.Helper()
	c := &Cluster{t: t, nodes: make([]*sequencer.Node, nodes), named: nodes}
	dir := t.TempDir()
	var peers []raftfsm.Peer
	for i := range nodes {
		raftAddr, respAddr := LoopbackAddrs(t)
		id := wire.NodeID(fmt.Sprintf("n%d", i+1))
		peers = append(peers, raftfsm.Peer{ID: id, RaftAddr: raftAddr})
		c.configs = append(c.configs, sequencer.Config{
			NodeID: id, Dir: filepath.Join(dir, string(id)), RaftAddr: raftAddr, RESPAddr: respAddr, Groups: groups,
			LogStore: os.Getenv("QUORATE_TEST_LOG_STORE"), SegmentBytes: 4 << 20,
			Logger: logger(t), Fatal: func(err error) { t.Errorf("%s: storage failure: %v", id, err) },
		})
	}
	for i := range c.configs {
		c.configs[i].Bootstrap = peers
		for _, option := range options {
			option(i, &c.configs[i])
		}
	}
	t.Cleanup(c.close)
	for i := range nodes {
		c.Restart(i)
	}
	c.WaitReady()
	return c
}

// logger discards what nodes say of the faults that tests make; QUORATE_TEST_LOG=debug, info, warn or error shows it.
func logger(t testing.TB) *slog.Logger {
	text := os.Getenv("QUORATE_TEST_LOG")
	if text == "" {
		return slog.New(slog.DiscardHandler)
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(text)); err != nil {
		t.Fatalf("QUORATE_TEST_LOG: %v", err)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

func (c *Cluster) close() {
	for i := range c.nodes {
		c.Kill(i)
	}
}

// Len gives the number of nodes, up or down.
func (c *Cluster) Len() int { return len(c.nodes) }

// Node gives node i, or nil while it is down.
func (c *Cluster) Node(i int) *sequencer.Node { return c.nodes[i] }

// Addrs gives host:port of every node's RESP server, also of one that is down; a node keeps it unless
// it is configured otherwise.
func (c *Cluster) Addrs() []string {
	addrs := make([]string, len(c.configs))
	for i, cfg := range c.configs {
		addrs[i] = cfg.RESPAddr
	}
	return addrs
}

// Kill ends node i as a crash would: no leadership is handed over, no snapshot taken, nothing flushed. A node that is
// down stays so.
func (c *Cluster) Kill(i int) { c.end(i, (*sequencer.Node).Kill) }

// Stop ends node i in good order. A node that is down stays so.
func (c *Cluster) Stop(i int) { c.end(i, (*sequencer.Node).Close) }

func (c *Cluster) end(i int, how func(*sequencer.Node) error) {
	c.t.Helper()
	if c.nodes[i] == nil {
		return
	}
	if err := how(c.nodes[i]); err != nil {
		c.t.Errorf("end node %d: %v", i, err)
	}
	c.nodes[i] = nil
}

// Restart starts node i, which must be down, on the data it has.
func (c *Cluster) Restart(i int) {
	c.t.Helper()
	node, err := sequencer.Open(c.configs[i])
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[i] = node
}

// Configure changes the configuration that node i, which must be down, starts with next.
func (c *Cluster) Configure(i int, change func(cfg *sequencer.Config)) { change(&c.configs[i]) }

// Wipe deletes the data of node i, which must be down. The others must hold all that was acknowledged: a voter that
// forgets is no longer a witness of anything. The node can not come back as it was, but see Replace.
func (c *Cluster) Wipe(i int) {
	c.t.Helper()
	if err := os.RemoveAll(c.configs[i].Dir); err != nil {
		c.t.Fatal(err)
	}
}

// DeleteReplica deletes the files of a group's replica on node i, which must be down.
func (c *Cluster) DeleteReplica(i int, group wire.GroupID) {
	c.t.Helper()
	dirs, err := filepath.Glob(filepath.Join(c.configs[i].Dir, fmt.Sprintf("group-%d.*", group)))
	if err != nil || len(dirs) != 1 {
		c.t.Fatalf("the files of group %d: %v, %v", group, dirs, err)
	}
	if err := os.RemoveAll(dirs[0]); err != nil {
		c.t.Fatal(err)
	}
}

// WaitReady waits until every node that is up knows the leader of every group.
func (c *Cluster) WaitReady() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	for _, n := range c.nodes {
		if n == nil {
			continue
		}
		if err := n.Ready(ctx); err != nil {
			c.t.Fatal(err)
		}
	}
}

// Leader waits until a node that is up serves the group, and gives its number.
func (c *Cluster) Leader(group wire.GroupID) int {
	c.t.Helper()
	leader := -1
	c.Eventually("a leader", func() bool {
		for i, n := range c.nodes {
			if n != nil && n.Leads(group) {
				leader = i
			}
		}
		return leader >= 0
	})
	return leader
}

// TakeSnapshot has node i, which must be up, take a snapshot of a group.
func (c *Cluster) TakeSnapshot(i int, group wire.GroupID) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	if err := c.nodes[i].Snapshot(ctx, group); err != nil {
		c.t.Fatalf("node %d: snapshot of group %d: %v", i, group, err)
	}
}

// CatchUp waits until node i, which must be up, has applied in every group that it holds what that group's leader has applied now.
func (c *Cluster) CatchUp(i int) {
	c.t.Helper()
	for group := range wire.GroupID(c.nodes[i].Groups()) {
		if c.nodes[i].Store(group) == nil {
			continue
		}
		want := c.nodes[c.Leader(group)].Status(group).Applied
		c.Eventually(fmt.Sprintf("node %d to catch up in group %d", i, group), func() bool {
			return c.nodes[i].Status(group).Applied >= want
		})
	}
}

// clientConfig is that of a client which may do everything: with the certificate of the first node, or the password.
func (c *Cluster) clientConfig() wire.ClientConfig {
	config := wire.ClientConfig{Seeds: c.Addrs(), Logger: logger(c.t), Password: c.configs[0].Password}
	if keys := c.configs[0].Keys; keys != nil {
		config.Dial, config.Password = keys.Dial, ""
	}
	return config
}

// Client gives a client of the cluster, which ends with the test.
func (c *Cluster) Client() *wire.Client {
	c.t.Helper()
	client := wire.NewClient(c.clientConfig())
	c.t.Cleanup(func() {
		if err := client.Close(); err != nil {
			c.t.Errorf("close the client: %v", err)
		}
	})
	return client
}

// Eventually fails the test unless cond comes true. It is for what no event tells.
func (c *Cluster) Eventually(what string, cond func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(settle); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("waited %v in vain for %s", settle, what)
		}
	}
}

// Dir gives the directory of node i, up or down.
func (c *Cluster) Dir(i int) string { return c.configs[i].Dir }
