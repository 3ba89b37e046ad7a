package sequencer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/quorate/quorate/sequencer/wire"
)

// This file decides where replicas are meant to be. Everything in it is a function of the map alone; mover.go makes it true.

// settingReplicas is how many voters a group is meant to have.
const settingReplicas = "replicas"

// defaultReplicas is settingReplicas where nobody has set it.
const defaultReplicas = 3

// voters is how many voters a group gets where nodes nodes may hold them: as many as are wanted, but an odd number, as one
// more would only add to what a majority is.
func voters(wanted, nodes int) int {
	n := min(wanted, nodes)
	return max(n-(n+1)%2, 1)
}

// firstMap is the map that a new cluster begins with: its groups spread over the first nodes. Its placements are the same on
// each of them: they begin before there is a leader who could say.
func firstMap(clusterID string, groups, replicas int, nodes []wire.NodeInfo, settings map[string]string) *wire.ClusterMap {
	m := &wire.ClusterMap{ClusterID: clusterID, Groups: groups, Settings: maps.Clone(settings)}
	for _, n := range nodes {
		n.State = wire.NodeActive
		m.PutNode(n)
	}
	if replicas != 0 && replicas != defaultReplicas {
		if m.Settings == nil {
			m.Settings = map[string]string{}
		}
		m.Settings[settingReplicas] = fmt.Sprint(replicas)
	}
	l := layoutOf(m)
	for g := range wire.GroupID(groups + 1) {
		if int(g) == groups {
			g = wire.MetaGroup
		}
		m.Placements = append(m.Placements, wire.Placement{Group: g, Next: 1})
		l.fill(&m.Placements[len(m.Placements)-1])
	}
	meta := m.Placement(wire.MetaGroup)
	for _, n := range m.Nodes {
		if _, holds := meta.Holds(n.ID); !holds {
			meta.Followers = append(meta.Followers, meta.New(n.ID))
		}
	}
	return m
}

// layout is a map while it is being changed, with what the choice of nodes goes by.
type layout struct {
	m    *wire.ClusterMap
	load map[wire.NodeID]int // voters, of all groups
}

func layoutOf(m *wire.ClusterMap) *layout {
	l := &layout{m: m, load: map[wire.NodeID]int{}}
	for i := range m.Placements {
		for _, r := range m.Placements[i].Replicas {
			l.load[r.Node]++
		}
	}
	return l
}

// wanted is how many voters each group is meant to have, as far as there are nodes.
func (l *layout) wanted() int {
	active := 0
	for _, n := range l.m.Nodes {
		if n.State == wire.NodeActive {
			active++
		}
	}
	return voters(settingOf(l.m).replicas, active)
}

// fill gives a group new voters on the best nodes until it has as many as it is meant to have.
func (l *layout) fill(p *wire.Placement) {
	for len(p.Replicas) < l.wanted() {
		node, ok := l.best(p, "")
		if !ok {
			return
		}
		l.add(p, node)
	}
}

// add makes a node hold a voter of the group. One that follows it already is given a vote instead.
func (l *layout) add(p *wire.Placement, node wire.NodeID) {
	l.load[node]++
	for i, r := range p.Followers {
		if r.Node == node {
			p.Followers = slices.Delete(p.Followers, i, i+1)
			p.Replicas = append(p.Replicas, r)
			return
		}
	}
	p.Replicas = append(p.Replicas, p.New(node))
}

// drop takes a node's voter of the group away. Of the meta group it keeps a follower, as long as it is there at all.
func (l *layout) drop(p *wire.Placement, node wire.NodeID) {
	i := slices.IndexFunc(p.Replicas, func(r wire.ReplicaID) bool { return r.Node == node })
	if i < 0 {
		return
	}
	l.load[node]--
	n := l.m.Node(node)
	if p.Group == wire.MetaGroup && n != nil && n.State != wire.NodeLost {
		p.Followers = append(p.Followers, p.Replicas[i])
		p.Replicas = slices.Delete(p.Replicas, i, i+1)
		return
	}
	p.Drop(node)
}

