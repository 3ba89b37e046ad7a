package sequencer

import (
	"errors"
	"time"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// mapPoll is how often the map is looked at without being told: what failed is tried again then.
const mapPoll = time.Second

// clusterMap gives the map as this node's replica of the meta group has it, nil where there is none. It is not to be
// changed.
func (n *Node) clusterMap() *wire.ClusterMap { return n.theMap.Load() }

// followMap does what the cluster map wants of this node, until the node ends: it makes replicas, gives others up and knows
// the other nodes.
func (n *Node) followMap() {
	defer n.done.Done()
	for {
		changed := (<-chan struct{})(nil)
		if meta := n.replicas().meta; meta != nil {
			changed = meta.store().MapChanged()
			if m := n.readMap(meta); m != nil {
				n.adopt(m)
			}
		} else {
			n.askForMeta()
		}
		select {
		case <-changed:
		case <-time.After(mapPoll):
		case <-n.closing:
			return
		}
	}
}

// format is the one that this node writes.
func (n *Node) format() wire.Format {
	if m := n.theMap.Load(); m != nil {
		return m.Format
	}
	return wire.OldestFormat
}

// readMap reads the map of a replica of the meta group. It is nil where there is none, or one that this node is past.
func (n *Node) readMap(meta *host) *wire.ClusterMap {
	version, body, err := meta.store().ClusterMap()
	if err != nil || version == 0 || version < n.identity.get().MapVersion {
		return nil
	}
	if m := n.theMap.Load(); m != nil && m.Version == version {
		return m
	}
	m, err := wire.DecodeClusterMap(body)
	if errors.Is(err, wire.ErrFormat) {
		n.cfg.Fatal(err)
	}
	if err != nil {
		n.log.Error("the cluster map cannot be read", "version", version, "err", err)
		return nil
	}
	m.Version = version
	n.theMap.Store(m)
	return m
}

// adopt makes this node's replicas those that the map names.
func (n *Node) adopt(m *wire.ClusterMap) {
	for _, node := range m.Nodes {
		if node.State != wire.NodeLost {
			n.cards.follow([]raftfsm.Peer{{ID: node.ID, RaftAddr: node.RaftAddr}})
		}
	}
	n.cards.keepOnly(m)
	f := n.identity.get()
	if m.Version > f.MapVersion {
		err := n.identity.update(func(f *identityFile) { f.MapVersion, f.First = m.Version, nil })
		if err != nil {
			n.cfg.Fatal(err)
			return
		}
	}
	for i := range m.Placements {
		if err := n.adoptPlacement(&m.Placements[i], f.Made); err != nil {
			n.log.Error("a replica is not as the cluster wants it", "group", m.Placements[i].Group, "err", err)
		}
	}
}

func (n *Node) adoptPlacement(p *wire.Placement, made map[wire.GroupID]uint64) error {
	mine, wanted := p.Holds(n.cfg.NodeID)
	h := n.replicas().host(p.Group)
	if h != nil && (!wanted || mine.Generation > h.generation) {
		n.log.Info("a replica has moved away", "group", p.Group, "generation", h.generation)
		if err := n.dropReplica(h); err != nil {
			return err
		}
		h = nil
	}
	if h != nil || !wanted || made[p.Group] >= mine.Generation {
		return nil // where it was made and is not there, the cards tell that it is lost
	}
	n.log.Info("a replica moves here", "group", p.Group, "generation", mine.Generation)
	return n.makeReplica(p.Group, mine.Generation, nil)
}
