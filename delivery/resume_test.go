package delivery

import (
	"sync/atomic"
	"testing"
	"time"
)

func quickFeed(c *Config) { c.Limits.FeedWait = 20 * time.Millisecond }

// gate lets one answer wait until the test opens it. arrived gets a token when somebody waits.
type gate struct {
	shut          atomic.Bool
	arrived, open chan struct{}
}

func newGate() *gate { return &gate{arrived: make(chan struct{}, 1), open: make(chan struct{})} }

func (g *gate) pass() {
	if g.shut.CompareAndSwap(true, false) {
		g.arrived <- struct{}{}
		<-g.open
	}
}

func (g *gate) await(t *testing.T) {
	t.Helper()
	select {
	case <-g.arrived:
	case <-time.After(patience):
		t.Fatal("nobody came to the gate")
	}
}

// TestResume_EventWhilePageInFlight has a message committed after a page was read and dispatched before the page arrives,
// and nothing after it.
func TestResume_EventWhilePageInFlight(t *testing.T) {
	var last atomic.Int64
	ranges := newGate()
	s := newScript(t, func(args []string) any {
		switch args[0] {
		case "USER.CHATS":
			return scriptList()
		case "CHAT.HEAD":
			return scriptHead(int(last.Load()), 0)
		case "CHAT.GET":
			return scriptChat(int(last.Load()), 1, "alice", "bob")
		case "CHAT.RANGE":
			page := scriptPage(args, int(last.Load()))
			ranges.pass()
			return page
		}
		return fault("ERR unknown")
	})
	e := openEdge(t, []string{s.addr()}, quickFeed)
	d := e.dial("alice")
	last.Store(1)
	s.publish(scriptEvent(1))
	d.awaitSeqs("c", 1, 1)
	ranges.shut.Store(true)
	last.Store(3)
	s.publish(scriptEvent(3)) // 2 seems to be missing
	ranges.await(t)
	last.Store(4)
	s.publish(scriptEvent(4))
	s.dispatched()
	close(ranges.open)
	d.awaitSeqs("c", 2, 4)
}

// TestResume_EventDuringHello has a message dispatched after the head of its chat was read for a hello, and nothing after it.
func TestResume_EventDuringHello(t *testing.T) {
	var last atomic.Int64
	heads := newGate()
	s := newScript(t, func(args []string) any {
		switch args[0] {
		case "USER.CHATS":
			return scriptList()
		case "CHAT.HEAD":
			head := scriptHead(int(last.Load()), int(last.Load()))
			heads.pass()
			return head
		case "CHAT.GET":
			return scriptChat(int(last.Load()), 1, "alice", "bob")
		case "CHAT.RANGE":
			return scriptPage(args, int(last.Load()))
		}
		return fault("ERR unknown")
	})
	e := openEdge(t, []string{s.addr()}, quickFeed)
	first := e.dial("alice")
	last.Store(1)
	s.publish(scriptEvent(1))
	first.awaitSeqs("c", 1, 1)
	heads.shut.Store(true)
	second := e.dialPath("alice", "/stream")
	second.send(`{"type":"hello","deviceId":"second"}`)
	heads.await(t)
	last.Store(2)
	s.publish(scriptEvent(2))
	first.awaitSeqs("c", 2, 2)
	s.dispatched()
	close(heads.open)
	second.awaitSeqs("c", 2, 2)
}

// TestFeed_TrimmedBeyondTheReader has the feed forget events that the reader has not read: messages, and that carol joined.
func TestFeed_TrimmedBeyondTheReader(t *testing.T) {
	var last atomic.Int64
	var joined atomic.Bool
	s := newScript(t, func(args []string) any {
		switch args[0] {
		case "USER.CHATS":
			return scriptList()
		case "CHAT.HEAD":
			if args[len(args)-1] == "carol" && !joined.Load() {
				return []any{nil}
			}
			return scriptHead(int(last.Load()), 0)
		case "CHAT.GET":
			if joined.Load() {
				return scriptChat(int(last.Load()), 2, "alice", "bob", "carol")
			}
			return scriptChat(int(last.Load()), 1, "alice", "bob")
		case "CHAT.RANGE":
			return scriptPage(args, int(last.Load()))
		}
		return fault("ERR unknown")
	})
	e := openEdge(t, []string{s.addr()}, quickFeed)
	alice, carol := e.dial("alice"), e.dial("carol")
	last.Store(1)
	s.publish(scriptEvent(1))
	alice.awaitSeqs("c", 1, 1)
	last.Store(3)
	joined.Store(true)
	s.mu.Lock()
	s.feed, s.floor = append(s.feed, scriptEvent(2), scriptEvent(3)), 4
	s.mu.Unlock()
	alice.awaitSeqs("c", 2, 3)
	carol.awaitSeqs("c", 1, 3)
	last.Store(4)
	s.publish(scriptEvent(4))
	alice.awaitSeqs("c", 4, 4)
	carol.awaitSeqs("c", 4, 4)
}

