package raftfsm

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/sequencer/wire"
)

// A group's Raft configuration changes by one replica at a time, at its leader. Each change is refused where the
// configuration is no longer the one that the caller's Status showed.

// AddReplica has the group send its log and state to a replica that does not vote. Adding it again changes nothing.
func (g *Group) AddReplica(ctx context.Context, p Peer) error {
	return g.reconfigure(ctx, "add "+p.Replica().String(), p, func(has *raft.Server, index uint64) raft.Future {
		if has != nil {
			return nil
		}
		return g.raft.AddNonvoter(p.serverID(), p.serverAddr(), index, reconfigureWait)
	})
}

// Promote gives a replica of the group its vote. It must have caught up: until it has, it counts and cannot help.
func (g *Group) Promote(ctx context.Context, p Peer) error {
	return g.reconfigure(ctx, "promote "+p.Replica().String(), p, func(has *raft.Server, index uint64) raft.Future {
		if has != nil && has.Suffrage == raft.Voter {
			return nil
		}
		return g.raft.AddVoter(p.serverID(), p.serverAddr(), index, reconfigureWait)
	})
}

// Demote takes a replica's vote. A leader demotes itself only after it has handed over.
func (g *Group) Demote(ctx context.Context, p Peer) error {
	return g.reconfigure(ctx, "demote "+p.Replica().String(), p, func(has *raft.Server, index uint64) raft.Future {
		if has == nil || has.Suffrage != raft.Voter {
			return nil
		}
		return g.raft.DemoteVoter(p.serverID(), index, reconfigureWait)
	})
}

// RemoveReplica takes a replica out of the group.
func (g *Group) RemoveReplica(ctx context.Context, p Peer) error {
	return g.reconfigure(ctx, "remove "+p.Replica().String(), p, func(has *raft.Server, index uint64) raft.Future {
		if has == nil {
			return nil
		}
		return g.raft.RemoveServer(p.serverID(), index, reconfigureWait)
	})
}

// reconfigureWait is how long raft may take to accept a change of the configuration; committing it is not bounded by it.
const reconfigureWait = 5 * time.Second

// reconfigure makes one change. change gets how the configuration has the replica, nil for not at all, and the index of
// that configuration; it answers nil where there is nothing to do.
func (g *Group) reconfigure(
	ctx context.Context, what string, p Peer, change func(has *raft.Server, index uint64) raft.Future,
) error {
	if !g.Serving() {
		return fmt.Errorf("%s: %w", what, wire.ErrTryAgain)
	}
	current := g.raft.GetConfiguration()
	if err := current.Error(); err != nil {
		return fmt.Errorf("%s: %w: %w", what, wire.ErrTryAgain, err)
	}
	var has *raft.Server
	servers := current.Configuration().Servers
	for i := range servers {
		if servers[i].ID == p.serverID() {
			has = &servers[i]
		}
	}
	future := change(has, current.Index())
	if future == nil {
		return nil
	}
	return g.await(ctx, future, what)
}
