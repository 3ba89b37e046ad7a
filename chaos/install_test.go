//go:build linux

package chaos

import (
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
	cut(t, victim, isolated, c.others(victim)...)
	// Raft looks every 10 to 20 s whether a snapshot is due, and no command of the node's asks for one.
	time.Sleep(22 * time.Second) // the fault itself
	if heal(t, victim) == 0 {
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
