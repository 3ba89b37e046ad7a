package wire_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

func TestClient_EachKeyToItsLeader(t *testing.T) {
	a, b := startNode(t), startNode(t)
	slots := func() string { return slotsOf([]string{a.addr, b.addr, a.addr, b.addr}, a.addr, b.addr) }
	a.leads(slots)
	b.leads(slots)
	c := newClient(t, wire.ClientConfig{}, a)
	groups, err := c.Groups(context.Background())
	if err != nil || groups != 4 {
		t.Fatalf("%d groups, %v", groups, err)
	}
	for i := range 200 {
		if o := await(t, submit(c, patience, "X", fmt.Sprintf("chat-%d", i))); o.err != nil {
			t.Fatal(o.err)
		}
	}
	for n, node := range []*fakeNode{a, b} {
		for _, command := range node.commands() {
			key := strings.TrimPrefix(command, "X ")
			if g := wire.GroupOf(wire.SlotOf(key), 4); int(g)%2 != n {
				t.Errorf("%s of group %d went to node %d", key, g, n)
			}
		}
	}
	for g, r := range c.Topology().Groups {
		first, last := wire.SlotRange(wire.GroupID(g), 4)
		leader, other := a.addr, b.addr
		if g%2 == 1 {
			leader, other = other, leader
		}
		if int(r.Group) != g || r.First != first || r.Last != last || r.Leader != leader || !slices.Equal(r.Replicas, []string{other}) {
			t.Errorf("group %d: %+v", g, r)
		}
	}
	if c.LeaderOf(4) != "" || c.ReplicasOf(4) != nil {
		t.Error("there is a fifth group")
	}
}

func TestClient_FirstSeedIsDown(t *testing.T) {
	gone, mute, good := startNode(t), startNode(t), startNode(t)
	gone.stop()
	mute.raw(func(*fakeConn, []string) (string, bool) { return noAnswer, true })
	good.leads(func() string { return slotsOf([]string{good.addr}, good.addr) })
	for _, bad := range []*fakeNode{gone, mute} {
		c := newClient(t, wire.ClientConfig{}, bad, good)
		if err := c.Refresh(context.Background()); err != nil {
			t.Error(err)
		}
		if o := await(t, submit(c, patience, "X", "tea")); o.err != nil {
			t.Error(o.err)
		}
	}
}

// TestClient_LeaderDies: the seeds know nothing, the leader goes, and another node of the cluster tells who comes after.
func TestClient_LeaderDies(t *testing.T) {
	a, b, d := startNode(t), startNode(t), startNode(t)
	var leader atomic.Pointer[fakeNode]
	leader.Store(a)
	for _, n := range []*fakeNode{a, b, d} {
		n.leads(func() string { return slotsOf([]string{leader.Load().addr}, a.addr, b.addr, d.addr) })
		n.script(func(_ *fakeConn, args []string) string {
			if now := leader.Load(); now != n {
				return fmt.Sprintf("-MOVED %d %s\r\n", wire.SlotOf(args[1]), now.addr)
			}
			return "+OK\r\n"
		})
	}
	c := newClient(t, wire.ClientConfig{}, a)
	if err := c.Refresh(context.Background()); err != nil { // a is the only seed: the others must be known before it dies
		t.Fatal(err)
	}
	for _, next := range []*fakeNode{b, d} {
		if o := await(t, submit(c, patience, "X", "tea")); o.err != nil {
			t.Fatal(o.err)
		}
		old := leader.Load()
		old.stop()
		leader.Store(next)
		if o := await(t, submit(c, patience, "X", "tea")); o.err != nil {
			t.Fatal(o.err)
		}
		eventually(t, "new leader in the topology", func() bool { return c.LeaderOf(0) == next.addr })
	}
	a.restart()
	leader.Store(a)
	d.stop()
	if o := await(t, submit(c, patience, "X", "tea")); o.err != nil {
		t.Fatal(o.err)
	}
}

// TestClient_SilentLeaderIsDoubted: the leader has died without a word, so its connection stands. Another leads by now, and
// new requests go there without waiting for the connection to be given up.
func TestClient_SilentLeaderIsDoubted(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"request timed out": 300 * time.Millisecond, "connection silent": patience} {
		t.Run(name, func(t *testing.T) {
			a, b := startNode(t), startNode(t)
			leader := &atomic.Pointer[fakeNode]{}
			leader.Store(a)
			silent := make(chan struct{})
			slots := func() string { return slotsOf([]string{leader.Load().addr}, a.addr, b.addr) }
			b.leads(slots)
			a.raw(func(_ *fakeConn, args []string) (string, bool) {
				switch {
				case args[0] == "HELLO":
					return "", false
				case args[0] == "CLUSTER" && leader.Load() == a:
					return slots(), true
				case args[0] == "X":
					leader.Store(b)
					close(silent)
				}
				return noAnswer, true
			})
			c := newClient(t, wire.ClientConfig{StallTimeout: 6 * time.Second}, a, b)
			if err := c.Refresh(context.Background()); err != nil {
				t.Fatal(err)
			}
			first := submit(c, timeout, "X", "tea")
			awaitClosed(t, "request", silent)
			eventually(t, "new leader", func() bool { return c.LeaderOf(0) == b.addr })
			if o := await(t, submit(c, patience, "X", "tea")); o.err != nil {
				t.Error(o.err)
			}
			if a.dialled() != 1 {
				t.Error("the connection was given up")
			}
			if timeout == patience {
				return // Close ends the first request
			}
			if o := await(t, first); !errors.Is(o.err, wire.ErrUnknown) {
				t.Errorf("the first request: %v", o.err)
			}
		})
	}
}