// TestFeed_ReplicaStandsStill has replicas that are cut off from their leader: they answer, and never have anything new.
func TestFeed_ReplicaStandsStill(t *testing.T) {
	var last atomic.Int64
	answer := func(args []string) any {
		switch args[0] {
		case "USER.CHATS":
			return scriptList()
		case "CHAT.HEAD":
			return scriptHead(int(last.Load()), 0)
		case "CHAT.GET":
			return scriptChat(int(last.Load()), 1, "alice", "bob")
		case "CHAT.RANGE":
			return scriptPage(args, int(last.Load()))
		}
		return fault("ERR unknown")
	}
	var nodes []*script
	for range 6 {
		nodes = append(nodes, newScript(t, answer))
	}
	for _, s := range nodes {
		s.nodes = nodes
	}
	leader := nodes[0]
	e := openEdge(t, []string{leader.addr()}, quickFeed)
	d := e.dial("alice")
	for seq := 1; seq <= 3; seq++ {
		last.Store(int64(seq))
		leader.publish(scriptEvent(seq))
		d.awaitSeqs("c", int64(seq), int64(seq))
	}
}

// TestMembers_EventsWaitForTheChat has events come while the members of their chat are being read.
func TestMembers_EventsWaitForTheChat(t *testing.T) {
	for name, room := range map[string]int{"all parked": 100, "some dropped": 2} {
		t.Run(name, func(t *testing.T) {
			var last atomic.Int64
			chats := newGate()
			s := newScript(t, func(args []string) any {
				switch args[0] {
				case "USER.CHATS":
					return scriptList()
				case "CHAT.HEAD":
					return scriptHead(int(last.Load()), 0)
				case "CHAT.GET":
					chats.pass()
					return scriptChat(int(last.Load()), 1, "alice", "bob")
				case "CHAT.RANGE":
					return scriptPage(args, int(last.Load()))
				}
				return fault("ERR unknown")
			})
			e := openEdge(t, []string{s.addr()}, quickFeed, func(c *Config) { c.Limits.ParkedEvents = room })
			d := e.dial("alice")
			chats.shut.Store(true)
			last.Store(5)
			s.publish(scriptEvent(1), scriptEvent(2), scriptEvent(3))
			chats.await(t)
			s.publish(scriptEvent(4), scriptEvent(5))
			s.dispatched()
			close(chats.open)
			d.awaitSeqs("c", 1, 5)
		})
	}
}

// TestMembers_TheChatCannotBeRead has the read of a chat fail for a while: its events are not lost.
func TestMembers_TheChatCannotBeRead(t *testing.T) {
	var last, reads atomic.Int64
	s := newScript(t, func(args []string) any {
		switch args[0] {
		case "USER.CHATS":
			return scriptList()
		case "CHAT.HEAD":
			return scriptHead(int(last.Load()), 0)
		case "CHAT.GET":
			if reads.Add(1) < 3 {
				return fault("ERR broken")
			}
			return scriptChat(int(last.Load()), 1, "alice", "bob")
		case "CHAT.RANGE":
			return scriptPage(args, int(last.Load()))
		}
		return fault("ERR unknown")
	})
	e := openEdge(t, []string{s.addr()}, quickFeed)
	d := e.dial("alice")
	last.Store(2)
	s.publish(scriptEvent(1), scriptEvent(2))
	d.awaitSeqs("c", 1, 2)
}
