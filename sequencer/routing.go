package sequencer

import (
	"context"
	"fmt"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// route gives the group and the slot of a key, whether this node leads it or not.
func (n *Node) route(key string) (*host, wire.Slot) {
	slot := wire.SlotOf(key)
	return n.groups[wire.GroupOf(slot, len(n.groups))], slot
}

// hosts lists the groups of this node by their id.
func (n *Node) hosts() []*host { return n.groups }

// card gives the addresses of a node, this one included; false where they are not yet known.
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
	return raftfsm.Card{
		Node: n.cfg.NodeID, RaftAddr: n.cfg.RaftAddr, RESPAddr: n.respAddr, OpsAddr: n.cfg.OpsAddr,
		Region: n.cfg.Region, Version: n.cfg.Version, Groups: n.cfg.Groups,
	}
}

// slotRange is a run of slots and the nodes that hold its group.
type slotRange struct {
	first, last wire.Slot // both included
	group       wire.GroupID
	led         bool           // the first of nodes is the leader
	nodes       []raftfsm.Card // the leader first, then the others by id; those of unknown address are left out
}

// slotTable gives the slots of all groups in ascending order, as far as this node knows who leads them.
func (n *Node) slotTable() []slotRange {
	table := make([]slotRange, 0, len(n.groups))
	for _, h := range n.groups {
		r := slotRange{group: h.id}
		r.first, r.last = wire.SlotRange(h.id, len(n.groups))
		if r.first > r.last {
			continue // more groups than slots
		}
		leader, led := h.raft.Leader()
		if led {
			if card, ok := n.card(leader.ID); ok {
				r.led, r.nodes = true, append(r.nodes, card)
			}
		}
		for _, p := range h.raft.Status().Peers {
			if card, ok := n.card(p.ID); ok && (!r.led || p.ID != leader.ID) {
				r.nodes = append(r.nodes, card)
			}
		}
		table = append(table, r)
	}
	return table
}

// Ready waits until this node knows for every group who leads it and where, and serves those it leads itself.
func (n *Node) Ready(ctx context.Context) error {
	for _, h := range n.groups {
		for {
			_, cardsChanged := n.cards.all()
			leaderChanged := h.raft.LeaderChanged()
			if err := h.reachable(); err == nil {
				break
			}
			select {
			case <-leaderChanged:
			case <-cardsChanged:
			case <-n.closing:
				return fmt.Errorf("wait for the leader of group %d: %w", h.id, errClosed)
			case <-ctx.Done():
				return fmt.Errorf("wait for the leader of group %d: %w", h.id, ctx.Err())
			}
		}
	}
	return nil
}

// reachable is nil where a client of this node can be served here or told where to turn.
func (h *host) reachable() error {
	err := h.leadErr(0)
	if _, moved := err.(*wire.MovedError); moved { //nolint:errorlint // leadErr wraps nothing
		return nil
	}
	return err
}
