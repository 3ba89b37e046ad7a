package raftfsm

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// maxSameInstalls is how often a snapshot of one index may come before the replica is given up. A leader sends it again
// when the connection broke; when it keeps coming although it arrived, log and snapshot of this replica do not fit the
// leader's, and it would go on for ever.
const maxSameInstalls = 5

// installCount counts the snapshots of one index that came without a later one between them.
type installCount struct {
	index uint64
	times int
}

// add counts an installation; it is an ErrCorrupt when there were too many of this one.
func (c *installCount) add(index uint64) error {
	if index != c.index {
		*c = installCount{index: index}
	}
	if c.times++; c.times < maxSameInstalls {
		return nil
	}
	return corrupt("the log", fmt.Errorf("the snapshot of %d was installed %d times and did not help", index, c.times))
}

// holds reports whether the log, or what is applied, has all that a snapshot holds.
func (g *Group) holds(index, term uint64) bool {
	if index <= g.raft.AppliedIndex() {
		return true
	}
	var l raft.Log
	return g.logs.GetLog(index, &l) == nil && l.Term == term
}

// holdsAgain is holds for a snapshot that a leader sends. It counts like an installation when it comes to nothing.
func (g *Group) holdsAgain(index, term uint64) bool {
	if !g.holds(index, term) {
		return false
	}
	if err := g.repeats.add(index); err != nil {
		g.cfg.Fatal(err)
	}
	return true
}

// installed counts a snapshot that came from the leader.
func (g *Group) installed(index uint64) {
	g.installs.Add(1)
	if err := g.repeats.add(index); err != nil {
		g.cfg.Fatal(err)
	}
}
