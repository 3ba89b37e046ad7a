package sequencer

import (
	"context"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// askForMeta makes the replica of the meta group again on a node that lost it. Without it the node has no map that would
// tell it to: it asks the other nodes which generation they want here.
func (n *Node) askForMeta() {
	lost, ok := n.replicas().lost[wire.MetaGroup]
	if !ok {
		return
	}
	known, _ := n.cards.all()
	addrs := []string{}
	for _, card := range known {
		addrs = append(addrs, card.RESPAddr)
	}
	if n.cfg.Join != "" {
		addrs = append(addrs, n.cfg.Join)
	}
	for _, addr := range addrs {
		ctx, cancel := context.WithTimeout(n.life, 2*time.Second)
		r, err := n.client.DoNode(ctx, addr, "CLUSTER", "STATUS")
		cancel()
		if err != nil {
			continue
		}
		if generation := wantedHere(r, n.cfg.NodeID); generation > lost {
			n.log.Info("the replica of the meta group moves here", "generation", generation)
			if err := n.makeReplica(wire.MetaGroup, generation, nil); err != nil {
				n.log.Error("make the replica of the meta group", "err", err)
			}
			return
		}
	}
}

// wantedHere gives the generation of the meta group's replica that a cluster's status names for a node, 0 for none.
func wantedHere(status wire.Reply, node wire.NodeID) uint64 {
	for _, p := range status.Field("placements").Elems() {
		if wire.GroupID(p.Field("group").Num()) != wire.MetaGroup {
			continue
		}
		for _, list := range []string{"replicas", "followers"} {
			for _, r := range p.Field(list).Elems() {
				if id, err := wire.ParseReplicaID(r.Str()); err == nil && id.Node == node {
					return id.Generation
				}
			}
		}
	}
	return 0
}
