package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// hub is the part of a node that turns feed events into pushes. It reads the feeds of the groups whose lease this node has, for itself and
// for the other edges of the region that are attached to it; and those feeds that no other hub sends to this node, for itself alone. So
// a node that is cut off from all others still serves its clients.
type hub struct {
	srv        *Server
	places     places     // of this node's own sessions, whoever brings them the events
	directory  *directory // who is at the other edges
	joins      *joins     // who may not have his newest chats in his list yet
	presence   *presence
	positioned chan struct{} // closed when every group has a position: sessions may be admitted
	sizes      *batchSize    // of the batches for this node's own sessions

	ctx context.Context // the readers end with it
	wg  sync.WaitGroup

	mu      sync.Mutex
	groups  []groupFeed
	edges   map[*remoteEdge]struct{} // attached, each with users of its own
	stopped bool
}

// groupFeed is how this node gets at one group's events.
type groupFeed struct {
	reader *feedReader // nil while another hub sends them
	shared bool        // this node has the lease, and reads for other edges too
	heard  time.Time   // when another hub last told of its progress
}

// hubPatience is how long a node waits for word from the hub that reads a feed before it reads by itself. It is longer than it takes
// another hub to step in for one that is lost.
const hubPatience = 2500 * time.Millisecond

func newHub(srv *Server) *hub {
	h := &hub{srv: srv, directory: newDirectory(), joins: newJoins(), positioned: make(chan struct{}), edges: map[*remoteEdge]struct{}{}}
	h.sizes = newBatchSize(srv.limits.Batches, &srv.stats.batches)
	return h
}

// open finds the groups and begins to read all feeds, for this node alone; the readers end with ctx.
func (h *hub) open(ctx context.Context) {
	h.ctx = ctx
	h.wg.Go(func() {
		if h.position(ctx) != nil {
			return // only when ctx is done
		}
		h.mu.Lock()
		for g := range h.groups {
			h.startLocked(wire.GroupID(g))
		}
		h.mu.Unlock()
		close(h.positioned)
	})
}

func (h *hub) close() {
	h.mu.Lock()
	h.stopped = true
	h.mu.Unlock()
	h.wg.Wait()
}

// ready tells whether sessions may be admitted.
func (h *hub) ready() bool {
	select {
	case <-h.positioned:
		return true
	default:
		return false
	}
}

