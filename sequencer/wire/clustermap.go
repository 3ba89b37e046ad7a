package wire

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MetaGroup is the group that holds the cluster map. Every node follows it; the others hold chats and users.
const MetaGroup GroupID = 0xFFFF

// ReplicaID names one replica of a group: the node that holds it, and how often the group has been given a replica before.
// A replica that is gone never comes back under the same name, as what it had voted for is gone with it.
type ReplicaID struct {
	Node       NodeID `json:"node"`
	Generation uint64 `json:"generation"` // from 1; unique within the group
}

// String gives "n2/7". A node's id holds no slash.
func (r ReplicaID) String() string {
	return string(r.Node) + "/" + strconv.FormatUint(r.Generation, 10)
}

// ParseReplicaID is the inverse of String.
func ParseReplicaID(text string) (ReplicaID, error) {
	node, number, ok := strings.Cut(text, "/")
	generation, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil || generation == 0 || CheckID("node", node) != nil {
		return ReplicaID{}, fmt.Errorf("%w: %.80q names no replica", ErrBadRequest, text)
	}
	return ReplicaID{Node: NodeID(node), Generation: generation}, nil
}

// NodeState says what the cluster wants of a node.
type NodeState string

// The states of a node.
const (
	NodeActive   NodeState = "active"   // may hold replicas
	NodeDraining NodeState = "draining" // is to hold none: its replicas move away
	NodeLost     NodeState = "lost"     // is given up: its replicas are made anew elsewhere, and its id may not vote again
)

// NodeInfo is a node as the cluster map knows it.
type NodeInfo struct {
	ID          NodeID    `json:"id"`
	Incarnation string    `json:"incarnation"` // of its data: a node that comes back without it is another one
	RaftAddr    string    `json:"raftAddr"`
	RESPAddr    string    `json:"respAddr"`
	OpsAddr     string    `json:"opsAddr,omitempty"`
	Region      string    `json:"region,omitempty"`
	Zone        string    `json:"zone,omitempty"`
	Version     string    `json:"version,omitempty"` // of its program, as of its last start
	Format      Format    `json:"format,omitempty"`  // the newest that it knows, as of its last start
	State       NodeState `json:"state"`
	Joined      Millis    `json:"joined"`
}

// Placement says which replicas a group is meant to have. The group's own Raft configuration follows it, step by step.
type Placement struct {
	Group     GroupID     `json:"group"`
	Replicas  []ReplicaID `json:"replicas"`            // meant to vote
	Followers []ReplicaID `json:"followers,omitempty"` // meant to follow without a vote
	Leaving   []ReplicaID `json:"leaving,omitempty"`   // meant to go, and not yet known to be out of the Raft configuration
	Next      uint64      `json:"next"`                // the generation of the next new replica
}

// New gives a name to a new replica of the group on a node.
func (p *Placement) New(node NodeID) ReplicaID {
	r := ReplicaID{Node: node, Generation: p.Next}
	p.Next++
	return r
}

// Wants reports whether a replica is meant to be there, and whether it is meant to vote.
func (p *Placement) Wants(r ReplicaID) (there, voter bool) {
	voter = slices.Contains(p.Replicas, r)
	return voter || slices.Contains(p.Followers, r), voter
}

// Drop takes whatever is meant to be on a node out of the placement; it stays in Leaving until it has left.
func (p *Placement) Drop(node NodeID) {
	for _, list := range []*[]ReplicaID{&p.Replicas, &p.Followers} {
		*list = slices.DeleteFunc(*list, func(r ReplicaID) bool {
			if r.Node == node && !slices.Contains(p.Leaving, r) {
				p.Leaving = append(p.Leaving, r)
			}
			return r.Node == node
		})
	}
}

// Holds gives the replica on a node, of those that are meant to be there or have not left yet.
func (p *Placement) Holds(node NodeID) (ReplicaID, bool) {
	for _, list := range [][]ReplicaID{p.Replicas, p.Followers, p.Leaving} {
		for _, r := range list {
			if r.Node == node {
				return r, true
			}
		}
	}
	return ReplicaID{}, false
}

// JoinToken lets nodes join until it ends. The map holds its hash only.
type JoinToken struct {
	SHA256  string `json:"sha256"` // hex
	Expires Millis `json:"expires"`
}

// ClusterMap is what all nodes agree on: who they are, and who holds what. It is one record of the meta group, replaced as
// a whole where nobody else has changed it meanwhile.
type ClusterMap struct {
	Format     Format            `json:"format"` // that all nodes write, this map included
	ClusterID  string            `json:"clusterId"`
	Version    uint64            `json:"version"`    // one more with each change
	Groups     int               `json:"groups"`     // fixed when the cluster is made
	Nodes      []NodeInfo        `json:"nodes"`      // by id
	Placements []Placement       `json:"placements"` // of the groups 0 to Groups-1, and behind them of MetaGroup
	Settings   map[string]string `json:"settings,omitempty"`
	Tokens     []JoinToken       `json:"tokens,omitempty"`
}

// MaxMapBytes bounds an encoded ClusterMap.
const MaxMapBytes = 1 << 20

// Node gives a node of the map, for reading and writing; nil where there is none.
func (m *ClusterMap) Node(id NodeID) *NodeInfo {
	i, ok := slices.BinarySearchFunc(m.Nodes, id, func(n NodeInfo, id NodeID) int { return strings.Compare(string(n.ID), string(id)) })
	if !ok {
		return nil
	}
	return &m.Nodes[i]
}

// PutNode adds a node, or replaces the one of the same id.
func (m *ClusterMap) PutNode(n NodeInfo) {
	if old := m.Node(n.ID); old != nil {
		*old = n
		return
	}
	m.Nodes = append(m.Nodes, n)
	slices.SortFunc(m.Nodes, func(a, b NodeInfo) int { return strings.Compare(string(a.ID), string(b.ID)) })
}

// Placement gives the placement of a group, for reading and writing; nil where the group is none of the cluster's.
func (m *ClusterMap) Placement(g GroupID) *Placement {
	for i := range m.Placements {
		if m.Placements[i].Group == g {
			return &m.Placements[i]
		}
	}
	return nil
}

// Encode gives the map's bytes, or ErrTooLarge.
func (m *ClusterMap) Encode() ([]byte, error) {
	m.Format = m.Format.OrOldest()
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode the cluster map: %w", err)
	}
	if len(b) > MaxMapBytes {
		return nil, fmt.Errorf("%w: the cluster map would have %d bytes, at most %d fit", ErrTooLarge, len(b), MaxMapBytes)
	}
	return b, nil
}

// DecodeClusterMap is the inverse of Encode. A map of a later format is refused: who writes it back would lose what it
// does not know.
func DecodeClusterMap(b []byte) (*ClusterMap, error) {
	var m ClusterMap
	if len(b) > MaxMapBytes {
		return nil, fmt.Errorf("decode the cluster map: %w: %d bytes", ErrTooLarge, len(b))
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("decode the cluster map: %w", err)
	}
	if !m.Format.Known() {
		return nil, fmt.Errorf("decode the cluster map: %w: format %d, this program knows %d to %d", ErrFormat, m.Format,
			OldestFormat, NewestFormat)
	}
	return &m, nil
}
