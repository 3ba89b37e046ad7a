package wire

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

var (
	errTooManyNodes = fmt.Errorf("%w: more nodes than MaxNodes", ErrClusterDown)
	errTopology     = fmt.Errorf("%w: the topology is incomplete", ErrClusterDown)
)

const (
	askTimeout = time.Second            // for one node's answer to CLUSTER SLOTS
	askStagger = 150 * time.Millisecond // without an answer, until the next node is asked as well
)

// Refresh asks the cluster for its topology and waits for the answer, or for the end of ctx.
func (c *Client) Refresh(ctx context.Context) error {
	got := make(chan error, 1)
	c.refresh(got)
	select {
	case err := <-got:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Groups gives the number of groups; it asks the cluster, until ctx ends, where that is not yet known.
func (c *Client) Groups(ctx context.Context) (int, error) {
	for {
		if table := c.routing.table.Load(); table != nil {
			return len(table.groups), nil
		}
		err := c.Refresh(ctx)
		if err == nil {
			continue
		}
		if errors.Is(err, ErrClosed) || errors.Is(err, ErrNoAuth) || ctx.Err() != nil {
			return 0, err
		}
	}
}

// LeaderOf gives the RESP address of a group's leader. It is "" while none is known; the cluster is asked then, and a later
// call may know.
func (c *Client) LeaderOf(g GroupID) string {
	if table := c.routing.table.Load(); table != nil && int(g) < len(table.groups) && table.groups[g].Leader != "" {
		return table.groups[g].Leader
	}
	c.refresh(nil)
	return ""
}

// ReplicasOf gives the RESP addresses of all nodes that hold a group, the leader first, as far as they are known. Where none
// is, as in the first moments of a cluster, the cluster is asked, and a later call may know.
func (c *Client) ReplicasOf(g GroupID) []string {
	if table := c.routing.table.Load(); table != nil && int(g) < len(table.groups) {
		if all := table.groups[g].all(); len(all) > 0 {
			return all
		}
	}
	c.refresh(nil)
	return nil
}

// refresh has the topology asked for soon. All who want it at one time share one round. got, which may be nil and must have
// room for one value, learns how a round went that began after this call.
func (c *Client) refresh(got chan error) {
	t := &c.routing
	t.mu.Lock()
	t.wanted = true
	start := !t.running
	t.running = true
	if got != nil {
		t.waiters = append(t.waiters, got)
	}
	t.mu.Unlock()
	if start && !c.spawn(c.refreshLoop) {
		c.refreshNoMore()
	}
}

// refreshLoop runs rounds, not too often, until nobody wants one.
func (c *Client) refreshLoop() {
	t := &c.routing
	for {
		t.mu.Lock()
		if !t.wanted {
			t.running = false
			t.mu.Unlock()
			return
		}
		pause := time.Duration(0)
		if t.asked {
			pause = t.last + c.cfg.RefreshEvery - c.now()
		}
		t.mu.Unlock()
		if !c.sleep(pause) {
			c.refreshNoMore()
			return
		}
		waiters := c.round()
		err := c.ask()
		for _, got := range waiters {
			got <- err
		}
	}
}

// refreshNoMore tells those who wait that the client is closed.
func (c *Client) refreshNoMore() {
	t := &c.routing
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, got := range t.waiters {
		got <- ErrClosed
	}
	t.running, t.wanted, t.waiters = false, false, nil
}

// round begins a round and gives those who wait for it.
func (c *Client) round() []chan error {
	t := &c.routing
	t.mu.Lock()
	defer t.mu.Unlock()
	waiters := t.waiters
	t.wanted, t.waiters, t.asked, t.last = false, nil, true, c.now()
	return waiters
}

// sleep is false where the client was closed meanwhile.
func (c *Client) sleep(d time.Duration) bool {
	if d <= 0 {
		return c.ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// keepFresh asks for the topology now and then, from the first one on. All clients together do not ask at once.
func (c *Client) keepFresh() {
	for c.sleep(c.cfg.RefreshIdle*3/4 + rand.N(c.cfg.RefreshIdle/2)) {
		c.refresh(nil)
	}
}

// ask asks one node after the other for the topology, the next one as soon as one has failed or is slow, and takes the
// first that is whole.
func (c *Client) ask() error {
	addrs := c.candidates()
	answers := make(chan error, len(addrs))
	last := errEmpty
	timer := time.NewTimer(0)
	defer timer.Stop()
	for next, open := 0, 0; next < len(addrs) || open > 0; {
		select {
		case <-timer.C:
			if next == len(addrs) {
				continue // the open ones end by themselves
			}
			c.askNode(addrs[next], answers)
			next, open = next+1, open+1
			timer.Reset(askStagger)
		case err := <-answers:
			open--
			if err == nil {
				return nil
			}
			last = err
			timer.Reset(0)
		}
	}
	return last
}

// askNode asks one node, and takes what it says where it is whole. Exactly one answer comes.
func (c *Client) askNode(addr string, answers chan<- error) {
	done := func(r Reply, err error) {
		if err == nil {
			err = c.learn(addr, r)
		}
		answers <- err // has room for all
	}
	c.submit(&request{addr: addr, direct: true, args: []string{"CLUSTER", "SLOTS"}, done: done}, askTimeout)
}

// learn takes a topology from the answer of a node to CLUSTER SLOTS.
func (c *Client) learn(addr string, r Reply) error {
	ranges, err := decodeSlots(addr, r)
	if err != nil {
		return err
	}
	c.routing.mu.Lock()
	defer c.routing.mu.Unlock()
	old := c.routing.table.Load()
	groups, err := groupsOf(ranges, old)
	if err != nil {
		return err
	}
	table := &routes{groups: make([]route, len(groups)), bySlot: new([Slots]uint16)}
	for i := range table.bySlot {
		table.bySlot[i] = noGroup
	}
	for i := range groups {
		c.lookUp(&table.groups[i], groups[i], old)
		for slot := int(groups[i].First); slot <= int(groups[i].Last); slot++ {
			table.bySlot[slot] = uint16(i)
		}
	}
	c.routing.table.Store(table)
	c.prune()
	if old == nil {
		c.spawn(c.keepFresh)
	}
	return nil
}

// lookUp finds the nodes of a group. Its breaker stays with it.
func (c *Client) lookUp(r *route, g GroupRoute, old *routes) {
	r.GroupRoute = g
	if g.Leader != "" {
		r.leader, _ = c.node(g.Leader) // without one, the replicas will be asked
	}
	for _, addr := range g.Replicas {
		if n, err := c.node(addr); err == nil {
			r.replicas = append(r.replicas, n)
		}
	}
	if old != nil && int(g.Group) < len(old.groups) {
		r.breaker = old.groups[g.Group].breaker
	} else {
		r.breaker = newBreaker(c.cfg.Breaker)
	}
}

// prune lets go of nodes that are in no topology and no seeds, and have nothing to do.
func (c *Client) prune() {
	keep := map[string]bool{}
	for _, addr := range c.candidates() {
		keep[addr] = true
	}
	for _, n := range c.known() {
		if !keep[n.addr] && n.retire() {
			c.mu.Lock()
			delete(c.nodes, n.addr)
			c.mu.Unlock()
		}
	}
}
