package raftfsm

import (
	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/sequencer/wire"
)

// Replica is one replica of a group as its Raft configuration names it.
type Replica struct {
	Peer
	Voter bool
}

// Status is how a replica stands.
type Status struct {
	Group     wire.GroupID
	Self      wire.ReplicaID
	State     string // Leader, Follower, Candidate or Shutdown
	Term      uint64
	Leader    Peer // zero where none is known
	Serving   bool
	LastIndex uint64 // of the log
	Commit    uint64
	Applied   uint64 // held by the state
	Peers     []Peer // all nodes of the group, this one included
	Replicas  []Replica
	Installs  uint64 // snapshots that came from another node since the start
}

// Status tells how this replica stands.
func (g *Group) Status() Status {
	applied, _ := g.store.Applied()
	leader, _ := g.Leader()
	s := Status{
		Group: g.cfg.Group, Self: g.cfg.self().Replica(), State: g.raft.State().String(), Term: g.raft.CurrentTerm(), Leader: leader, Serving: g.Serving(),
		LastIndex: g.raft.LastIndex(), Commit: g.raft.CommitIndex(), Applied: applied, Installs: g.installs.Load(),
	}
	for _, server := range g.configuration() {
		p := peerOf(server.ID, server.Address)
		s.Peers = append(s.Peers, p)
		s.Replicas = append(s.Replicas, Replica{Peer: p, Voter: server.Suffrage == raft.Voter})
	}
	return s
}

func (g *Group) configuration() []raft.Server {
	future := g.raft.GetConfiguration() // answered from memory
	if future.Error() != nil {
		return nil
	}
	return future.Configuration().Servers
}
