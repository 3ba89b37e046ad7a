package delivery

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// TestTwoEdges_LeadersKilled kills the leader of each group, which comes back.
func TestTwoEdges_LeadersKilled(t *testing.T) {
	twoEdges(t, func(c *sequencertest.Cluster, more func(n int64)) {
		for g := range 2 {
			leader := c.Leader(wire.GroupID(g))
			c.Kill(leader)
			more(200)
			c.Restart(leader)
			more(100)
		}
	})
}

// TestTwoEdges_ReplicasMove moves every replica to another node.
func TestTwoEdges_ReplicasMove(t *testing.T) {
	twoEdges(t, func(c *sequencertest.Cluster, more func(n int64)) {
		for _, node := range []string{"n1", "n2", "n3"} {
			c.Join()
			c.Operate("CLUSTER", "DRAIN", node)
			c.Settled()
			more(100)
		}
		for i := range 3 {
			c.Stop(i)
		}
		more(100)
	})
}

// twoEdges has two clients on two edges see one order, without loss or repeat, whatever happens to the cluster meanwhile.
// What is acknowledged is in the logs at its place.
func twoEdges(t *testing.T, happens func(c *sequencertest.Cluster, more func(n int64))) {
	t.Helper()
	c := sequencertest.Start(t, 3, 2)
	edges := []*edge{openEdge(t, c.Addrs(), smallPages), openEdge(t, c.Addrs(), smallPages)}
	alice, bob := fresh("alice"), fresh("bob")
	var chats []string
	for range 6 {
		chats = append(chats, edges[0].group(alice, bob))
	}
	s := startStorm(t, edges, alice, chats, 6)
	finished := make(chan struct{})
	var wg sync.WaitGroup
	followers := []*follower{newFollower(t, alice, chats), newFollower(t, bob, chats)}
	for i, f := range followers {
		wg.Go(func() { f.run(edges[i:i+1], time.Hour, finished) })
	}
	more := func(n int64) {
		want := s.count.Load() + n
		eventually(t, "more messages", func() bool { return s.count.Load() >= want || t.Failed() })
	}
	more(200)
	happens(c, more)
	last := s.end(edges[0], alice, chats)
	for _, f := range followers {
		eventually(t, "everything at the followers", func() bool { return f.has(last) })
	}
	close(finished)
	wg.Wait()
	sameTexts(t, followers)
}

// TestServer_CloseEndsEverything looks for goroutines that outlive an edge which had all kinds of work.
func TestServer_CloseEndsEverything(t *testing.T) {
	addrs := startCluster(t, 1)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(), // the quorum, which goes on, may elect meanwhile
		goleak.IgnoreAnyFunction("github.com/hashicorp/raft.emitLogStoreMetrics"),
		goleak.IgnoreAnyFunction("github.com/hashicorp/raft.(*raftState).goFunc.func1"))
	t.Run("edge", func(t *testing.T) {
		e := openEdge(t, addrs)
		alice, bob := fresh("alice"), fresh("bob")
		a, b := e.dial(alice), e.dial(bob)
		id := e.group(alice, bob)
		e.post(alice, id, "x")
		a.awaitSeqs(id, 1, 1)
		b.awaitSeqs(id, 1, 1)
		b.send(`{"type":"ack","chatId":"` + id + `","seq":1}`)
		b.send(`{"type":"typing","chatId":"` + id + `"}`)
		a.awaitType("typing")
		e.dialPath(alice, "/chats/"+id+"/stream?cursor=1").awaitSeqs(id, 1, 1)
	})
}

// TestServer_CloseWritesReceipts has an edge close before a receipt's delay is over.
func TestServer_CloseWritesReceipts(t *testing.T) {
	addrs := startCluster(t, 1)
	e := openEdge(t, addrs, func(c *Config) { c.Limits.ReceiptDelay = time.Hour })
	other := openEdge(t, addrs)
	alice, bob := fresh("alice"), fresh("bob")
	id := e.group(alice, bob)
	b := e.dial(bob)
	e.post(alice, id, "x")
	b.awaitSeqs(id, 1, 1)
	b.send(`{"type":"ack","chatId":"` + id + `","seq":1}`)
	b.quiet("nothing", func(map[string]any) bool { return false })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		t.Fatal(err)
	}
	list := other.must(alice, "GET", "/messages/"+id+":1/receipts", "", 200).json()["receipts"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["deliveredAt"] == nil {
		t.Errorf("receipts %v", list)
	}
}
