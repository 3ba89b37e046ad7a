package delivery

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// asHub has an edge be a hub too, with short leases.
func asHub(cfg *Config) {
	cfg.HubAddr = "127.0.0.1:0"
	cfg.Limits.PresenceGrace = 200 * time.Millisecond
}

// sharedOut waits until the hubs have shared all groups between them, each connected to the others, and read nothing beside their own.
func sharedOut(t *testing.T, edges ...*edge) {
	t.Helper()
	eventually(t, "the feeds to be shared out", func() bool {
		groups := edges[0].hub.size()
		total := 0
		for _, e := range edges {
			n := 0
			for g := range groups {
				shared, reading := e.hub.shares(wire.GroupID(g)), e.reads(wire.GroupID(g))
				if shared != reading {
					return false
				}
				if shared {
					n++
				}
			}
			if share := (groups + len(edges) - 1) / len(edges); n > share {
				return false
			}
			total += n
		}
		return total == groups
	})
}

// reads tells whether the node reads a feed, for others or for itself.
func (e *edge) reads(g wire.GroupID) bool {
	e.hub.mu.Lock()
	defer e.hub.mu.Unlock()
	return e.hub.groups[g].reader != nil
}

// TestHubs_OneReaderPerFeedServesAllEdges has three nodes in a region: each feed is read by one of them, and members at all of them get every
// message, in order and once.
func TestHubs_OneReaderPerFeedServesAllEdges(t *testing.T) {
	const groups, chats, messages = 4, 8, 25
	cluster := sequencertest.Start(t, 3, groups).Addrs()
	edges := []*edge{openEdge(t, cluster, asHub), openEdge(t, cluster, asHub), openEdge(t, cluster, asHub)}
	sharedOut(t, edges...)
	users := []string{fresh("ann"), fresh("bob"), fresh("eve")}
	var devices []*device
	for i, e := range edges {
		devices = append(devices, e.dial(users[i]))
	}
	ids := make([]string, chats)
	for c := range ids {
		ids[c] = edges[c%3].group(users...)
	}
	for m := range messages {
		for c, id := range ids {
			edges[(m+c)%3].post(users[m%3], id, fmt.Sprintf("%d", m))
		}
	}
	for _, d := range devices {
		for _, id := range ids {
			d.awaitSeqs(id, 1, messages)
		}
	}
	if n := edges[0].stats.hubGaps.Load() + edges[1].stats.hubGaps.Load() + edges[2].stats.hubGaps.Load(); n > 0 {
		t.Errorf("%d gaps", n)
	}
}

// TestHubs_TheOneThatIsLostIsFollowed kills a hub without a word: the others take its feeds, and nobody misses or gets twice.
func TestHubs_TheOneThatIsLostIsFollowed(t *testing.T) {
	const groups, chats = 4, 8
	cluster := sequencertest.Start(t, 3, groups).Addrs()
	a, b, lost := openEdge(t, cluster, asHub), openEdge(t, cluster, asHub), openEdge(t, cluster, asHub)
	sharedOut(t, a, b, lost)
	ann, bob := fresh("ann"), fresh("bob")
	devices := []*device{a.dial(ann), b.dial(bob)}
	ids := make([]string, chats)
	for c := range ids {
		ids[c] = a.group(ann, bob)
		a.post(ann, ids[c], "before")
	}
	lost.hubPort.close() // its connections break, and it renews no lease any more
	lost.sharer.isHub = false
	for m := range 20 {
		for _, id := range ids {
			b.post(bob, id, fmt.Sprintf("during %d", m))
		}
	}
	sharedOut(t, a, b)
	for _, id := range ids {
		a.post(ann, id, "after")
	}
	for _, d := range devices {
		for _, id := range ids {
			d.awaitSeqs(id, 1, 22)
		}
	}
}

// TestHubs_OneThatIsStartedAgainTakesItsShare loses a hub without a word, and has another process listen at its address before its leases are over. The
// feeds of the lost one must not stay with nobody.
func TestHubs_OneThatIsStartedAgainTakesItsShare(t *testing.T) {
	cluster := sequencertest.Start(t, 3, 6).Addrs()
	a, b, lost := openEdge(t, cluster, asHub), openEdge(t, cluster, asHub), openEdge(t, cluster, asHub)
	sharedOut(t, a, b, lost)
	addr := lost.hubPort.ln.Addr().String()
	lost.sharer.isHub = false
	lost.hubPort.close()
	again := openEdge(t, cluster, asHub, func(cfg *Config) { cfg.HubAddr = addr })
	sharedOut(t, a, b, again)
}