// best gives the node that a further voter of the group should be on, in place of the one on instead where that is not "":
// one in a zone that has none yet, and of those the one with the fewest voters.
func (l *layout) best(p *wire.Placement, instead wire.NodeID) (wire.NodeID, bool) {
	var free []wire.NodeInfo
	for _, n := range l.m.Nodes {
		taken := slices.ContainsFunc(p.Replicas, func(r wire.ReplicaID) bool { return r.Node == n.ID }) ||
			slices.ContainsFunc(p.Leaving, func(r wire.ReplicaID) bool { return r.Node == n.ID })
		if n.State == wire.NodeActive && !taken {
			free = append(free, n)
		}
	}
	if len(free) == 0 {
		return "", false
	}
	return slices.MinFunc(free, func(a, b wire.NodeInfo) int {
		return cmp.Or(
			cmp.Compare(l.sharing(p, a.ID, instead), l.sharing(p, b.ID, instead)),
			cmp.Compare(l.load[a.ID], l.load[b.ID]),
			cmp.Compare(a.ID, b.ID),
		)
	}).ID, true
}

// sharing is how many voters of the group, but for the one on instead, are in the zone of a node. A node without a zone is
// a zone of its own.
func (l *layout) sharing(p *wire.Placement, node, instead wire.NodeID) (n int) {
	zone := l.zone(node)
	for _, r := range p.Replicas {
		if r.Node != node && r.Node != instead && zone != "" && l.zone(r.Node) == zone {
			n++
		}
	}
	return n
}

func (l *layout) zone(node wire.NodeID) string {
	if n := l.m.Node(node); n != nil {
		return n.Zone
	}
	return ""
}

// evacuate moves all voters off a node, to another one where to is not "" and it does not hold one already. It is
// wire.ErrConflict where there are too few other nodes: a group never gets fewer voters because a node goes.
func (l *layout) evacuate(node wire.NodeID, to wire.NodeID) error {
	for i := range l.m.Placements {
		p := &l.m.Placements[i]
		if !slices.ContainsFunc(p.Replicas, func(r wire.ReplicaID) bool { return r.Node == node }) {
			continue
		}
		next, ok := to, to != ""
		if held, has := p.Holds(to); has && !slices.Contains(p.Followers, held) {
			ok = false
		}
		if !ok {
			next, ok = l.best(p, node)
		}
		if !ok && len(p.Replicas) > settingOf(l.m).replicas {
			l.drop(p, node) // the group has voters enough without it
			continue
		}
		if !ok {
			return fmt.Errorf("%w: no other node can take its replica of group %d: add a node first", wire.ErrConflict, p.Group)
		}
		l.add(p, next)
		l.drop(p, node)
	}
	return nil
}

// balance spreads voters evenly over the active nodes and over zones, and gives groups that have too few or too many voters
// their number. It changes at most one replica of a group, so that a majority stays where it is, and tells how many groups
// it changed.
func (l *layout) balance() (changed int) {
	touched := map[wire.GroupID]bool{}
	for i := range l.m.Placements {
		p := &l.m.Placements[i]
		if len(p.Leaving) > 0 {
			touched[p.Group] = true // it is on the move as it is
			continue
		}
		before := len(p.Replicas)
		if l.fill(p); len(p.Replicas) > settingOf(l.m).replicas {
			l.drop(p, l.heaviest(p))
		}
		if len(p.Replicas) != before {
			touched[p.Group] = true
			changed++
		}
	}
	for {
		p, from, to := l.gain(touched)
		if p == nil {
			return changed
		}
		l.add(p, to)
		l.drop(p, from)
		touched[p.Group] = true
		changed++
	}
}

// heaviest is the node of the group that can spare its voter best.
func (l *layout) heaviest(p *wire.Placement) wire.NodeID {
	return slices.MaxFunc(p.Replicas, func(a, b wire.ReplicaID) int {
		return cmp.Or(
			cmp.Compare(l.sharing(p, a.Node, ""), l.sharing(p, b.Node, "")),
			cmp.Compare(l.load[a.Node], l.load[b.Node]), cmp.Compare(a.Node, b.Node),
		)
	}).Node
}

// gain finds a move that makes the layout better: into a zone that has fewer of the group's voters, or to a node that has
// at least two voters less.
func (l *layout) gain(touched map[wire.GroupID]bool) (p *wire.Placement, from, to wire.NodeID) {
	best := 0
	for i := range l.m.Placements {
		at := &l.m.Placements[i]
		if touched[at.Group] {
			continue
		}
		for _, r := range at.Replicas {
			node, ok := l.best(at, r.Node)
			if !ok {
				continue
			}
			zones := l.sharing(at, r.Node, "") - l.sharing(at, node, r.Node)
			even := l.load[r.Node] - l.load[node] - 1
			if won := zones*1000 + even; zones >= 0 && even+zones > 0 && won > best {
				best, p, from, to = won, at, r.Node, node
			}
		}
	}
	return p, from, to
}
