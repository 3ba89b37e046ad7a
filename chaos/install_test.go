//go:build linux

package chaos

import (
	"context"
	"strconv"
	"testing"
	"time"
)

// TestSnapshotInstall keeps a follower away until the log that it lacks is gone, under load: it must come back by a
// snapshot of its leader, and then hold every message as the others do.
func TestSnapshotInstall(t *testing.T) {
	needs(t, modeShort)
	const victim = 2
	c := start(t, setup{nodes: 3, groups: 2, flags: []string{"--snapshot-entries", "200", "--trailing-bytes", "1"}})
	l := startLoad(c)
	c.lead(0, 1)
	l.awaitRate()
	before := c.installs(victim)
	from := l.now()
	cut(t, c.nodes[victim], isolated, c.others(victim)...)
	l.awaitAll(300)
	c.snapshots(0, 1)
	l.awaitAll(100)
	c.snapshots(0, 1) // the first one may have left the log as it was
	l.awaitAll(20)
	if heal(t, c.nodes[victim]) == 0 {
		t.Error("no packet was dropped: the fault did not happen")
	}
	c.awaitCaughtUp(victim)
	l.awaitAll(5)
	rowOf("snapshot install to a follower").note(c, l, from, func(int) bool { return false })
	if after := c.installs(victim); after == before {
		t.Error("no snapshot was installed: the fault did not happen")
	} else {
		t.Logf("%d snapshots were installed", after-before)
	}
	c.verify(l)
}

// snapshots has nodes take a snapshot of every group, which cuts their logs.
func (c *cluster) snapshots(nodes ...int) {
	c.t.Helper()
	for _, i := range nodes {
		for g := range c.setup.groups {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			_, err := c.client.DoNode(ctx, c.nodes[i].respAddr(), "RAFT", "SNAPSHOT", strconv.Itoa(g))
			cancel()
			if err != nil {
				c.t.Errorf("%s: snapshot of group %d: %v", c.nodes[i].id, g, err)
			}
		}
	}
}

// installs counts the snapshots that node i was sent since it started.
func (c *cluster) installs(i int) (n int) {
	c.t.Helper()
	await(c.t, c.nodes[i].id+" to tell how it stands", func() bool {
		all, ok := c.ask(i)
		n = 0
		for _, s := range all {
			n += s.installs
		}
		return ok
	})
	return n
}