// TestHubs_AnEdgeThatIsCutOffReadsByItself breaks the only way to the hub that reads the feeds.
func TestHubs_AnEdgeThatIsCutOffReadsByItself(t *testing.T) {
	cluster := startCluster(t, 3)
	hub := openEdge(t, cluster, asHub)
	sharedOut(t, hub)
	far := openEdge(t, cluster, func(cfg *Config) {}) // an edge alone
	eventually(t, "the edge to be served by the hub", func() bool { return !far.reads(0) && !far.reads(1) })
	ann, bob := fresh("ann"), fresh("bob")
	d := far.dial(ann)
	id := hub.group(ann, bob)
	hub.post(bob, id, "by the hub")
	d.awaitSeqs(id, 1, 1)
	hub.hubPort.close()
	hub.post(bob, id, "by the edge itself")
	d.awaitSeqs(id, 2, 2)
	if far.stats.hubAlone.Load() == 0 {
		t.Error("the edge did not read by itself")
	}
}

// TestHubs_TypingAndPresenceReachOtherEdges has two users at two edges.
func TestHubs_TypingAndPresenceReachOtherEdges(t *testing.T) {
	cluster := sequencertest.Start(t, 3, 4).Addrs()
	a, b := openEdge(t, cluster, asHub), openEdge(t, cluster, asHub)
	sharedOut(t, a, b)
	ann, bob, eve := fresh("ann"), fresh("bob"), fresh("eve")
	id := a.listed(ann, bob)
	stranger := b.dial(eve)
	here, there := a.dial(ann), b.dial(bob)
	presence := func(user, status string) func(map[string]any) bool {
		return func(m map[string]any) bool {
			return m["type"] == "presence" && m["userId"] == user && m["status"] == status
		}
	}
	here.await("the other's coming", presence(bob, "online"))
	here.send(`{"type":"typing","chatId":"` + id + `"}`)
	if m := there.awaitType("typing"); m["chatId"] != id || m["userId"] != ann {
		t.Errorf("typing: %v", m)
	}
	there.send(`{"type":"presence","status":"away"}`)
	here.await("that he is away", presence(bob, "away"))
	there.send(`{"type":"presence","status":"online"}`)
	here.await("that he is back", presence(bob, "online"))
	// The news came by the hub of the chat; who asks is answered by a hub that may hear of it a moment later.
	eventually(t, "who asks to be told so too", func() bool {
		m := a.must(ann, "GET", "/users/"+bob+"/presence", "", 200).json()
		return m["status"] == "online" && m["userId"] == bob
	})
	_ = there.ws.CloseNow()
	if m := here.await("his going", presence(bob, "offline")); m["lastSeenAt"] == nil {
		t.Errorf("his going: %v", m)
	}
	eventually(t, "the last seen to be written", func() bool {
		at, err := a.seq.LastSeen(context.Background(), bob)
		return err == nil && at > 0
	})
	eventually(t, "the other hub to say so too", func() bool {
		m := b.must(ann, "GET", "/users/"+bob+"/presence", "", 200).json()
		return m["status"] == "offline" && m["lastSeenAt"] != nil
	})
	stranger.quiet("a stranger hears of it", func(m map[string]any) bool { return m["type"] == "presence" })
	if got := a.call(eve, "GET", "/users/"+bob+"/presence", "").status; got != 404 {
		t.Errorf("a stranger asks: %d", got)
	}
}

// TestHubs_EdgesAloneAskWhoIsThere has a hub without clients and two edges that are no hubs: one asks how present a user at the other is.
func TestHubs_EdgesAloneAskWhoIsThere(t *testing.T) {
	cluster := sequencertest.Start(t, 1, 2).Addrs()
	h := openEdge(t, cluster, asHub, func(cfg *Config) { cfg.NoClients = true })
	sharedOut(t, h)
	a, b := openEdge(t, cluster), openEdge(t, cluster)
	ann, bob := fresh("ann"), fresh("bob")
	a.listed(ann, bob)
	there := b.dial(bob)
	status := func() any {
		return a.must(ann, "GET", "/users/"+bob+"/presence", "", 200).json()["status"]
	}
	eventually(t, "the other edge to hear that he is there", func() bool { return status() == "online" })
	there.send(`{"type":"presence","status":"away"}`)
	eventually(t, "the other edge to hear that he is away", func() bool { return status() == "away" })
	_ = there.ws.CloseNow()
	eventually(t, "the other edge to hear that he is gone", func() bool { return status() == "offline" })
}