// position finds the groups and the head of each feed, for as long as it takes.
func (h *hub) position(ctx context.Context) error {
	var warned bool
	for {
		err := h.heads(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil && !warned {
			h.srv.log.Warn("the feeds cannot be read yet", "err", err)
			warned = true
		}
		if !pause(ctx, 100*time.Millisecond+rand.N(100*time.Millisecond)) {
			return ctx.Err()
		}
	}
}

func (h *hub) heads(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.srv.limits.RequestTimeout)
	defer cancel()
	groups, err := h.srv.seq.Groups(ctx)
	if err != nil {
		return fmt.Errorf("find the groups: %w", err)
	}
	if err := h.srv.learnEpoch(ctx); err != nil {
		return fmt.Errorf("learn the cluster's epoch: %w", err)
	}
	readers := make([]*feedReader, groups)
	for g := range readers {
		readers[g] = newFeedReader(h, wire.GroupID(g), 0)
		if err := readers[g].ToHead(ctx); err != nil {
			return fmt.Errorf("find the head of the feed of group %d: %w", g, err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.groups = make([]groupFeed, groups)
	h.places.grow(groups)
	for g, r := range readers {
		h.places.raise(wire.GroupID(g), r.Next)
	}
	return nil
}

// startLocked reads a group's feed from where this node stands. Called with mu held.
func (h *hub) startLocked(g wire.GroupID) {
	if h.stopped || h.ctx.Err() != nil {
		return
	}
	r := newFeedReader(h, g, h.places.next(g))
	ctx, stop := context.WithCancel(h.ctx)
	r.stop = stop
	h.groups[g].reader = r
	h.wg.Go(func() {
		defer stop()
		r.run(ctx)
	})
}

// share makes this node the one that reads a group's feed for the region, or ends that. What it reads then is for itself, until another
// hub sends it.
func (h *hub) share(g wire.GroupID, shared bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f := &h.groups[g]; f.shared != shared {
		f.shared = shared
		f.heard = time.Now()
		if f.reader == nil {
			h.startLocked(g)
		}
		if f.reader != nil {
			f.reader.share(shared)
			for e := range h.edges {
				f.reader.join(e)
			}
		}
	}
}

// shares tells whether this node reads the group's feed for the region.
func (h *hub) shares(g wire.GroupID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return int(g) < len(h.groups) && h.groups[g].shared
}

// counts tells how many feeds this node reads for its region, and in all, and how many edges are attached.
func (h *hub) counts() (shared, read, edges int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for g := range h.groups {
		if h.groups[g].shared {
			shared++
		}
		if h.groups[g].reader != nil {
			read++
		}
	}
	return shared, read, len(h.edges)
}

// attached lists the edges, one for each node.
func (h *hub) attached() (list []*remoteEdge) {
	h.mu.Lock()
	defer h.mu.Unlock()
	nodes := map[string]bool{}
	for e := range h.edges {
		if !nodes[e.node] {
			nodes[e.node] = true
			list = append(list, e)
		}
	}
	return list
}

// size is the number of groups, 0 while it is not known.
func (h *hub) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.groups)
}

// covered notes that another hub has sent all of a group's events from one place to another. An own reader of the feed is not needed
// while that goes on. Where there is a gap, every session looks into its chats of the group.
func (h *hub) covered(g wire.GroupID, from, to wire.Offset) {
	h.mu.Lock()
	if int(g) >= len(h.groups) {
		h.mu.Unlock()
		return
	}
	f := &h.groups[g]
	f.heard = time.Now()
	gap := from > h.places.next(g)
	if f.reader != nil && !f.shared && !gap {
		f.reader.stop()
		f.reader = nil
	}
	alone := f.reader != nil
	h.mu.Unlock()
	if gap && alone {
		return // the own reader brings what lies between
	}
	if gap {
		h.srv.stats.hubGaps.Add(1)
		h.srv.log.Warn("events of a feed were not sent, all sessions catch up", "group", g, "from", h.places.next(g), "to", from)
		h.srv.lookAgain(&g)
	}
	h.places.raise(g, to)
}

// watch reads the feeds that no other hub has sent anything of for a while.
func (h *hub) watch(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for g := range h.groups {
		if f := &h.groups[g]; f.reader == nil && now.Sub(f.heard) > hubPatience {
			h.srv.stats.hubAlone.Add(1)
			h.srv.log.Warn("no hub sends a feed, reading it here", "group", g)
			h.startLocked(wire.GroupID(g))
		}
	}
}

// attach takes an edge in: it gets what is read for the region from now on, or from where it stands.
func (h *hub) attach(e *remoteEdge) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.edges[e] = struct{}{}
	for g := range h.groups {
		if f := &h.groups[g]; f.shared && f.reader != nil {
			f.reader.join(e)
		}
	}
}

// detach forgets an edge and its users.
func (h *hub) detach(e *remoteEdge) {
	h.mu.Lock()
	delete(h.edges, e)
	for g := range h.groups {
		if r := h.groups[g].reader; r != nil {
			r.leave(e)
		}
	}
	h.mu.Unlock()
	for _, user := range h.directory.drop(e) {
		h.presence.changed(user)
	}
	h.directory.leave(e)
}

// lookAgain has every session look into its chats, all or those of a group, because some events did not come.
func (s *Server) lookAgain(g *wire.GroupID) {
	for _, session := range s.registry.all() {
		s.loads.add(loadRequest{s: session, again: true, group: g})
	}
}
