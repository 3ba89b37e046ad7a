package sequencer

import (
	"context"
	"fmt"
	"strconv"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// replicaStatus is what RAFT STATUS tells of one node's replica of a group.
type replicaStatus struct {
	self    wire.ReplicaID
	serving bool
	commit  uint64
	applied uint64
	members []replicaView // of the group's Raft configuration as this replica has it
}

// raftStatus is RAFT STATUS group: the replica on this node, as it stands.
func raftStatus(c *conn, k *call, a args) error {
	h, err := c.replica(a, 2)
	if err != nil {
		return err
	}
	s := h.raft.Status()
	return k.answer(func(r *reply) {
		r.maps(12)
		r.fieldInt("group", int64(s.Group))
		r.fieldStr("replica", h.replica().String())
		r.fieldStr("state", s.State)
		r.fieldInt("term", int64(s.Term))
		r.fieldStr("leader", replicaText(s.Leader))
		r.fieldBool("serving", s.Serving)
		r.fieldInt("lastIndex", int64(s.LastIndex))
		r.fieldInt("commit", int64(s.Commit))
		r.fieldInt("applied", int64(s.Applied))
		r.fieldInt("installs", int64(s.Installs))
		var voters, nonvoters []string
		for _, m := range s.Replicas {
			if m.Voter {
				voters = append(voters, m.Replica().String())
			} else {
				nonvoters = append(nonvoters, m.Replica().String())
			}
		}
		r.fieldStrs("voters", voters)
		r.fieldStrs("nonvoters", nonvoters)
	})
}

// status is what this node's own RAFT STATUS tells.
func (h *host) status() replicaStatus {
	s := h.raft.Status()
	own := replicaStatus{self: h.replica(), serving: s.Serving, commit: s.Commit, applied: s.Applied}
	for _, r := range s.Replicas {
		own.members = append(own.members, replicaView{id: r.Replica(), voter: r.Voter})
	}
	return own
}

func replicaText(p raftfsm.Peer) string {
	if p.ID == "" {
		return ""
	}
	return p.Replica().String()
}

// replicaStatus asks a node for its RAFT STATUS of a group.
func (n *Node) replicaStatus(ctx context.Context, addr string, g wire.GroupID) (s replicaStatus, err error) {
	if h := n.replicas().host(g); h != nil && addr == n.respAddr {
		return h.status(), nil
	}
	reply, err := n.client.DoNode(ctx, addr, "RAFT", "STATUS", strconv.Itoa(int(g)))
	if err != nil {
		return s, err
	}
	if s.self, err = wire.ParseReplicaID(reply.Field("replica").Str()); err != nil {
		return s, err
	}
	s.serving = reply.Field("serving").Num() == 1
	s.commit, s.applied = reply.Field("commit").Num(), reply.Field("applied").Num()
	for name, voter := range map[string]bool{"voters": true, "nonvoters": false} {
		for _, e := range reply.Field(name).Elems() {
			id, err := wire.ParseReplicaID(e.Str())
			if err != nil {
				return s, fmt.Errorf("the replicas of group %d on %s: %w", g, addr, err)
			}
			s.members = append(s.members, replicaView{id: id, voter: voter})
		}
	}
	return s, nil
}
