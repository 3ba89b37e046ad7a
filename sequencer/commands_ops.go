package sequencer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// onMap answers a command that changes the cluster map, at the leader of the meta group. build makes the answer of the new
// map, nil for OK.
func (c *conn) onMap(k *call, change func(m *wire.ClusterMap) error, build func(r *reply, m *wire.ClusterMap)) error {
	n := c.node
	meta := n.replicas().meta
	if meta == nil {
		return wire.ErrClusterDown
	}
	if err := meta.leadErr(0); err != nil {
		return err
	}
	k.spawn(func(r *reply) error {
		ctx, cancel := context.WithTimeout(c.ctx, operatorWait)
		defer cancel()
		m, err := n.onMap(ctx, change)
		if err != nil {
			return err
		}
		if build == nil {
			r.simple("OK")
		} else {
			build(r, m)
		}
		return nil
	})
	return nil
}

// operate is the part of CLUSTER that changes the cluster. It is false where a is none of it.
func operate(c *conn, k *call, a args) (known bool, err error) {
	sub := func(keyword string, least, most int) bool {
		return a.is(1, keyword) && len(a) >= least && len(a) <= most
	}
	switch {
	case sub("JOIN", 6, 32):
		return true, clusterJoin(c, k, a)
	case sub("TOKEN", 2, 3):
		return true, clusterToken(c, k, a)
	case sub("DRAIN", 3, 3):
		return true, c.onNode(k, a, drainNode)
	case sub("ACTIVATE", 3, 3):
		return true, c.onNode(k, a, activate)
	case sub("FORGET", 3, 3):
		return true, c.onNode(k, a, forgetNode)
	case sub("REPLACE", 3, 4):
		by := ""
		if len(a) == 4 {
			if by, err = a.id(3, "new node"); err != nil {
				return true, err
			}
		}
		return true, c.onNode(k, a, func(m *wire.ClusterMap, id wire.NodeID) error { return replaceNode(m, id, wire.NodeID(by)) })
	case sub("REBALANCE", 2, 2):
		return true, clusterRebalance(c, k)
	case sub("SET", 4, 4):
		return true, clusterSet(c, k, a)
	}
	return false, nil
}

// onNode answers a command about one node.
func (c *conn) onNode(k *call, a args, change func(m *wire.ClusterMap, id wire.NodeID) error) error {
	id, err := a.id(2, "node")
	if err != nil {
		return err
	}
	return c.onMap(k, func(m *wire.ClusterMap) error { return change(m, wire.NodeID(strings.Clone(id))) }, nil)
}

// clusterJoin is CLUSTER JOIN nodeId incarnation raftAddr respAddr [OPS addr] [REGION r] [ZONE z] [VERSION v] TOKEN token.
func clusterJoin(c *conn, k *call, a args) error {
	node, token, err := joinRequest(a)
	if err != nil {
		return err
	}
	if err := c.speaksFor(node.ID); err != nil {
		return err
	}
	var mine wire.ReplicaID
	now := c.node.cfg.Clock()
	return c.onMap(k, func(m *wire.ClusterMap) (err error) {
		version := len(m.Nodes)
		if mine, err = admit(m, node, token, now); err == nil && len(m.Nodes) == version {
			return errUnchanged
		}
		return err
	}, func(r *reply, m *wire.ClusterMap) {
		r.maps(4)
		r.fieldStr("clusterId", m.ClusterID)
		r.fieldInt("format", int64(m.Format))
		r.fieldInt("groups", int64(m.Groups))
		r.fieldInt("generation", int64(mine.Generation))
	})
}

// clusterToken is CLUSTER TOKEN [seconds].
func clusterToken(c *conn, k *call, a args) error {
	seconds := uint64(3600)
	if len(a) == 3 {
		var err error
		if seconds, err = a.number(2, "seconds", 1, 7*24*3600); err != nil {
			return err
		}
	}
	var token string
	now := c.node.cfg.Clock()
	return c.onMap(k, func(m *wire.ClusterMap) (err error) {
		token, err = newToken(m, now, time.Duration(seconds)*time.Second)
		return err
	}, func(r *reply, _ *wire.ClusterMap) { r.str(token) })
}

// clusterRebalance is CLUSTER REBALANCE: it answers how many groups change, and has leaders spread afterwards.
func clusterRebalance(c *conn, k *call) error {
	changed := 0
	return c.onMap(k, func(m *wire.ClusterMap) error {
		if changed = layoutOf(m).balance(); changed == 0 {
			return errUnchanged
		}
		return nil
	}, func(r *reply, _ *wire.ClusterMap) {
		c.node.mover.spreadSoon()
		r.int(int64(changed))
	})
}

