package wire

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Topology is what a client knows of the cluster.
type Topology struct {
	Groups []GroupRoute // by GroupID; empty until a node has told
}

// GroupRoute is where a group is served.
type GroupRoute struct {
	Group       GroupID
	First, Last Slot     // its slots, both included
	Leader      string   // RESP address, "" while none is known
	Replicas    []string // RESP addresses of the others
}

// routing is where requests go. What is known stays until something better is.
type routing struct {
	table atomic.Pointer[routes] // nil until a node has told

	mu      sync.Mutex // guards all below, and replacing table
	running bool       // refreshLoop runs
	wanted  bool
	waiters []chan error // of the next round
	last    time.Duration
	asked   bool
}

// routes is one state of the topology. It is never changed, only replaced.
type routes struct {
	groups []route // by GroupID
	bySlot *[Slots]uint16
}

// noGroup is what bySlot says of a slot that nobody serves.
const noGroup = ^uint16(0)

// route is a GroupRoute with the nodes looked up.
type route struct {
	GroupRoute
	leader   *node // nil while none is known
	replicas []*node
	breaker  *breaker
}

// pick gives the node to send a request to now, hint if that can be reached, and the breaker of its group. An error is
// definite.
func (c *Client) pick(req *request, hint string) (*node, *breaker, error) {
	if req.direct {
		n, err := c.node(req.addr)
		return n, nil, err
	}
	if req.meta {
		n, err := c.metaNode(hint)
		return n, nil, err
	}
	r, br := c.route(req.key)
	if hint != "" {
		if n, err := c.node(hint); err == nil && !n.down() {
			return n, br, nil
		}
	}
	if r != nil {
		if n := r.node(); n != nil {
			return n, br, nil
		}
	}
	n, err := c.anyNode()
	return n, br, err
}

// route gives the route of a slot, nil while that is not known, and the breaker of its group.
func (c *Client) route(slot Slot) (*route, *breaker) {
	if table := c.routing.table.Load(); table != nil {
		if g := table.bySlot[slot]; g != noGroup {
			return &table.groups[g], table.groups[g].breaker
		}
	}
	c.refresh(nil)
	return nil, c.cold
}

// node gives the leader; while it is not known or cannot be reached, a replica, which will say who leads now.
func (r *route) node() *node {
	if r.leader != nil && !r.leader.down() {
		return r.leader
	}
	if len(r.replicas) > 0 {
		first := rand.IntN(len(r.replicas))
		for i := range r.replicas {
			if n := r.replicas[(first+i)%len(r.replicas)]; !n.down() {
				return n
			}
		}
	}
	return r.leader
}

// metaNode gives hint, or else the node that was last said to lead the meta group; while none is, or that does not answer,
// some node, which is then asked until it says who leads.
func (c *Client) metaNode(hint string) (*node, error) {
	if hint != "" {
		if n, err := c.node(hint); err == nil && !n.down() {
			return n, nil
		}
	}
	if addr := c.meta.Load(); addr != nil {
		if n, err := c.node(*addr); err == nil && !n.down() && !n.silent() {
			return n, nil
		}
	}
	n, err := c.anyNode()
	if err == nil {
		c.meta.Store(&n.addr)
	}
	return n, err
}

// anyNode gives some node, which will say who leads.
func (c *Client) anyNode() (*node, error) {
	addrs := c.candidates()
	for _, addr := range addrs {
		n, err := c.node(addr)
		if err != nil {
			return nil, err
		}
		if !n.down() && !n.silent() {
			return n, nil
		}
	}
	if len(addrs) == 0 {
		return nil, errEmpty
	}
	return c.node(addrs[0])
}

// candidates lists the nodes that may be asked, each once and in no particular order, but seeds that have never been seen
// in a topology last.
func (c *Client) candidates() []string {
	var addrs []string
	if table := c.routing.table.Load(); table != nil {
		for i := range table.groups {
			addrs = append(addrs, table.groups[i].all()...)
		}
	}
	slices.Sort(addrs)
	addrs = slices.Compact(addrs)
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	seeds := slices.Clone(c.cfg.Seeds)
	rand.Shuffle(len(seeds), func(i, j int) { seeds[i], seeds[j] = seeds[j], seeds[i] })
	for _, seed := range seeds {
		if !slices.Contains(addrs, seed) {
			addrs = append(addrs, seed)
		}
	}
	return addrs
}

// all lists the addresses of a group, the leader first.
func (g *GroupRoute) all() []string {
	if g.Leader == "" {
		return slices.Clone(g.Replicas)
	}
	return append([]string{g.Leader}, g.Replicas...)
}

// node gives the node of an address, made where there is none. An error is definite.
func (c *Client) node(addr string) (*node, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.nodes[addr]; n != nil {
		return n, nil
	}
	switch {
	case c.closed:
		return nil, ErrClosed
	case addr == "":
		return nil, errEmpty
	case len(c.nodes) >= c.cfg.MaxNodes:
		return nil, errTooManyNodes
	}
	n := newNode(c, addr)
	c.nodes[addr] = n
	return n, nil
}

// known lists the nodes.
func (c *Client) known() []*node {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]*node, 0, len(c.nodes))
	for _, n := range c.nodes {
		list = append(list, n)
	}
	return list
}

// moved notes who leads a group now, so that the requests behind do not have to be told one by one.
func (t *routing) moved(c *Client, to *MovedError) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.table.Load()
	if old == nil || old.bySlot[to.Slot] == noGroup || old.groups[old.bySlot[to.Slot]].Leader == to.Addr {
		return
	}
	n, err := c.node(to.Addr)
	if err != nil {
		return // the next topology will tell
	}
	table := &routes{groups: slices.Clone(old.groups), bySlot: old.bySlot}
	r := &table.groups[old.bySlot[to.Slot]]
	r.Replicas = slices.DeleteFunc(r.all(), func(addr string) bool { return addr == to.Addr })
	r.replicas = slices.DeleteFunc(r.nodes(), func(other *node) bool { return other == n })
	r.Leader, r.leader = to.Addr, n
	t.table.Store(table)
}

func (r *route) nodes() []*node {
	if r.leader == nil {
		return slices.Clone(r.replicas)
	}
	return append([]*node{r.leader}, r.replicas...)
}

// Topology gives what the client knows of the cluster, without asking.
func (c *Client) Topology() Topology {
	table := c.routing.table.Load()
	if table == nil {
		return Topology{}
	}
	t := Topology{Groups: make([]GroupRoute, len(table.groups))}
	for i := range table.groups {
		t.Groups[i] = table.groups[i].GroupRoute
		t.Groups[i].Replicas = slices.Clone(t.Groups[i].Replicas)
	}
	return t
}
