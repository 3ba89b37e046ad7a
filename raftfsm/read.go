package raftfsm

import (
	"context"

	"github.com/quorate/quorate/sequencer/wire"
)

// maxWaitingReads bounds the reads that wait for a read point; one more is told wire.ErrBusy.
const maxWaitingReads = 8192

// readPoint is one read that waits for the proof that this node still leads.
type readPoint struct{ done chan error }

// ReadBarrier returns when a read of Store sees everything that was acknowledged before the call. One round to a
// majority serves all who wait for it. wire.ErrTryAgain says that this node does not serve the group.
func (g *Group) ReadBarrier(ctx context.Context) error {
	if !g.Serving() {
		return wire.ErrTryAgain
	}
	p := &readPoint{done: make(chan error, 1)}
	select {
	case g.reads <- p:
	default:
		return wire.ErrBusy
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-g.closing:
		return wire.ErrTryAgain
	}
}

// serveReads proves leadership for the reads that wait, all of them at once: those that come while one round runs are
// served by the next.
func (g *Group) serveReads() {
	defer g.done.Done()
	var batch []*readPoint
	for {
		select {
		case p := <-g.reads:
			batch = append(batch[:0], p)
		case <-g.closing:
			return
		}
		for more := true; more; {
			select {
			case p := <-g.reads:
				batch = append(batch, p)
			default:
				more = false
			}
		}
		err := g.verify()
		g.stats.ReadRounds.Add(1)
		g.stats.ReadsServed.Add(uint64(len(batch)))
		for _, p := range batch {
			p.done <- err
		}
	}
}

// verify proves that this node leads, in one and the same term from before the proof to after it. What raft took for a proof is one only where
// a majority has answered what was sent since; a late answer gives way to the next.
func (g *Group) verify() error {
	term, round := g.servingTerm(), g.contacts.begin()
	for {
		if term == 0 || g.prove() != nil || g.servingTerm() != term {
			return wire.ErrTryAgain
		}
		servers := g.raft.GetConfiguration().Configuration().Servers
		if g.contacts.majority(servers, g.cfg.self().serverID(), term, round) {
			return nil
		}
	}
}

// prove asks a majority. raft forgets who asked and was not heard when it shuts down, and he would wait for ever: so Close lets this end
// first, and nothing is asked once it has begun.
func (g *Group) prove() error {
	g.watched.Add(1)
	defer g.watched.Add(-1)
	select {
	case <-g.closing:
		return wire.ErrTryAgain
	default:
		return g.raft.VerifyLeader().Error()
	}
}
