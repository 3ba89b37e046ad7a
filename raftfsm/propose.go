package raftfsm

import (
	"errors"

	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/sequencer/wire"
)

// Proposal is an entry on its way through the quorum.
type Proposal struct {
	future  raft.ApplyFuture
	done    <-chan error    // what came of future
	stopped <-chan struct{} // closed when raft has ended, which forgets entries it has not looked at
}

// Propose offers an entry to the log. The bytes belong to the group from then on. It blocks while raft takes the entries before it, which is as
// long as the disk takes where there are too many that it does not have.
func (g *Group) Propose(entry []byte) *Proposal {
	future := g.raft.Apply(entry, 0)
	return &Proposal{future: future, done: g.watch(future), stopped: g.stopped}
}

// Wait gives the results of the entry's commands once it is applied on this node. It may wait for as long as there is no
// majority. wire.ErrTryAgain says that nothing was stored; wire.ErrUnknown leaves that open.
func (p *Proposal) Wait() ([]Result, error) {
	var err error
	select {
	case err = <-p.done:
	case <-p.stopped:
		select {
		case err = <-p.done:
		default:
			err = raft.ErrRaftShutdown
		}
	}
	if err != nil {
		return nil, wireError(err)
	}
	results, _ := p.future.Response().([]Result)
	return results, nil
}

// wireError tells from an error of raft what a client may know. Raft answers ErrNotLeader and
// ErrLeadershipTransferInProgress before it stores anything; after that, an entry whose leader is lost may still be
// committed by the next one.
func wireError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress),
		errors.Is(err, ErrNoSpace):
		return wire.ErrTryAgain
	default:
		return wire.ErrUnknown
	}
}
