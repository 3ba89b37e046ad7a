package sequencer

import (
	"slices"

	"github.com/quorate/quorate/sequencer/wire"
)

// replicaView is one replica of a group as the group's Raft configuration has it.
type replicaView struct {
	id     wire.ReplicaID
	voter  bool
	alive  bool // its node answers
	caught bool // it holds nearly all of the log; only looked at for those without a vote
}

// groupView is a group as its leader has it.
type groupView struct {
	leader  wire.ReplicaID
	members []replicaView
}

func (v *groupView) member(id wire.ReplicaID) (replicaView, bool) {
	for _, m := range v.members {
		if m.id == id {
			return m, true
		}
	}
	return replicaView{}, false
}

// verb is what a step does.
type verb string

const (
	stepAdd      verb = "ADD"      // a replica without a vote
	stepPromote  verb = "PROMOTE"  // it has caught up: give it its vote
	stepTransfer verb = "TRANSFER" // have it lead, as the leader is to go
	stepDemote   verb = "DEMOTE"   // take its vote
	stepRemove   verb = "REMOVE"   // take it out of the group
	stepSettle   verb = "SETTLE"   // all is as it is meant to be: who was to leave has left
)

// step is one change that brings a group nearer to its placement.
type step struct {
	verb    verb
	replica wire.ReplicaID
}

// nextStep gives the next change of a group: first what is missing comes, catches up and gets its vote, then what is too
// much goes, so that the group never has fewer voters than it is meant to have because of a move. waiting tells that a
// replica is catching up. Each step is safe to repeat.
func nextStep(p *wire.Placement, v *groupView) (next step, ok, waiting bool) {
	for _, list := range [][]wire.ReplicaID{p.Replicas, p.Followers} {
		for _, r := range list {
			if _, there := v.member(r); !there {
				return step{stepAdd, r}, true, true
			}
		}
	}
	for _, r := range p.Replicas {
		m, _ := v.member(r)
		if !m.voter && m.caught {
			return step{stepPromote, r}, true, true
		}
		waiting = waiting || !m.voter
	}
	if waiting {
		return step{}, false, true
	}
	for _, m := range v.members {
		there, voter := p.Wants(m.id)
		switch {
		case there && voter == m.voter:
		case m.id == v.leader:
			return step{stepTransfer, heir(p, v)}, true, false
		case m.voter:
			return step{stepDemote, m.id}, true, false
		default:
			return step{stepRemove, m.id}, true, false
		}
	}
	if len(p.Leaving) > 0 {
		return step{verb: stepSettle}, true, false
	}
	return step{}, false, false
}

// heir is the replica that is to lead after a leader that goes.
func heir(p *wire.Placement, v *groupView) wire.ReplicaID {
	for _, r := range p.Replicas {
		if m, _ := v.member(r); m.alive {
			return r
		}
	}
	return p.Replicas[0]
}

// spreadStep gives a hand-over that spreads the leaders of groups over the nodes more evenly: from a node that leads at
// least two groups more than another one that is alive and could take one of them.
func spreadStep(
	placements []wire.Placement, views map[wire.GroupID]*groupView, alive func(wire.NodeID) bool,
) (wire.GroupID, wire.NodeID, bool) {
	leads := map[wire.NodeID]int{}
	for _, v := range views {
		leads[v.leader.Node]++
	}
	best, group, to := 1, wire.GroupID(0), wire.NodeID("")
	for _, p := range placements {
		v := views[p.Group]
		if v == nil || p.Group == wire.MetaGroup || len(p.Leaving) > 0 {
			continue
		}
		for _, r := range p.Replicas {
			m, there := v.member(r)
			if won := leads[v.leader.Node] - leads[r.Node]; there && m.voter && won > best && alive(r.Node) {
				best, group, to = won, p.Group, r.Node
			}
		}
	}
	return group, to, to != ""
}

// lostReplicas replaces, in a map, replicas whose nodes say that they are gone. It tells whether there were any.
func lostReplicas(m *wire.ClusterMap, lost []wire.ReplicaID, group wire.GroupID) (changed bool) {
	p := m.Placement(group)
	if p == nil {
		return false
	}
	for _, r := range lost {
		for _, list := range []*[]wire.ReplicaID{&p.Replicas, &p.Followers} {
			if i := slices.Index(*list, r); i >= 0 {
				(*list)[i] = p.New(r.Node)
				p.Leaving = append(p.Leaving, r)
				changed = true
			}
		}
	}
	return changed
}
