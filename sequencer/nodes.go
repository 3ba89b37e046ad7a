package sequencer

import (
	"context"
	"fmt"
	"slices"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// This file holds what operators want done with nodes, as changes of the map.

// drainNode has all replicas of a node move away. It is wire.ErrConflict where the other nodes cannot take them.
func drainNode(m *wire.ClusterMap, id wire.NodeID) error {
	node := m.Node(id)
	switch {
	case node == nil:
		return fmt.Errorf("%w: there is no node %s", wire.ErrBadRequest, id)
	case node.State == wire.NodeLost:
		return fmt.Errorf("%w: node %s is given up", wire.ErrConflict, id)
	}
	node.State = wire.NodeDraining
	return layoutOf(m).evacuate(id, "")
}

// activate takes a draining node back.
func activate(m *wire.ClusterMap, id wire.NodeID) error {
	node := m.Node(id)
	switch {
	case node == nil:
		return fmt.Errorf("%w: there is no node %s", wire.ErrBadRequest, id)
	case node.State == wire.NodeLost:
		return fmt.Errorf("%w: node %s is given up, and its id may not vote again", wire.ErrConflict, id)
	case node.State == wire.NodeActive:
		return errUnchanged
	}
	node.State = wire.NodeActive
	return nil
}

// replaceNode gives a node up and has another one, "" for the best, hold what it held.
func replaceNode(m *wire.ClusterMap, old, by wire.NodeID) error {
	node := m.Node(old)
	if node == nil {
		return fmt.Errorf("%w: there is no node %s", wire.ErrBadRequest, old)
	}
	if by != "" {
		if next := m.Node(by); next == nil || next.State != wire.NodeActive || by == old {
			return fmt.Errorf("%w: node %s cannot take over", wire.ErrBadRequest, by)
		}
	}
	node.State = wire.NodeLost
	if err := layoutOf(m).evacuate(old, by); err != nil {
		return err
	}
	m.Placement(wire.MetaGroup).Drop(old)
	return nil
}

// loseNode is replaceNode by whoever is best. It tells whether anything changed.
func loseNode(m *wire.ClusterMap, id wire.NodeID) bool { return replaceNode(m, id, "") == nil }

// forgetNode takes a node that holds nothing out of the map. Its id may not be used again by a node with other data as
// long as anybody remembers it; afterwards it is a new node's.
func forgetNode(m *wire.ClusterMap, id wire.NodeID) error {
	node := m.Node(id)
	if node == nil {
		return fmt.Errorf("%w: there is no node %s", wire.ErrBadRequest, id)
	}
	if node.State == wire.NodeActive {
		return fmt.Errorf("%w: node %s is active: drain it first", wire.ErrConflict, id)
	}
	on := func(r wire.ReplicaID) bool { return r.Node == id }
	for _, p := range m.Placements {
		if slices.ContainsFunc(p.Replicas, on) || slices.ContainsFunc(p.Leaving, on) {
			return fmt.Errorf("%w: node %s still holds a replica of group %d", wire.ErrConflict, id, p.Group)
		}
	}
	meta := m.Placement(wire.MetaGroup)
	if slices.ContainsFunc(meta.Followers, on) {
		meta.Drop(id) // the mover takes it out of the meta group
		return nil
	}
	m.Nodes = slices.DeleteFunc(m.Nodes, func(n wire.NodeInfo) bool { return n.ID == id })
	return nil
}

// moveReplica adds a voter of a group on a node, or takes one away.
func moveReplica(m *wire.ClusterMap, g wire.GroupID, id wire.NodeID, add bool) error {
	p, node := m.Placement(g), m.Node(id)
	if p == nil || node == nil {
		return fmt.Errorf("%w: there is no group %d or no node %s", wire.ErrBadRequest, g, id)
	}
	has := slices.ContainsFunc(p.Replicas, func(r wire.ReplicaID) bool { return r.Node == id })
	leaving := slices.ContainsFunc(p.Leaving, func(r wire.ReplicaID) bool { return r.Node == id })
	switch {
	case add == has && !leaving:
		return errUnchanged
	case leaving:
		return fmt.Errorf("%w: node %s is leaving the group: try again when it has left", wire.ErrTryAgain, id)
	case add && node.State != wire.NodeActive:
		return fmt.Errorf("%w: node %s is %s", wire.ErrConflict, id, node.State)
	case add && len(p.Replicas) == maxVoters:
		return fmt.Errorf("%w: a group has at most %d voters", wire.ErrTooLarge, maxVoters)
	case !add && len(p.Replicas) == 1:
		return fmt.Errorf("%w: it is the group's last voter", wire.ErrConflict)
	}
	if l := layoutOf(m); add {
		l.add(p, id)
	} else {
		l.drop(p, id)
	}
	return nil
}

// maxVoters bounds a group: with more, every append waits for more disks and hardly anything is won.
const maxVoters = 7

// noCard is what is known of a node that has told nothing.
func (n *Node) noCard(node *wire.NodeInfo) raftfsm.Card {
	return raftfsm.Card{
		Node: node.ID, RESPAddr: node.RESPAddr, OpsAddr: node.OpsAddr, Version: node.Version, Format: node.Format,
		Region: node.Region, Zone: node.Zone,
	}
}

// onMap runs a change of the cluster map and waits for it; then the mover looks at once.
func (n *Node) onMap(ctx context.Context, change func(m *wire.ClusterMap) error) (*wire.ClusterMap, error) {
	m, err := n.changeMap(ctx, change)
	if err == nil {
		n.mover.kick()
	}
	return m, err
}
