package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// clusterLook is what the nodes of a cluster say of themselves and of each other, looked at twice.
type clusterLook struct {
	Nodes  []nodeView
	Groups []groupView
	Slots  int // that some node's table gives a leader; the best table counts
}

// nodeView is one node that was asked.
type nodeView struct {
	ID      string `json:"nodeId"` // "" where nobody could tell
	Addr    string `json:"respAddr"`
	Version string `json:"version"`
	State   string `json:"state"` // that the cluster wants it in: active, draining or lost; "" where it is not known
	Err     error  `json:"-"`     // why it could not be asked; nil where it answered
}

// groupView is one group.
type groupView struct {
	Group    int
	Replicas []replicaView
}

// replicaView is one replica of a group: what its own node says, and where that does not answer, what others do.
type replicaView struct {
	Node     string
	Name     string // of the replica: its node and a number
	Voter    bool
	Answers  bool
	State    string
	Term     uint64
	Commit   uint64
	Applied  uint64
	Later    uint64 // Applied at the second look
	LaterEnd uint64 // Commit at the second look
}

// maxCheckedNodes bounds how many nodes one check asks.
const maxCheckedNodes = 64

// nodeTime is how long one node may take to answer.
const nodeTime = 2 * time.Second

// looker asks nodes.
type looker struct {
	client *wire.Client
	mu     sync.Mutex
	nodes  []nodeView
	said   map[string][]raftPeer // by address
	listed clusterView           // the newest cluster map
	slots  int
}

// lookAt asks the seeds, and all nodes that they name, for how they and their groups stand; and again after interval. It
// needs no leader. It ends with ctx, with what it knows by then.
func lookAt(ctx context.Context, client *wire.Client, seeds []string, interval time.Duration) *clusterLook {
	l := &looker{client: client, said: map[string][]raftPeer{}}
	asked := map[string]bool{}
	for next := seeds; len(next) > 0; next = l.unasked(asked) {
		var round sync.WaitGroup
		for _, addr := range next {
			if addr == "" || asked[addr] || len(asked) >= maxCheckedNodes {
				continue
			}
			asked[addr] = true
			round.Go(func() { l.ask(ctx, addr) })
		}
		round.Wait()
	}
	view := l.view()
	if len(l.said) > 0 && pauseFor(ctx, interval) {
		l.again(ctx, view)
	}
	return view
}

func pauseFor(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// ask asks one node for everything.
func (l *looker) ask(ctx context.Context, addr string) {
	ctx, cancel := context.WithTimeout(ctx, nodeTime)
	defer cancel()
	node := nodeView{Addr: addr}
	var slots int
	peers, err := allPeers(ctx, l.client, addr)
	if err == nil {
		node.ID, node.Version, err = nodeIdentity(ctx, l.client, addr)
	}
	if err == nil {
		slots, err = nodeSlots(ctx, l.client, addr)
	}
	var listed clusterView
	if err == nil {
		// A node that waits to join has no map yet, which is no reason to leave it out.
		if reply, noMap := l.client.DoNode(ctx, addr, "CLUSTER", "STATUS"); noMap == nil {
			listed = viewOf(reply)
		}
	}
	node.Err = err
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && slices.ContainsFunc(l.nodes, func(n nodeView) bool { return n.Err == nil && n.ID == node.ID }) {
		return // the same node under another address
	}
	l.nodes = append(l.nodes, node)
	if err == nil {
		l.said[addr] = peers
		l.slots = max(l.slots, slots)
		if listed.Version >= l.listed.Version {
			l.listed = listed
		}
	}
}

// allPeers asks a node for the replicas of all groups, and of the meta group where it is part of a cluster.
func allPeers(ctx context.Context, client *wire.Client, addr string) ([]raftPeer, error) {
	peers, err := nodePeers(ctx, client, addr, []string{"RAFT", "PEERS"})
	if err != nil {
		return nil, err
	}
	if meta, err := nodePeers(ctx, client, addr, []string{"RAFT", "PEERS", "meta"}); err == nil {
		peers = append(peers, meta...)
	}
	return peers, nil
}

// nodeIdentity asks a node for its id and its version.
func nodeIdentity(ctx context.Context, client *wire.Client, addr string) (id, version string, err error) {
	reply, err := client.DoNode(ctx, addr, "INFO", "server")
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(reply.Str()) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); name {
		case "node_id":
			id = value
		case "quorate_version":
			version = value
		}
	}
	if id == "" {
		return "", "", errors.New("it does not say which node it is")
	}
	return id, version, nil
}

// nodeSlots asks a node how many slots have a leader.
func nodeSlots(ctx context.Context, client *wire.Client, addr string) (n int, err error) {
	reply, err := client.DoNode(ctx, addr, "CLUSTER", "SLOTS")
	if err != nil {
		return 0, err
	}
	for _, run := range reply.Elems() {
		if e := run.Elems(); len(e) > 2 {
			n += int(e[1].Num()) - int(e[0].Num()) + 1
		}
	}
	return n, nil
}

