package raftfsm

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// A new leader's barrier is an entry that no state machine sees. A group that was quiet since can take a snapshot all the
// same, and a replica that restores it and starts again finds nothing missing.
func TestGroup_SnapshotRightAfterABarrier(t *testing.T) {
	c := newTrio(t, nil)
	c.append(20)
	down := c.follower()
	c.stop(down)
	c.append(20)
	leader := c.groups[c.leader()]
	if err := leader.raft.Barrier(10 * time.Second).Error(); err != nil {
		t.Fatal(err)
	}
	cutLog(t, leader)
	c.start(down)
	eventually(t, "the snapshot is installed", func() bool { return c.groups[down].Status().Installs > 0 })
	c.stop(down)
	c.start(down)
	c.check()
}

// After a failure the state stands still while raft goes on: a snapshot would claim entries that it does not hold.
func TestFSM_NoSnapshotAfterAFailure(t *testing.T) {
	m := newMachine(t)
	m.fsm = newFSM(m.store, func(error) {})
	m.do(1, group("c", "a"))
	m.fsm.Apply(&raft.Log{Index: 2, Term: 1, Type: raft.LogCommand, Data: []byte{0xff}})
	if _, err := m.fsm.Snapshot(); err == nil || !errors.Is(err, m.store.failure.failed()) {
		t.Errorf("got %v", err)
	}
}

// A node verifies its snapshots when it starts. They can be sent to others as before.
func TestGroup_SendsASnapshotThatItVerified(t *testing.T) {
	c := newTrio(t, nil)
	c.append(20)
	down := c.follower()
	c.stop(down)
	c.append(20)
	for i, g := range c.groups {
		if i != down {
			eventually(t, "both have applied all", func() bool { s := g.Status(); return s.Applied == s.LastIndex })
			cutLog(t, g)
		}
	}
	for i := range c.groups {
		if i != down {
			c.stop(i)
		}
	}
	for i := range c.groups {
		c.start(i)
	}
	eventually(t, "the snapshot is installed", func() bool { return c.groups[down].Status().Installs > 0 })
	c.check()
}
