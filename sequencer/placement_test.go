package sequencer_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// voters gives the nodes that are meant to vote in each group, as CLUSTER STATUS tells.
func voters(c *sequencertest.Cluster) map[wire.GroupID][]string {
	nodes := map[wire.GroupID][]string{}
	for _, p := range c.Operate("CLUSTER", "STATUS").Field("placements").Elems() {
		for _, r := range p.Field("replicas").Elems() {
			node, _, _ := strings.Cut(r.Str(), "/")
			g := wire.GroupID(p.Field("group").Num())
			nodes[g] = append(nodes[g], node)
		}
	}
	return nodes
}

// TestCluster_GrowsAndShrinksUnderLoad adds two nodes, spreads the replicas over all five, and then empties two of the
// first, while clients go on.
func TestCluster_GrowsAndShrinksUnderLoad(t *testing.T) {
	underLoad(t, func(c *sequencertest.Cluster, load *sequencertest.Load) {
		load.Await(300)
		for range 2 {
			c.Join()
		}
		if changed := c.Operate("CLUSTER", "REBALANCE").Num(); changed == 0 {
			t.Error("there was nothing to rebalance")
		}
		c.Settled()
		load.Await(300)
		held := map[string]int{}
		for g, nodes := range voters(c) {
			if len(nodes) != 3 {
				t.Errorf("group %d has the voters %v", g, nodes)
			}
			for _, node := range nodes {
				held[node]++
			}
		}
		for _, node := range []string{"n1", "n2", "n3", "n4", "n5"} {
			if n := held[node]; n < 2 || n > 3 { // 4 groups with the meta group, 12 voters on 5 nodes
				t.Errorf("%s holds %d voters: %v", node, n, held)
			}
		}
		for _, node := range []string{"n1", "n2"} {
			c.Operate("CLUSTER", "DRAIN", node)
			c.Settled()
			load.Await(200)
		}
		for g, nodes := range voters(c) {
			if text := strings.Join(nodes, " "); strings.Contains(text, "n1") || strings.Contains(text, "n2") {
				t.Errorf("group %d still votes on %s", g, text)
			}
		}
		for i := range 2 { // they are empty: their end is not noticed
			c.Stop(i)
		}
		load.Await(300)
	}, snapshotsOften)
}

// TestCluster_RefusesWhatWouldLoseAMajority asks for what cannot be.
func TestCluster_RefusesWhatWouldLoseAMajority(t *testing.T) {
	c := sequencertest.Start(t, 3, 2)
	for _, q := range []struct{ command, word string }{
		{"CLUSTER DRAIN n1", "CONFLICT"}, // nobody can take its replicas
		{"CLUSTER DRAIN n9", "ERR"},
		{"CLUSTER REPLACE n1 n2", "CONFLICT"}, // n2 holds its own
		{"CLUSTER REPLACE n1", "CONFLICT"},
		{"CLUSTER ACTIVATE n1", ""},
		{"CLUSTER FORGET n2", "CONFLICT"},
		{"CLUSTER SET replicas 4", "ERR"},
		{"CLUSTER SET colour red", "ERR"},
		{"CLUSTER SET moves 2", ""},
		{"RAFT ADD 0 n2", ""},
		{"RAFT ADD 7 n2", "ERR"},
		{"RAFT CONFIG 0 ADD n2", "ERR"},
		{"CLUSTER JOIN n7 i 127.0.0.1:1 127.0.0.1:2 TOKEN wrong", "NOAUTH"},
		{"CLUSTER JOIN n2 i 127.0.0.1:1 127.0.0.1:2", "CONFLICT"},
	} {
		_, err := c.TryOperate(strings.Fields(q.command)...)
		if q.word == "" && err != nil || q.word != "" && (err == nil || !strings.HasPrefix(err.Error(), q.word)) {
			t.Errorf("%s: %v, want %q", q.command, err, q.word)
		}
	}
}

// TestCluster_JoinNeedsAToken has a node with a wrong token, which must not become part of the cluster.
func TestCluster_JoinNeedsAToken(t *testing.T) {
	c := sequencertest.Start(t, 1, 1)
	raftAddr, respAddr := sequencertest.LoopbackAddrs(t)
	n, err := sequencer.Open(sequencer.Config{
		NodeID: "n2", Dir: t.TempDir(), RaftAddr: raftAddr, RESPAddr: respAddr, Join: c.Addrs()[0], JoinToken: "guessed",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := n.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("a node without a token: %v", err)
	}
}

// TestCluster_OneGrowsToThree begins with one node, which alone is a quorum, and ends with three of which any may fail.
func TestCluster_OneGrowsToThree(t *testing.T) {
	underLoadOf(t, 1, func(c *sequencertest.Cluster, load *sequencertest.Load) {
		c.Join()
		c.Join()
		c.Operate("CLUSTER", "REBALANCE")
		c.Settled()
		for g, nodes := range voters(c) {
			if len(nodes) != 3 {
				t.Errorf("group %d has the voters %v", g, nodes)
			}
		}
		for g := range voters(c) {
			c.Operate("RAFT", "TRANSFER", strconv.Itoa(int(g)), "n2")
		}
		load.Await(200) // by now the client has been told of the others
		c.Kill(0)
		load.Await(200)
	})
}

// TestCluster_ReplicaWithoutItsFilesIsMadeAnew deletes one replica's files, of a node that is otherwise well. It comes back
// as another replica: under its old name it would vote without knowing what it had voted for.
func TestCluster_ReplicaWithoutItsFilesIsMadeAnew(t *testing.T) {
	underLoad(t, func(c *sequencertest.Cluster, load *sequencertest.Load) {
		victim := (c.Leader(0) + 1) % c.Len()
		before := c.Node(victim).Status(0).Self
		c.Kill(victim)
		load.Await(100)
		c.DeleteReplica(victim, 0)
		c.Restart(victim)
		c.Eventually("a new replica", func() bool {
			now := c.Node(victim).Status(0).Self
			return now.Node == before.Node && now.Generation > before.Generation
		})
		c.Settled()
		c.CatchUp(victim)
		load.Await(100)
	}, snapshotsOften)
}
