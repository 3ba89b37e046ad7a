package raftfsm

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/sequencer/wire"
)

// leaderPoll is how often leadership is looked at without being told: an observation that found no room was dropped.
const leaderPoll = time.Second

// Leader gives who leads the group as far as this node knows.
func (g *Group) Leader() (Peer, bool) {
	addr, id := g.raft.LeaderWithID()
	return peerOf(id, addr), id != ""
}

// Serving reports whether this node leads and its state holds everything that earlier leaders acknowledged.
func (g *Group) Serving() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.serving != 0
}

// ServingTerm gives the term in which this node serves the group, if it does.
func (g *Group) ServingTerm() (uint64, bool) {
	term := g.servingTerm()
	return term, term != 0
}

// LeaderChanged gives a channel that closes when Leader or Serving may answer otherwise than now.
func (g *Group) LeaderChanged() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

// serve sets the term in which this node serves, 0 for none, and wakes those who wait for a change.
func (g *Group) serve(term uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.serving = term
	close(g.changed)
	g.changed = make(chan struct{})
}

// follow watches leadership. A new leader serves only after a barrier: raft says Leader before the state has caught up.
func (g *Group) follow() {
	defer g.done.Done()
	poll := time.NewTicker(leaderPoll)
	defer poll.Stop()
	var ready <-chan error // of the barrier under way
	var term uint64        // that it is for
	was, _ := g.Leader()
	for {
		if leads := g.raft.State() == raft.Leader; !leads || term != g.raft.CurrentTerm() {
			if term != 0 {
				term, ready = 0, nil
				g.serve(0)
			}
			if leads {
				term = g.raft.CurrentTerm()
				ready = g.watch(g.raft.Barrier(0))
			}
		}
		if now, _ := g.Leader(); now != was {
			was = now
			g.serve(g.servingTerm())
		}
		select {
		case err := <-ready:
			ready = nil
			if err == nil && g.raft.State() == raft.Leader && g.raft.CurrentTerm() == term {
				g.serve(term)
			} else {
				term = 0 // look again
			}
		case <-g.observations:
		case <-poll.C:
		case <-g.closing:
			g.serve(0)
			return
		}
	}
}

func (g *Group) servingTerm() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.serving
}

// Transfer hands leadership to another node, "" for any. It returns when raft has let go of it.
func (g *Group) Transfer(ctx context.Context, to wire.NodeID) error {
	var future raft.Future
	if to == "" {
		future = g.raft.LeadershipTransfer()
	} else {
		p, ok := g.voterOn(to)
		if !ok {
			return fmt.Errorf("%w: node %s holds no voter of group %d", wire.ErrBadRequest, to, g.cfg.Group)
		}
		future = g.raft.LeadershipTransferToServer(p.serverID(), p.serverAddr())
	}
	return g.await(ctx, future, "transfer leadership")
}

// Snapshot takes a snapshot now.
func (g *Group) Snapshot(ctx context.Context) error {
	g.resize()
	return g.await(ctx, g.raft.Snapshot(), "take a snapshot")
}

// await waits for a future until ctx ends.
func (g *Group) await(ctx context.Context, future raft.Future, what string) error {
	select {
	case err := <-g.watch(future):
		if err != nil {
			return fmt.Errorf("%s: %w: %w", what, wire.ErrTryAgain, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
}

func (g *Group) voterOn(node wire.NodeID) (Peer, bool) {
	for _, s := range g.configuration() {
		if p := peerOf(s.ID, s.Address); p.ID == node && s.Suffrage == raft.Voter {
			return p, true
		}
	}
	return Peer{}, false
}