// clusterSet is CLUSTER SET key value.
func clusterSet(c *conn, k *call, a args) error {
	key, value := string(a[2]), string(a[3])
	if err := checkSetting(key, value); err != nil {
		return err
	}
	return c.onMap(k, func(m *wire.ClusterMap) error {
		if m.Settings[key] == value {
			return errUnchanged
		}
		m.Settings = maps.Clone(m.Settings)
		if m.Settings == nil {
			m.Settings = map[string]string{}
		}
		m.Settings[key] = value
		return nil
	}, nil)
}

// clusterSettings is CLUSTER SETTINGS: the settings of the map as this node has it. It needs no leader.
func clusterSettings(c *conn, k *call) error {
	m := c.node.clusterMap()
	if m == nil {
		return errNoMap
	}
	return k.answer(func(r *reply) { r.settings(m) })
}

// settings adds the settings of a map, sorted by key.
func (r *reply) settings(m *wire.ClusterMap) {
	r.maps(len(m.Settings))
	for _, key := range slices.Sorted(maps.Keys(m.Settings)) {
		r.fieldStr(key, m.Settings[key])
	}
}

// errNoMap is what a node answers that is not part of a cluster yet.
var errNoMap = fmt.Errorf("%w: this node has no cluster map yet", wire.ErrClusterDown)

// clusterStatus is CLUSTER STATUS: the map and what this node knows of its truth. It needs no leader.
func clusterStatus(c *conn, k *call) error {
	n := c.node
	m := n.clusterMap()
	if meta := n.replicas().meta; meta != nil { // the node follows the map a moment later than the group: who has just changed it sees the change
		if latest := n.readMap(meta); latest != nil {
			m = latest
		}
	}
	if m == nil {
		return errNoMap
	}
	return k.answer(func(r *reply) {
		r.maps(8)
		r.fieldStr("clusterId", m.ClusterID)
		r.fieldInt("epoch", int64(wire.EpochOf(m.Settings)))
		r.fieldInt("version", int64(m.Version))
		r.fieldInt("format", int64(m.Format))
		r.fieldInt("groups", int64(m.Groups))
		r.field("settings")
		r.settings(m)
		r.field("nodes")
		r.array(len(m.Nodes))
		for i := range m.Nodes {
			n.nodeMap(r, m, &m.Nodes[i])
		}
		r.field("placements")
		r.array(len(m.Placements))
		for i := range m.Placements {
			n.placementMap(r, &m.Placements[i])
		}
	})
}

// nodeMap is one node in CLUSTER STATUS.
func (n *Node) nodeMap(r *reply, m *wire.ClusterMap, node *wire.NodeInfo) {
	replicas, leaving, leads := 0, 0, 0
	for _, p := range m.Placements {
		for _, id := range p.Replicas {
			if id.Node == node.ID {
				replicas++
			}
		}
		for _, id := range p.Leaving {
			if id.Node == node.ID {
				leaving++
			}
		}
		if card, ok := n.leaderCard(p.Group); ok && card.Node == node.ID {
			leads++
		}
	}
	silence := n.cards.silence(node.ID)
	r.maps(12)
	r.fieldStr("nodeId", string(node.ID))
	r.fieldStr("state", string(node.State))
	r.fieldBool("alive", node.State != wire.NodeLost && silence < 2*n.cfg.CardEvery)
	r.fieldInt("silentMs", silence.Milliseconds())
	r.fieldStr("raftAddr", node.RaftAddr)
	r.fieldStr("respAddr", node.RESPAddr)
	r.fieldStr("region", node.Region)
	r.fieldStr("zone", node.Zone)
	r.fieldStr("version", node.Version)
	r.fieldInt("replicas", int64(replicas))
	r.fieldInt("leaving", int64(leaving))
	r.fieldInt("leads", int64(leads))
}

// placementMap is one group in CLUSTER STATUS. It is moving as long as its Raft configuration, as far as this node sees it,
// is not what is meant.
func (n *Node) placementMap(r *reply, p *wire.Placement) {
	leader, _ := n.leaderCard(p.Group)
	moving := len(p.Leaving) > 0
	if h := n.replicas().host(p.Group); h != nil {
		v := groupView{leader: wire.ReplicaID{Node: leader.Node}}
		for _, m := range h.raft.Status().Replicas {
			v.members = append(v.members, replicaView{id: m.Replica(), voter: m.Voter})
		}
		_, step, waiting := nextStep(p, &v)
		moving = moving || step || waiting
	}
	r.maps(6)
	r.fieldInt("group", int64(p.Group))
	r.fieldStr("leader", string(leader.Node))
	r.fieldBool("moving", moving)
	r.fieldStrs("replicas", replicaNames(p.Replicas))
	r.fieldStrs("followers", replicaNames(p.Followers))
	r.fieldStrs("leaving", replicaNames(p.Leaving))
}

func replicaNames(list []wire.ReplicaID) []string {
	names := make([]string, len(list))
	for i, id := range list {
		names[i] = id.String()
	}
	return names
}
