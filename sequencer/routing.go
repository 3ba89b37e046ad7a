package sequencer

import (
	"context"
	"fmt"
	"time"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// route gives the replica of a key's group on this node, whether it leads or not, and the key's slot. Where this node holds
// none, the error says where to turn.
func (n *Node) route(key string) (*host, wire.Slot, error) {
	slot := wire.SlotOf(key)
	set := n.replicas()
	if len(set.groups) == 0 {
		return nil, slot, wire.ErrClusterDown
	}
	id := wire.GroupOf(slot, len(set.groups))
	if h := set.groups[id]; h != nil {
		return h, slot, nil
	}
	return nil, slot, n.elsewhere(id, slot)
}

// together tells whether two keys are of one slot or, where the groups are known, of one group.
func (n *Node) together(a, b string) bool {
	s, t := wire.SlotOf(a), wire.SlotOf(b)
	groups := len(n.replicas().groups)
	return s == t || groups > 0 && wire.GroupOf(s, groups) == wire.GroupOf(t, groups)
}

// elsewhere says where a group is that this node holds no replica of: at its leader, or where nobody tells who that is at
// one of its replicas, which knows.
func (n *Node) elsewhere(id wire.GroupID, slot wire.Slot) error {
	if leader, ok := n.leaderCard(id); ok {
		return &wire.MovedError{Slot: slot, Addr: leader.RESPAddr}
	}
	for _, card := range n.holders(id) {
		if card.Node != n.cfg.NodeID && n.cards.silence(card.Node) < 2*n.cfg.CardEvery {
			return &wire.MovedError{Slot: slot, Addr: card.RESPAddr}
		}
	}
	return wire.ErrClusterDown
}

// card gives what a node tells of itself, this one included; false where that is not yet known.
func (n *Node) card(id wire.NodeID) (raftfsm.Card, bool) {
	if id == n.cfg.NodeID {
		return n.selfCard(), true
	}
	known, _ := n.cards.all()
	card, ok := known[id]
	return card, ok
}

// selfCard is what this node tells of itself.
func (n *Node) selfCard() raftfsm.Card {
	f := n.identity.get()
	set := n.replicas()
	card := raftfsm.Card{
		Node: n.cfg.NodeID, Incarnation: f.Incarnation, Cluster: f.ClusterID, RaftAddr: n.cfg.RaftAddr, RESPAddr: n.respAddr,
		OpsAddr: n.cfg.OpsAddr, Region: n.cfg.Region, Zone: n.cfg.Zone, Version: n.cfg.Version, Format: wire.NewestFormat,
		Restored: f.Restored, Groups: len(set.groups), Lost: set.lost, DiskLow: n.space.low.Load(),
	}
	for _, h := range set.held() {
		if term, ok := h.raft.ServingTerm(); ok {
			if card.Leads == nil {
				card.Leads = map[wire.GroupID]uint64{}
			}
			card.Leads[h.id] = term
		}
	}
	return card
}

// leaderCard gives the node that leads a group, as far as this one knows: from its own replica, or where that is new or cut
// off from what the others tell.
func (n *Node) leaderCard(id wire.GroupID) (raftfsm.Card, bool) {
	if h := n.replicas().host(id); h != nil {
		if leader, ok := h.raft.Leader(); ok {
			return n.card(leader.ID)
		}
	}
	known, _ := n.cards.all()
	var best raftfsm.Card
	for _, card := range known {
		if term := card.Leads[id]; term > best.Leads[id] && n.cards.silence(card.Node) < 2*n.cfg.CardEvery {
			best = card
		}
	}
	if best.Node != "" {
		return best, true
	}
	for _, card := range n.holders(id) {
		n.cards.ask(card.Node) // so that who asks again soon is told
	}
	return best, false
}

// leaderAddr gives the RESP address of a group's leader.
func (n *Node) leaderAddr(id wire.GroupID) (string, error) {
	card, ok := n.leaderCard(id)
	if !ok || card.RESPAddr == "" {
		return "", wire.ErrClusterDown
	}
	return card.RESPAddr, nil
}

// holders gives the nodes that hold a voter of a group, in the order of the group's configuration or of the map; those of
// unknown address are left out.
func (n *Node) holders(id wire.GroupID) (nodes []raftfsm.Card) {
	add := func(id wire.NodeID) {
		if card, ok := n.card(id); ok && card.RESPAddr != "" {
			nodes = append(nodes, card)
		}
	}
	if h := n.replicas().host(id); h != nil {
		for _, r := range h.raft.Status().Replicas {
			if r.Voter {
				add(r.ID)
			}
		}
		if len(nodes) > 0 {
			return nodes
		}
	}
	if m := n.clusterMap(); m != nil {
		if p := m.Placement(id); p != nil {
			for _, r := range p.Replicas {
				add(r.Node)
			}
		}
	}
	return nodes
}

// slotRange is a run of slots and the nodes that hold its group.
type slotRange struct {
	first, last wire.Slot // both included
	group       wire.GroupID
	led         bool           // the first of nodes is the leader
	nodes       []raftfsm.Card // the leader first, then the others; those of unknown address are left out
}

// slotTable gives the slots of all groups in ascending order, as far as this node knows who leads them.
func (n *Node) slotTable() []slotRange {
	groups := len(n.replicas().groups)
	table := make([]slotRange, 0, groups)
	for id := range wire.GroupID(groups) {
		r := slotRange{group: id}
		r.first, r.last = wire.SlotRange(id, groups)
		if r.first > r.last {
			continue // more groups than slots
		}
		leader, led := n.leaderCard(id)
		if led {
			r.led, r.nodes = true, append(r.nodes, leader)
		}
		for _, card := range n.holders(id) {
			if !led || card.Node != leader.Node {
				r.nodes = append(r.nodes, card)
			}
		}
		table = append(table, r)
	}
	return table
}

// readyPoll is how often Ready looks. Too much can change what it waits for to be told of each.
const readyPoll = 10 * time.Millisecond

// Ready waits until this node is part of a cluster, knows for every group who leads it and where, and serves those that it
// leads itself. It is an error where the node can never become part of its cluster.
func (n *Node) Ready(ctx context.Context) error {
	for {
		err := n.reachable()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(readyPoll):
		case <-n.barred:
			return n.barredBy
		case <-n.closing:
			return fmt.Errorf("wait to serve: %w", errClosed)
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", err, ctx.Err())
		}
	}
}

// reachable is nil where a client of this node can be served here, or told where to turn, for every key.
func (n *Node) reachable() error {
	set := n.replicas()
	if len(set.groups) == 0 || set.meta == nil {
		return fmt.Errorf("this node is not part of a cluster yet: %w", wire.ErrClusterDown)
	}
	for id, h := range set.groups {
		var err error
		if h != nil {
			err = h.leadErr(0)
		} else if _, known := n.leaderCard(wire.GroupID(id)); !known {
			err = wire.ErrClusterDown
		}
		if _, moved := err.(*wire.MovedError); err != nil && !moved { //nolint:errorlint // leadErr wraps nothing
			return fmt.Errorf("group %d: %w", id, err)
		}
	}
	return nil
}
