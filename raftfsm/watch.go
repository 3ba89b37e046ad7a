package raftfsm

import (
	"time"

	"github.com/hashicorp/raft"
)

const (
	settleWait = 500 * time.Millisecond // at Close, for what is committed to be applied
	settlePoll = time.Millisecond
)

// watch gives what comes of a future. When raft ends it answers those whose entries are not committed, and forgets those
// that only had to be applied: settle lets them come first.
func (g *Group) watch(future raft.Future) <-chan error {
	done := make(chan error, 1)
	g.watched.Add(1)
	go func() {
		defer g.watched.Add(-1)
		done <- future.Error()
	}()
	return done
}

// settle waits until no future is watched any more, for a moment after the disk has what the leader took: without a majority they stay.
func (g *Group) settle() {
	end := time.Now().Add(shutdownWait)
	for deadline := time.Now().Add(settleWait); g.watched.Load() > 0 && time.Now().Before(deadline); {
		time.Sleep(settlePoll)
		if g.early.writing() && !g.StorageFailed() {
			if deadline = time.Now().Add(settleWait); deadline.After(end) {
				deadline = end
			}
		}
	}
}
