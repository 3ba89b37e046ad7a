package sequencer

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// raftCommand is RAFT PEERS|STATUS|TRANSFER|SNAPSHOT|ADD|REMOVE|CONFIG.
func raftCommand(c *conn, k *call, a args) error {
	switch {
	case a.is(1, "PEERS") && len(a) <= 3:
		return raftPeers(c, k, a)
	case a.is(1, "STATUS") && len(a) == 3:
		return raftStatus(c, k, a)
	case a.is(1, "TRANSFER") && (len(a) == 3 || len(a) == 4):
		return raftTransfer(c, k, a)
	case a.is(1, "SNAPSHOT") && len(a) == 3:
		return raftSnapshot(c, k, a)
	case a.is(1, "ADD") && len(a) == 4:
		return raftMove(c, k, a, true)
	case a.is(1, "REMOVE") && len(a) == 4:
		return raftMove(c, k, a, false)
	case a.is(1, "CONFIG") && (len(a) == 5 || len(a) == 6):
		return raftConfig(c, k, a)
	case a.is(1, "HELP") && len(a) == 2:
		return helped(k, "RAFT PEERS [group]", "RAFT STATUS group", "RAFT TRANSFER group [node]", "RAFT SNAPSHOT group",
			"RAFT ADD group node", "RAFT REMOVE group node", "RAFT CONFIG group ADD|PROMOTE|DEMOTE|REMOVE replica [raftAddr]")
	}
	return unknownSub("RAFT", a)
}

// raftPeers answers the replicas of one group, or of all but the meta group that this node holds a replica of, as this node
// knows them. It needs no leader.
func raftPeers(c *conn, k *call, a args) error {
	hosts := c.node.replicas().data()
	if len(a) == 3 {
		h, err := c.replica(a, 2)
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
	r.maps(12)
	r.fieldInt("group", int64(s.Group))
	r.fieldStr("nodeId", string(replica.ID))
	r.fieldStr("replica", replica.Replica().String())
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

const (
	transferWait = 10 * time.Second // for RAFT TRANSFER: one that works takes some tens of milliseconds
	operatorWait = 30 * time.Second // for the other commands of operators
)

// raftTransfer hands leadership of a group that this node leads to another node, or to any. It answers when the group
// has a new leader, as far as this node knows.
func raftTransfer(c *conn, k *call, a args) error {
	h, err := c.replica(a, 2)
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
	if err := h.leadErr(h.firstSlot()); err != nil {
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

// raftSnapshot takes a snapshot of this node's replica, which frees its log.
func raftSnapshot(c *conn, k *call, a args) error {
	h, err := c.replica(a, 2)
	if err != nil {
		return err
	}
	k.spawn(func(r *reply) error {
		ctx, cancel := context.WithTimeout(c.ctx, operatorWait)
		defer cancel()
		if err := h.raft.Snapshot(ctx); err != nil {
			c.log.Info("no snapshot was taken", "group", h.id, "err", err)
			return fmt.Errorf("%w: no snapshot was taken; there may be nothing new to put into one", wire.ErrTryAgain)
		}
		r.simple("OK")
		return nil
	})
	return nil
}

// raftMove is RAFT ADD|REMOVE group node: it changes which nodes are meant to hold a voter of the group. The replicas
// follow.
func raftMove(c *conn, k *call, a args, add bool) error {
	g, err := c.groupID(a, 2)
	if err != nil {
		return err
	}
	id, err := a.id(3, "node")
	if err != nil {
		return err
	}
	return c.onMap(k, func(m *wire.ClusterMap) error { return moveReplica(m, g, wire.NodeID(strings.Clone(id)), add) }, nil)
}

// raftConfig changes a group's Raft configuration itself. It is what the mover uses; a change that is not in line with the
// group's placement is undone by it.
func raftConfig(c *conn, k *call, a args) error {
	h, err := c.replica(a, 2)
	if err != nil {
		return err
	}
	replica, err := wire.ParseReplicaID(string(a[4]))
	if err != nil {
		return err
	}
	p := raftfsm.Peer{ID: replica.Node, Generation: replica.Generation}
	if len(a) == 6 {
		if _, _, err := net.SplitHostPort(string(a[5])); err != nil && len(a[5]) > 0 {
			return fmt.Errorf("%w: %s is no host:port", wire.ErrBadRequest, shown(a[5]))
		}
		p.RaftAddr = string(a[5])
	}
	changes := map[verb]func(context.Context, raftfsm.Peer) error{
		stepAdd: h.raft.AddReplica, stepPromote: h.raft.Promote, stepDemote: h.raft.Demote, stepRemove: h.raft.RemoveReplica,
	}
	do := changes[verb(strings.ToUpper(string(a[3])))]
	if do == nil {
		return errSyntax
	}
	if needs := slices.Contains([]verb{stepAdd, stepPromote}, verb(strings.ToUpper(string(a[3])))); needs && p.RaftAddr == "" {
		return errSyntax
	}
	if err := h.leadErr(h.firstSlot()); err != nil {
		return err
	}
	k.spawn(func(r *reply) error {
		ctx, cancel := context.WithTimeout(c.ctx, operatorWait)
		defer cancel()
		if err := do(ctx, p); err != nil {
			return err
		}
		r.simple("OK")
		return nil
	})
	return nil
}
