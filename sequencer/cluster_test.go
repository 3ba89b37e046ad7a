package sequencer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

const (
	testGroups = 3
	testChats  = 12
)

// underLoad runs a cluster with senders at work, lets fault do what it does, and checks every promise after it.
func underLoad(t *testing.T, fault func(c *sequencertest.Cluster, load *sequencertest.Load), options ...sequencertest.Option) {
	t.Helper()
	underLoadOf(t, 3, fault, options...)
}

// underLoadOf is underLoad for a cluster of any number of nodes.
func underLoadOf(
	t *testing.T, nodes int, fault func(c *sequencertest.Cluster, load *sequencertest.Load), options ...sequencertest.Option,
) {
	t.Helper()
	c := sequencertest.Start(t, nodes, testGroups, options...)
	client := c.Client()
	senders, chats := sequencertest.Names("user", 16), sequencertest.Names("chat", testChats)
	sequencertest.MakeChats(t, client, senders, chats...)
	record := sequencertest.NewRecord()
	load := sequencertest.StartLoad(t, client, record, chats, senders)
	load.Await(200)
	fault(c, load)
	load.Await(200)
	load.Stop()
	c.WaitReady()
	c.VerifyReplicas(sequencertest.Verify(t, client, record))
}

// skewed gives every node another time, far apart.
func skewed(i int, cfg *sequencer.Config) {
	offset := wire.Millis((i - 1) * 10 * 60 * 1000)
	cfg.Clock = func() wire.Millis { return wire.Millis(time.Now().UnixMilli()) + offset }
}

// snapshotsOften has a node take snapshots, and cut its log, every few entries.
func snapshotsOften(_ int, cfg *sequencer.Config) {
	cfg.SnapshotEntries = 64
	cfg.TrailingBytes = 4 << 10
}

func TestCluster_LeadersKilledAndRestarted(t *testing.T) {
	underLoad(t, func(c *sequencertest.Cluster, load *sequencertest.Load) {
		for group := range wire.GroupID(testGroups) {
			leader := c.Leader(group)
			c.Kill(leader)
			load.Await(200)
			c.Restart(leader)
			load.Await(200)
		}
	}, skewed)
}

// TestCluster_FollowerWipedIsReplacedBySnapshot wipes a follower, which comes back under a new id. A replica that is added
// is sent a snapshot where the leader's log does not reach back to its beginning.
func TestCluster_FollowerWipedIsReplacedBySnapshot(t *testing.T) {
	const group = 0
	underLoad(t, func(c *sequencertest.Cluster, load *sequencertest.Load) {
		load.Await(1000)
		follower := (c.Leader(group) + 1) % c.Len()
		c.Kill(follower)
		load.Await(500)
		// Some entries stay behind every snapshot, and how many messages are in one is for the load to say.
		c.Eventually("the log to be longer than what stays of it", func() bool {
			return c.Node(c.Leader(group)).Status(group).LastIndex > 4*64
		})
		for i := range c.Len() { // whichever leads when the replica comes
			if i != follower {
				c.TakeSnapshot(i, group)
			}
		}
		c.Replace(follower)
		c.CatchUp(follower)
		load.Await(300)
		if c.Node(follower).Status(group).Installs == 0 {
			t.Error("the replica came without a snapshot")
		}
	}, snapshotsOften)
}

// TestCluster_NodeWithoutItsDataIsTurnedAway starts a node anew under its old id: what it had voted for is gone.
func TestCluster_NodeWithoutItsDataIsTurnedAway(t *testing.T) {
	c := sequencertest.Start(t, 3, 1)
	follower := (c.Leader(0) + 1) % c.Len()
	c.Kill(follower)
	c.Wipe(follower)
	c.Restart(follower)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Node(follower).Ready(ctx); err == nil || !strings.Contains(err.Error(), "new --node-id") {
		t.Errorf("the node: %v", err)
	}
	if n := c.Node(follower).Groups(); n != 0 {
		t.Errorf("it has %d groups", n)
	}
}

func TestCluster_AllKilledAndRestarted(t *testing.T) {
	underLoad(t, func(c *sequencertest.Cluster, load *sequencertest.Load) {
		for range 2 {
			for i := range c.Len() {
				c.Kill(i)
			}
			for i := range c.Len() {
				c.Restart(i)
			}
			load.Await(300)
		}
	}, snapshotsOften)
}

func TestCluster_StoppedNodesHandOver(t *testing.T) {
	underLoad(t, func(c *sequencertest.Cluster, load *sequencertest.Load) {
		for i := range c.Len() {
			c.Stop(i)
			load.Await(100)
			c.Restart(i)
			c.WaitReady()
		}
	})
}

func TestCluster_EndedNodesLeaveNoGoroutine(t *testing.T) {
	before := goleak.IgnoreCurrent()
	c := sequencertest.Start(t, 3, testGroups)
	answer := make(chan error, 1)
	leader := c.Node(c.Leader(wire.GroupOf(wire.SlotOf("chat"), testGroups)))
	leader.Submit("chat", raftfsm.CreateChat{
		ChatID: "chat", Type: wire.GroupChat, CreatorID: "alice", Members: []string{"alice", "bob"},
	}, func(res raftfsm.Result, err error) { answer <- errors.Join(res.Err, err) })
	if err := <-answer; err != nil {
		t.Fatal(err)
	}
	c.Stop(0)
	c.Kill(1)
	c.Kill(2)
	goleak.VerifyNone(t, before)
}

func TestCluster_OtherNodeSaysWhereToTurn(t *testing.T) {
	c := sequencertest.Start(t, 3, 1)
	client := c.Client()
	sequencertest.MakeChats(t, client, []string{"alice"}, "chat")
	leader := c.Leader(0)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for i, addr := range c.Addrs() {
		_, err := client.DoNode(ctx, addr, "CHAT.APPEND", "chat", "alice", "m1", "hello")
		var moved *wire.MovedError
		switch {
		case i == leader && err != nil:
			t.Errorf("the leader answers %v", err)
		case i != leader && (!errors.As(err, &moved) || moved.Addr != c.Addrs()[leader] || moved.Slot != wire.SlotOf("chat")):
			t.Errorf("node %d answers %v, want MOVED to %s", i, err, c.Addrs()[leader])
		}
	}
}

func TestNode_WrongConfigurationDoesNotStart(t *testing.T) {
	raft, resp := sequencertest.LoopbackAddrs(t)
	cfg := sequencer.Config{
		NodeID: "n1", Dir: t.TempDir(), RaftAddr: raft, RESPAddr: resp, Groups: 2,
		Bootstrap: []raftfsm.Peer{{ID: "n1", RaftAddr: raft}},
	}
	alone := cfg
	alone.Bootstrap = nil
	if n, err := sequencer.Open(alone); err == nil {
		t.Fatal("a node without data and without others opens", n.Close())
	}
	n, err := sequencer.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sequencer.Open(cfg); err == nil {
		t.Error("a second node opens the same directory")
	}
	if err := errors.Join(n.Close(), n.Close()); err != nil {
		t.Error(err)
	}
	cfg.Groups = 3
	if n, err := sequencer.Open(cfg); err == nil {
		t.Error("a node with another number of groups opens", n.Close())
	}
	cfg.Groups, cfg.Bootstrap = 2, nil
	n, err = sequencer.Open(cfg)
	if err != nil {
		t.Fatalf("open again as before: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}