// TestClient_GroupWithoutALeader: nodes leave such a group out. Its number and its nodes stay known.
func TestClient_GroupWithoutALeader(t *testing.T) {
	a, b := startNode(t), startNode(t)
	leaders := atomic.Pointer[[]string]{}
	leaders.Store(&[]string{a.addr, b.addr})
	slots := func() string { return slotsOf(*leaders.Load(), a.addr, b.addr) }
	a.leads(slots)
	b.leads(slots)
	c := newClient(t, wire.ClientConfig{RefreshEvery: time.Millisecond}, a)
	ctx := context.Background()
	if err := c.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	leaders.Store(&[]string{"", b.addr})
	if err := c.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Groups(ctx); err != nil || n != 2 || c.LeaderOf(0) != "" || len(c.ReplicasOf(0)) != 2 || c.LeaderOf(1) != b.addr {
		t.Errorf("%d groups, %v: %+v", n, err, c.Topology())
	}
	leaders.Store(&[]string{"", ""})
	if err := c.Refresh(ctx); !errors.Is(err, wire.ErrClusterDown) {
		t.Errorf("no group at all: %v", err)
	}
	if c.LeaderOf(1) != b.addr {
		t.Error("the last good topology is gone")
	}
	key := "tea"
	for wire.GroupOf(wire.SlotOf(key), 2) != 0 {
		key += "x"
	}
	if o := await(t, submit(c, patience, "X", key)); o.err != nil { // some replica takes it
		t.Error(o.err)
	}
}

func TestClient_RefreshIsShared(t *testing.T) {
	var asked atomic.Int32
	n := startNode(t)
	n.leads(func() string {
		asked.Add(1)
		return slotsOf([]string{n.addr}, n.addr)
	})
	c := newClient(t, wire.ClientConfig{RefreshEvery: 50 * time.Millisecond}, n)
	done := make(chan error, 100)
	for range cap(done) {
		go func() { done <- c.Refresh(context.Background()) }()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := asked.Load(); got < 1 || got >= 50 {
		t.Errorf("the node was asked %d times", got)
	}
}

func TestClient_ForgetsNodesThatHaveLeft(t *testing.T) {
	seed, old, fresh := startNode(t), startNode(t), startNode(t)
	var now atomic.Pointer[fakeNode]
	now.Store(old)
	seed.leads(func() string { return slotsOf([]string{now.Load().addr}, now.Load().addr) })
	c := newClient(t, wire.ClientConfig{RefreshEvery: time.Millisecond, MaxNodes: 3}, seed)
	for range 3 {
		if err := c.Refresh(context.Background()); err != nil {
			t.Fatal(err)
		}
		if o := await(t, submit(c, patience, "X", "tea")); o.err != nil {
			t.Fatal(o.err)
		}
		before := now.Load()
		next := map[*fakeNode]*fakeNode{old: fresh, fresh: old}[before]
		before.leads(seed.Slots)
		next.leads(seed.Slots)
		now.Store(next)
	}
	if err := c.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	gone := map[*fakeNode]*fakeNode{old: fresh, fresh: old}[now.Load()]
	eventually(t, "end of the connection to the node that left", func() bool {
		_ = c.Refresh(context.Background())
		gone.mu.Lock()
		defer gone.mu.Unlock()
		return len(gone.conns) == 0
	})
}

// TestClient_BreakerFailsFast: while a group is away its requests fail at once, those to others do not; it comes back by
// itself.
func TestClient_BreakerFailsFast(t *testing.T) {
	var away atomic.Bool
	away.Store(true)
	inFirst := func(key string) bool { return wire.GroupOf(wire.SlotOf(key), 2) == 0 }
	n := startNode(t)
	n.leads(func() string { return slotsOf([]string{n.addr, n.addr}, n.addr) })
	n.script(func(_ *fakeConn, args []string) string {
		if away.Load() && inFirst(args[1]) {
			return "-CLUSTERDOWN no leader\r\n"
		}
		return "+OK\r\n"
	})
	first, second := "tea", "tea"
	for ; !inFirst(first); first += "x" {
	}
	for ; inFirst(second); second += "y" {
	}
	c := newClient(t, wire.ClientConfig{Breaker: wire.BreakerConfig{
		Failures: 3, After: 20 * time.Millisecond, Probe: 200 * time.Millisecond,
	}}, n)
	if err := c.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "request that is refused without being sent", func() bool {
		if o := await(t, submit(c, 100*time.Millisecond, "X", first)); !wire.Temporary(o.err) { // UNKNOWN if it ends with an attempt under way
			t.Fatalf("got %v", o.err)
		}
		got := submit(c, patience, "X", first)
		select {
		case o := <-got:
			return errors.Is(o.err, wire.ErrClusterDown)
		default: // it is a probe
			away.Store(false)
			_ = await(t, got)
			away.Store(true)
			return false
		}
	})
	if o := await(t, submit(c, patience, "X", second)); o.err != nil {
		t.Errorf("the other group: %v", o.err)
	}
	away.Store(false)
	eventually(t, "recovery", func() bool { return await(t, submit(c, patience, "X", first)).err == nil })
	if o := await(t, submit(c, patience, "X", first)); o.err != nil {
		t.Errorf("after the recovery: %v", o.err)
	}
}
