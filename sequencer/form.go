package sequencer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// A cluster begins when each of its first nodes has heard from all the others: who they are and which incarnation of their
// data they have. The cluster's id is made of that, so all of them come to the same without a word more, also if some
// crash on the way. A node that lost its data has another incarnation; the others tell it that it is not the one that
// they began with.

// form waits for the other first nodes and makes this one part of the cluster.
func (n *Node) form(ctx context.Context) error {
	cards, err := n.meet(ctx)
	if err != nil {
		return err
	}
	id := clusterID(n.cfg.Groups, n.cfg.Replicas, cards)
	for _, c := range cards {
		if own := n.identity.get().Restored; c.Restored != own {
			return fmt.Errorf("node %s begins with %s and this node with %s: restore the same backup on all first nodes, or on none",
				c.Node, restoredText(c.Restored), restoredText(own))
		}
		if c.Cluster != "" && c.Cluster != id {
			return fmt.Errorf("node %s already belongs to a cluster that was made with other data than this node's (%s): "+
				"a node whose data is gone comes back under a new --node-id with --join", c.Node, n.cfg.NodeID)
		}
	}
	first := &firstCluster{Replicas: n.cfg.Replicas, Restored: n.restored}
	for _, c := range cards {
		first.Nodes = append(first.Nodes, nodeInfo(c, n.cfg.Clock()))
	}
	err = n.identity.update(func(f *identityFile) { f.ClusterID, f.Groups, f.First = id, n.cfg.Groups, first })
	if err != nil {
		return err
	}
	return n.openFirst()
}

// meet gives the cards of all first nodes, this one's too, by id.
func (n *Node) meet(ctx context.Context) ([]raftfsm.Card, error) {
	for {
		known, changed := n.cards.all()
		cards := []raftfsm.Card{n.selfCard()}
		var missing []string
		for _, p := range n.cfg.Bootstrap {
			if p.ID == n.cfg.NodeID {
				continue
			}
			if c, ok := known[p.ID]; ok {
				cards = append(cards, c)
			} else {
				missing = append(missing, string(p.ID))
			}
		}
		if len(missing) == 0 {
			slices.SortFunc(cards, func(a, b raftfsm.Card) int { return strings.Compare(string(a.Node), string(b.Node)) })
			return cards, nil
		}
		select {
		case <-changed:
		case <-time.After(meetNews):
			n.log.Info("the cluster begins when all of its first nodes are there", "missing", missing)
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the other first nodes (%s): %w", strings.Join(missing, ", "), ctx.Err())
		}
	}
}

const meetNews = 5 * time.Second

// clusterID names a cluster by what it begins with.
func clusterID(groups, replicas int, cards []raftfsm.Card) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%d groups, %d replicas\n", groups, replicas)
	for _, c := range cards {
		fmt.Fprintf(sum, "%s|%s|%s|%s\n", c.Node, c.Incarnation, c.RaftAddr, c.Zone)
	}
	if len(cards) > 0 && cards[0].Restored != "" {
		fmt.Fprintf(sum, "restored %s\n", cards[0].Restored)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

func nodeInfo(c raftfsm.Card, now wire.Millis) wire.NodeInfo {
	return wire.NodeInfo{
		ID: c.Node, Incarnation: c.Incarnation, RaftAddr: c.RaftAddr, RESPAddr: c.RESPAddr, OpsAddr: c.OpsAddr,
		Region: c.Region, Zone: c.Zone, Version: c.Version, Format: c.Format, State: wire.NodeActive, Joined: now,
	}
}

// openFirst makes the replicas that this node holds in a new cluster. After a crash it goes on where it was.
func (n *Node) openFirst() error {
	f := n.identity.get()
	n.sized(f.Groups)
	m := f.First.firstMap(f.ClusterID, f.Groups)
	addrs := map[wire.NodeID]string{}
	for _, node := range m.Nodes {
		addrs[node.ID] = node.RaftAddr
	}
	for _, p := range m.Placements {
		mine, ok := p.Holds(n.cfg.NodeID)
		if !ok {
			continue
		}
		var peers []raftfsm.Peer
		for _, r := range p.Replicas {
			peers = append(peers, raftfsm.Peer{ID: r.Node, Generation: r.Generation, RaftAddr: addrs[r.Node]})
		}
		if !slices.Contains(p.Replicas, mine) {
			peers = nil // it follows: the others add it
			if n.identity.get().Made[p.Group] == mine.Generation {
				continue // reopen has seen to it
			}
		}
		if n.replicas().host(p.Group) != nil {
			continue
		}
		if err := n.makeReplica(p.Group, mine.Generation, peers); err != nil {
			return err
		}
	}
	err := n.identity.update(func(f *identityFile) {
		first := *f.First
		first.Made = true
		f.First = &first
	})
	if err != nil {
		return err
	}
	return n.dropRestored()
}
