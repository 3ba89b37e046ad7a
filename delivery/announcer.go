package delivery

import (
	"context"
	"slices"
	"sync"
	"time"
)

// announcer tells the other hubs of the region who is connected here. A hub sends a user's pushes only to edges that have told of him, so a
// session reads where its chats stand only after the hubs know of it: what they dispatched before is in what it reads.
type announcer struct {
	srv *Server

	mu    sync.Mutex
	ctx   context.Context  // of the links; nil before open
	count uint64           // of changes
	links map[string]*link // by the id of the hub's process
	wg    sync.WaitGroup
}

// announceTime is how long a session waits for one hub. A hub that takes longer is connected to anew, from where this node stands.
const announceTime = 2 * time.Second

func newAnnouncer(srv *Server) *announcer { return &announcer{srv: srv, links: map[string]*link{}} }

// changed notes that a user's state at this node has changed.
func (a *announcer) changed(user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count++
	for _, l := range a.links {
		if !l.peer {
			l.tell(user, a.count)
		}
	}
}

// number counts the changes so far.
func (a *announcer) number() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.count
}

// await returns when every hub that this node is connected to knows of all changes so far.
func (a *announcer) await(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, announceTime)
	defer cancel()
	a.mu.Lock()
	number := a.count
	links := make([]*link, 0, len(a.links))
	for _, l := range a.links {
		if !l.peer {
			links = append(links, l)
		}
	}
	a.mu.Unlock()
	for _, l := range links {
		l.known(ctx, number)
	}
}

// follow connects to these hubs, and to no others.
func (a *announcer) follow(hubs []knownHub) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for node, l := range a.links {
		gone := !slices.ContainsFunc(hubs, func(h knownHub) bool { return h.node == node && h.addr == l.addr })
		if gone && !l.isUp() { // while the connection stands the hub is there, whatever the leases say
			l.stop()
			delete(a.links, node)
		}
	}
	for _, h := range hubs {
		if a.links[h.node] != nil || a.ctx == nil || a.ctx.Err() != nil {
			continue
		}
		l := newLink(a.srv, h.node, h.addr, h.region)
		ctx, stop := context.WithCancel(a.ctx)
		l.stop = stop
		a.links[h.node] = l
		a.wg.Go(func() {
			defer stop()
			l.run(ctx)
		})
	}
}

// open lets links be made; they end with ctx.
func (a *announcer) open(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ctx = ctx
}

// close waits until all links have ended.
func (a *announcer) close() { a.wg.Wait() }

// to gives the link to a hub, nil where there is none.
func (a *announcer) to(node string) *link {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.links[node]
}

// alive tells whether a hub has said anything lately.
func (a *announcer) alive(node string) bool {
	l := a.to(node)
	return l != nil && l.alive()
}

// hasNeighbour tells whether there is another hub in the region.
func (a *announcer) hasNeighbour() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.links {
		if !l.peer && l.isUp() {
			return true
		}
	}
	return false
}

// peers gives a link to one hub of each other region, or where this node is no hub and has none of those, to one of its own.
func (a *announcer) peers() []*link {
	a.mu.Lock()
	defer a.mu.Unlock()
	regions := map[string]bool{}
	var out []*link
	for _, l := range a.links {
		if (l.peer || !a.srv.isHub()) && !regions[l.region] && l.isUp() {
			regions[l.region] = true
			out = append(out, l)
		}
	}
	return out
}
