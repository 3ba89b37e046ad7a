package sequencer

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// cards knows the addresses of the other nodes. Each node is asked by a goroutine of its own, over the Raft port: in
// quick succession until it has answered, then every few seconds, and at once when it has come to lead a group.
type cards struct {
	every time.Duration
	log   *slog.Logger
	self  wire.NodeID
	fetch func(ctx context.Context, raftAddr string, node wire.NodeID) (raftfsm.Card, error)

	ctx    context.Context // ends with close
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	known   map[wire.NodeID]raftfsm.Card // replaced as a whole, so that readers share it
	asks    map[wire.NodeID]*asking
	changed chan struct{} // closed at the next change of known
}

// asking is one node that is asked.
type asking struct {
	now   chan struct{}
	since time.Time // when it answered last, or was asked first
	end   context.CancelFunc
}

const (
	cardWait  = time.Second            // for one answer
	cardRetry = 100 * time.Millisecond // until the first answer
	maxPeers  = 1024                   // nodes of one cluster that are asked
)

func newCards(self wire.NodeID, every time.Duration, log *slog.Logger) *cards {
	c := &cards{
		every: every, log: log, self: self,
		known: map[wire.NodeID]raftfsm.Card{}, asks: map[wire.NodeID]*asking{}, changed: make(chan struct{}),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// follow starts to ask the given nodes; those it asks already and this one are left out.
func (c *cards) follow(peers []raftfsm.Peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range peers {
		if p.ID == c.self || c.asks[p.ID] != nil || len(c.asks) == maxPeers || c.ctx.Err() != nil {
			continue
		}
		ctx, cancel := context.WithCancel(c.ctx)
		c.asks[p.ID] = &asking{now: make(chan struct{}, 1), since: time.Now(), end: cancel}
		c.done.Add(1)
		go c.keep(ctx, p, c.asks[p.ID].now)
	}
}

// ask has a node asked now.
func (c *cards) ask(id wire.NodeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.asks[id]; a != nil {
		select {
		case a.now <- struct{}{}:
		default:
		}
	}
}

// keepOnly forgets the nodes that are not in a map, or that it gives up.
func (c *cards) keepOnly(m *wire.ClusterMap) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, a := range c.asks {
		if node := m.Node(id); node == nil || node.State == wire.NodeLost {
			a.end()
			delete(c.asks, id)
			c.known = maps.Clone(c.known)
			delete(c.known, id)
		}
	}
}

// silence is how long a node has not answered; 0 for this one, and for one that is not asked.
func (c *cards) silence(id wire.NodeID) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.asks[id]; a != nil {
		return time.Since(a.since)
	}
	return 0
}

// keep keeps one node's card fresh.
func (c *cards) keep(life context.Context, p raftfsm.Peer, ask <-chan struct{}) {
	defer c.done.Done()
	failing := false
	for {
		ctx, cancel := context.WithTimeout(life, cardWait)
		card, err := c.fetch(ctx, p.RaftAddr, p.ID)
		cancel()
		wait := c.every
		switch {
		case err == nil && card.Node == p.ID:
			failing = false
			c.put(card)
		case err == nil:
			c.log.Warn("another node answers at a peer's address", "peer", p.ID, "addr", p.RaftAddr, "answers", card.Node)
		case life.Err() == nil && !failing:
			failing = true
			c.log.Info("a peer does not answer", "peer", p.ID, "addr", p.RaftAddr, "err", err)
		}
		if failing {
			wait = min(wait, cardRetry) // it may come back with other addresses
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ask:
		case <-life.Done():
		}
		timer.Stop()
		if life.Err() != nil {
			return
		}
	}
}

func (c *cards) put(card raftfsm.Card) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.asks[card.Node]; a != nil {
		a.since = time.Now()
	} else {
		return // it was forgotten meanwhile
	}
	if old, ok := c.known[card.Node]; ok && old.Equal(&card) {
		return
	}
	c.known = maps.Clone(c.known)
	c.known[card.Node] = card
	close(c.changed)
	c.changed = make(chan struct{})
}

// all gives the cards known now, not to be changed, and a channel that closes at the next change.
func (c *cards) all() (map[wire.NodeID]raftfsm.Card, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known, c.changed
}

func (c *cards) close() {
	c.cancel()
	c.done.Wait()
}