// unasked gives the addresses that nodes name and that were not asked.
func (l *looker) unasked(asked map[string]bool) (addrs []string) {
	add := func(addr string) {
		if addr != "" && !asked[addr] && len(asked) < maxCheckedNodes {
			addrs = append(addrs, addr)
		}
	}
	for _, peers := range l.said {
		for _, p := range peers {
			add(p.RESPAddr)
		}
	}
	for _, n := range l.listed.Nodes {
		if n.State != string(wire.NodeLost) {
			add(n.RESPAddr)
		}
	}
	return addrs
}

// view puts together what the nodes said.
func (l *looker) view() *clusterLook {
	v := &clusterLook{Nodes: l.nodes, Slots: l.slots}
	names := map[string]string{} // of nodes by address, for those that did not say it themselves
	for _, peers := range l.said {
		for _, p := range peers {
			names[p.RESPAddr] = p.Node
			v.note(p)
		}
	}
	for _, n := range l.listed.Nodes {
		names[n.RESPAddr] = n.ID
	}
	answers := map[string]bool{}
	for i := range v.Nodes {
		if n := &v.Nodes[i]; n.Err != nil {
			n.ID = names[n.Addr]
		} else {
			answers[n.ID] = true
		}
	}
	v.addUnknown(answers)
	for i := range v.Nodes {
		for _, n := range l.listed.Nodes {
			if v.Nodes[i].ID == n.ID {
				v.Nodes[i].State = n.State
			}
		}
	}
	slices.SortFunc(v.Nodes, func(a, b nodeView) int { return strings.Compare(a.ID+" "+a.Addr, b.ID+" "+b.Addr) })
	slices.SortFunc(v.Groups, func(a, b groupView) int { return a.Group - b.Group })
	for _, g := range v.Groups {
		slices.SortFunc(g.Replicas, func(a, b replicaView) int { return strings.Compare(a.Node+" "+a.Name, b.Node+" "+b.Name) })
	}
	return v
}

// addUnknown adds nodes that hold replicas and whose address nobody knows.
func (v *clusterLook) addUnknown(answers map[string]bool) {
	for _, g := range v.Groups {
		for i := range g.Replicas {
			r := &g.Replicas[i]
			r.Answers = answers[r.Node] && r.State != ""
			if !slices.ContainsFunc(v.Nodes, func(n nodeView) bool { return n.ID == r.Node }) {
				v.Nodes = append(v.Nodes, nodeView{ID: r.Node, Err: errors.New("no node knows its address")})
			}
		}
	}
}

// note takes over one line of RAFT PEERS. A node's word of itself counts more than another's.
func (v *clusterLook) note(p raftPeer) {
	i := slices.IndexFunc(v.Groups, func(g groupView) bool { return g.Group == p.Group })
	if i < 0 {
		i = len(v.Groups)
		v.Groups = append(v.Groups, groupView{Group: p.Group})
	}
	g := &v.Groups[i]
	j := slices.IndexFunc(g.Replicas, func(r replicaView) bool { return r.Node == p.Node && r.Name == p.Replica })
	if j < 0 {
		j = len(g.Replicas)
		g.Replicas = append(g.Replicas, replicaView{Node: p.Node, Name: p.Replica})
	}
	r := &g.Replicas[j]
	r.Voter = r.Voter || p.Suffrage == "voter"
	if p.State != "" {
		r.State, r.Term, r.Commit, r.Applied = p.State, p.Term, p.Commit, p.Applied
		r.Later, r.LaterEnd = p.Applied, p.Commit
	}
}

// again looks at the replicas a second time.
func (l *looker) again(ctx context.Context, v *clusterLook) {
	var round sync.WaitGroup
	var mu sync.Mutex
	for addr := range l.said {
		round.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, nodeTime)
			defer cancel()
			peers, err := allPeers(ctx, l.client, addr)
			if err != nil {
				return // it answered a moment ago; the next check will tell
			}
			mu.Lock()
			defer mu.Unlock()
			for _, p := range peers {
				if p.State != "" {
					v.noteLater(p)
				}
			}
		})
	}
	round.Wait()
}

func (v *clusterLook) noteLater(p raftPeer) {
	for _, g := range v.Groups {
		for i := range g.Replicas {
			if r := &g.Replicas[i]; g.Group == p.Group && r.Node == p.Node && r.Name == p.Replica {
				r.Later, r.LaterEnd = p.Applied, p.Commit
			}
		}
	}
}

// groupName is a group's number, or what it is.
func groupName(group int) string {
	if group == int(wire.MetaGroup) {
		return "meta"
	}
	return fmt.Sprint(group)
}
