package sequencer

import (
	"context"
	"fmt"
	"time"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// raftCommand is RAFT PEERS [group] and RAFT TRANSFER group [node].
func raftCommand(c *conn, k *call, a args) error {
	switch {
	case a.is(1, "PEERS") && len(a) <= 3:
		return raftPeers(c, k, a)
	case a.is(1, "TRANSFER") && (len(a) == 3 || len(a) == 4):
		return raftTransfer(c, k, a)
	case a.is(1, "HELP") && len(a) == 2:
		return helped(k, "RAFT PEERS [group]", "RAFT TRANSFER group [node]")
	}
	return unknownSub("RAFT", a)
}

// raftPeers answers the replicas of one group or of all, as this node knows them. It needs no leader.
func raftPeers(c *conn, k *call, a args) error {
	hosts := c.node.hosts()
	if len(a) == 3 {
		h, err := c.group(a, 2)
		if err != nil {
			return err
		}
		hosts = []*host{h}
	}
	return k.answer(func(r *reply) {
		statuses, n := make([]raftfsm.Status, len(hosts)), 0
		for i, h := range hosts {
			statuses[i] = h.raft.Status()
			n += len(statuses[i].Replicas)
		}
		r.array(n)
		for i := range statuses {
			for _, replica := range statuses[i].Replicas {
				c.node.peerMap(r, &statuses[i], replica)
			}
		}
	})
}

// peerMap is one replica. Its state and indexes are null where it is not that of the node that answers.
func (n *Node) peerMap(r *reply, s *raftfsm.Status, replica raftfsm.Replica) {
	suffrage := "nonvoter"
	if replica.Voter {
		suffrage = "voter"
	}
	card, _ := n.card(replica.ID)
	r.maps(11)
	r.fieldInt("group", int64(s.Group))
	r.fieldStr("nodeId", string(replica.ID))
	r.fieldStr("raftAddr", replica.RaftAddr)
	r.fieldStr("respAddr", card.RESPAddr)
	r.fieldStr("suffrage", suffrage)
	r.fieldBool("leader", replica.ID == s.Leader.ID)
	r.fieldInt("term", int64(s.Term))
	if replica.ID == n.cfg.NodeID {
		r.fieldStr("state", s.State)
		r.fieldInt("lastIndex", int64(s.LastIndex))
		r.fieldInt("commit", int64(s.Commit))
		r.fieldInt("applied", int64(s.Applied))
		return
	}
	for _, name := range []string{"state", "lastIndex", "commit", "applied"} {
		r.field(name)
		r.null()
	}
}

// transferWait bounds RAFT TRANSFER: a transfer that works takes some tens of milliseconds.
const transferWait = 10 * time.Second

// raftTransfer hands leadership of a group that this node leads to another node, or to any. It answers when the group
// has a new leader, as far as this node knows.
func raftTransfer(c *conn, k *call, a args) error {
	h, err := c.group(a, 2)
	if err != nil {
		return err
	}
	var to wire.NodeID
	if len(a) == 4 {
		to = wire.NodeID(a[3])
		if err := h.canLead(to); err != nil {
			return err
		}
	}
	first, _ := wire.SlotRange(h.id, len(c.node.hosts()))
	if err := h.leadErr(first); err != nil {
		return err
	}
	if to == c.node.cfg.NodeID {
		return k.ok()
	}
	k.spawn(func(r *reply) error {
		ctx, cancel := context.WithTimeout(c.ctx, transferWait)
		defer cancel()
		if err := h.raft.Transfer(ctx, to); err != nil {
			c.log.Warn("leadership was not handed over", "group", h.id, "to", to, "err", err)
			return fmt.Errorf("%w: leadership of group %d was not handed over", wire.ErrTryAgain, h.id)
		}
		r.simple("OK")
		return nil
	})
	return nil
}

// canLead says whether a node is a voter of the group.
func (h *host) canLead(id wire.NodeID) error {
	for _, replica := range h.raft.Status().Replicas {
		if replica.ID == id && replica.Voter {
			return nil
		}
	}
	return fmt.Errorf("%w: %s is no voter of group %d", wire.ErrBadRequest, shown([]byte(id)), h.id)
}
