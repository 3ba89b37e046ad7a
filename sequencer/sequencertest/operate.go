package sequencertest

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/wire"
)

// Operate sends an operator's command to the node that carries it out, and again while the cluster has no leader for it.
func (c *Cluster) Operate(args ...string) wire.Reply {
	c.t.Helper()
	r, err := c.TryOperate(args...)
	if err != nil {
		c.t.Fatalf("%q: %v", args, err)
	}
	return r
}

// TryOperate is Operate for a command that may be refused.
func (c *Cluster) TryOperate(args ...string) (wire.Reply, error) {
	c.t.Helper()
	return c.TryOperateFor(10*time.Second, args...)
}

// TryOperateFor is TryOperate for a command that takes so long at most.
func (c *Cluster) TryOperateFor(longest time.Duration, args ...string) (wire.Reply, error) {
	c.t.Helper()
	config := c.clientConfig()
	config.StallTimeout = longest
	client := wire.NewClient(config)
	defer func() { _ = client.Close() }()
	for deadline := time.Now().Add(settle); ; time.Sleep(20 * time.Millisecond) {
		var err error
		for i, n := range c.nodes {
			if n == nil {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), longest)
			var r wire.Reply
			r, err = client.DoFollow(ctx, c.configs[i].RESPAddr, args...)
			cancel()
			if err == nil || !wire.Temporary(err) {
				return r, err
			}
		}
		if time.Now().After(deadline) {
			return wire.Reply{}, err
		}
	}
}

// Join adds a node to the cluster, which comes up empty, and gives its number.
func (c *Cluster) Join(options ...Option) int {
	c.t.Helper()
	raftAddr, respAddr := LoopbackAddrs(c.t)
	i := len(c.nodes)
	c.named++
	id := wire.NodeID(fmt.Sprintf("n%d", c.named))
	cfg := c.configs[0]
	cfg.NodeID, cfg.RaftAddr, cfg.RESPAddr, cfg.Bootstrap, cfg.Groups = id, raftAddr, respAddr, nil, 0
	cfg.Dir = filepath.Join(filepath.Dir(cfg.Dir), string(id))
	cfg.Fatal = func(err error) { c.t.Errorf("%s: storage failure: %v", id, err) }
	c.configs, c.nodes = append(c.configs, cfg), append(c.nodes, nil)
	c.invite(i)
	for _, option := range options {
		option(i, &c.configs[i])
	}
	c.Restart(i)
	c.ready(i)
	return i
}

// invite has node i, which has no data, join the others.
func (c *Cluster) invite(i int) {
	c.t.Helper()
	token := c.Operate("CLUSTER", "TOKEN").Str()
	c.Configure(i, func(cfg *sequencer.Config) {
		cfg.Bootstrap, cfg.JoinToken = nil, token
		for j, n := range c.nodes {
			if n != nil && j != i {
				cfg.Join = c.configs[j].RESPAddr
			}
		}
	})
}

// Replace wipes node i, which must be down, and has it come back under a new id and hold what it held before. It returns
// when all replicas are where they are meant to be.
func (c *Cluster) Replace(i int) {
	c.t.Helper()
	c.Wipe(i)
	old := c.configs[i].NodeID
	c.named++
	id := wire.NodeID(fmt.Sprintf("n%d", c.named))
	raftAddr, _ := LoopbackAddrs(c.t)
	c.invite(i)
	c.Configure(i, func(cfg *sequencer.Config) {
		cfg.NodeID, cfg.RaftAddr = id, raftAddr
		cfg.Fatal = func(err error) { c.t.Errorf("%s: storage failure: %v", id, err) }
	})
	c.Restart(i)
	c.ready(i)
	c.Operate("CLUSTER", "REPLACE", string(old), string(id))
	c.Settled()
}

// Settled waits until nothing is on the move, as each node that is up sees it.
func (c *Cluster) Settled() {
	c.t.Helper()
	client := c.Client()
	for i, n := range c.nodes {
		if n == nil {
			continue
		}
		c.Eventually(fmt.Sprintf("node %d to see all replicas settled", i), func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			r, err := client.DoNode(ctx, c.configs[i].RESPAddr, "CLUSTER", "STATUS")
			if err != nil {
				return false
			}
			for _, p := range r.Field("placements").Elems() {
				if p.Field("moving").Num() != 0 || p.Field("leader").Str() == "" {
					return false
				}
			}
			return true
		})
	}
}

// ready waits until node i knows the leader of every group.
func (c *Cluster) ready(i int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	if err := c.nodes[i].Ready(ctx); err != nil {
		c.t.Fatal(err)
	}
}
