package sequencer

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/sequencer/wire"
)

// nodesOf makes nodes n1, n2 … whose zones are the letters of zones.
func nodesOf(zones string) (nodes []wire.NodeInfo) {
	for i, z := range zones {
		nodes = append(nodes, wire.NodeInfo{ID: wire.NodeID(fmt.Sprintf("n%d", i+1)), Zone: string(z)})
	}
	return nodes
}

func TestLayout_FirstMapSpreadsVotersOverZones(t *testing.T) {
	m := firstMap("c", 8, 3, nodesOf("aabbcc"), nil)
	load := map[wire.NodeID]int{}
	for _, p := range m.Placements {
		zones := map[string]bool{}
		for _, r := range p.Replicas {
			zones[m.Node(r.Node).Zone] = true
			load[r.Node]++
		}
		if len(p.Replicas) != 3 || len(zones) != 3 {
			t.Errorf("group %d: %v", p.Group, p.Replicas)
		}
	}
	for node, n := range load { // 9 groups with 3 voters on 6 nodes
		if n < 4 || n > 5 {
			t.Errorf("%s holds %d voters", node, n)
		}
	}
	if meta := m.Placement(wire.MetaGroup); len(meta.Replicas)+len(meta.Followers) != 6 {
		t.Errorf("the meta group: %+v", meta)
	}
}

func TestLayout_NumberOfVotersIsOdd(t *testing.T) {
	for _, c := range []struct{ wanted, nodes, voters int }{
		{3, 0, 1}, {3, 1, 1}, {3, 2, 1}, {3, 3, 3}, {3, 9, 3}, {5, 4, 3}, {5, 5, 5}, {1, 5, 1},
	} {
		if got := voters(c.wanted, c.nodes); got != c.voters {
			t.Errorf("%d wanted of %d nodes: %d, want %d", c.wanted, c.nodes, got, c.voters)
		}
	}
}

// checkMap says what is wrong with a map.
func checkMap(m *wire.ClusterMap) error {
	for _, p := range m.Placements {
		nodes, generations := map[wire.NodeID]bool{}, map[uint64]bool{}
		for _, r := range slices.Concat(p.Replicas, p.Followers, p.Leaving) {
			if generations[r.Generation] || r.Generation >= p.Next {
				return fmt.Errorf("group %d: generation %d is given twice, or will be", p.Group, r.Generation)
			}
			generations[r.Generation] = true
		}
		for _, r := range slices.Concat(p.Replicas, p.Followers) {
			if nodes[r.Node] {
				return fmt.Errorf("group %d: two replicas on %s", p.Group, r.Node)
			}
			nodes[r.Node] = true
			if m.Node(r.Node) == nil {
				return fmt.Errorf("group %d: a replica on %s, which is no node", p.Group, r.Node)
			}
		}
		if len(p.Replicas) == 0 {
			return fmt.Errorf("group %d has no voter", p.Group)
		}
	}
	return nil
}

// Whatever operators ask for in whatever order, no group is planned to lose a majority at once, and the groups can always
// follow: a model of their Raft configurations takes the steps.
func TestLayout_GroupsFollowWhateverIsAskedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zones := rapid.SliceOfN(rapid.RuneFrom([]rune("abc")), 1, 7).Draw(t, "zones")
		m := firstMap("c", rapid.IntRange(1, 6).Draw(t, "groups"), rapid.SampledFrom([]int{1, 3, 5}).Draw(t, "replicas"),
			nodesOf(string(zones)), nil)
		views := map[wire.GroupID]*groupView{}
		for _, p := range m.Placements {
			v := &groupView{leader: p.Replicas[0]}
			for _, r := range p.Replicas {
				v.members = append(v.members, replicaView{id: r, voter: true, alive: true})
			}
			views[p.Group] = v
		}
		for range rapid.IntRange(1, 12).Draw(t, "operations") {
			operateOnModel(t, m)
			if err := checkMap(m); err != nil {
				t.Fatal(err)
			}
			for range rapid.SampledFrom([]int{0, 3, 1000}).Draw(t, "steps") {
				if !stepModel(t, m, views) {
					break
				}
			}
		}
		for steps := 0; stepModel(t, m, views); steps++ {
			if steps > 1000 {
				t.Fatalf("no end of steps: %+v", m.Placements)
			}
		}
		for _, p := range m.Placements {
			if v := views[p.Group]; len(p.Leaving) > 0 || len(v.members) != len(p.Replicas)+len(p.Followers) {
				t.Fatalf("group %d is %+v, meant %+v", p.Group, v, p)
			}
		}
	})
}

// operateOnModel does one thing that an operator, or a node that joins or is lost, can do.
func operateOnModel(t *rapid.T, m *wire.ClusterMap) {
	nodes := append([]wire.NodeID{"n9"}, "")
	for _, n := range m.Nodes {
		nodes = append(nodes, n.ID)
	}
	node := rapid.SampledFrom(nodes).Draw(t, "node")
	before, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	switch rapid.IntRange(0, 6).Draw(t, "operation") {
	case 0:
		err = drainNode(m, node)
	case 1:
		err = activate(m, node)
	case 2:
		err = replaceNode(m, node, rapid.SampledFrom(nodes).Draw(t, "by"))
	case 3:
		layoutOf(m).balance()
	case 4:
		err = moveReplica(m, wire.GroupID(rapid.IntRange(0, m.Groups-1).Draw(t, "group")), node, rapid.Bool().Draw(t, "add"))
	case 5:
		id := wire.NodeID(fmt.Sprintf("n%d", len(m.Nodes)+1))
		m.Tokens = []wire.JoinToken{{SHA256: tokenHash("t"), Expires: 2}}
		_, err = admit(m, wire.NodeInfo{ID: id, Incarnation: "i", RaftAddr: string(id)}, "t", 1)
	case 6:
		p := &m.Placements[rapid.IntRange(0, len(m.Placements)-1).Draw(t, "placement")]
		lostReplicas(m, p.Replicas[:1], p.Group)
	}
	if err != nil { // a change that is refused is not stored
		if !errors.Is(err, wire.ErrConflict) && !errors.Is(err, wire.ErrBadRequest) && !errors.Is(err, errUnchanged) &&
			!errors.Is(err, wire.ErrTryAgain) && !errors.Is(err, wire.ErrTooLarge) {
			t.Fatalf("refused with %v", err)
		}
		old, err := wire.DecodeClusterMap(before)
		if err != nil {
			t.Fatal(err)
		}
		*m = *old
	}
}

// stepModel takes one step of the first group that has one, and looks that a majority of the voters before is one after.
func stepModel(t *rapid.T, m *wire.ClusterMap, views map[wire.GroupID]*groupView) bool {
	for i := range m.Placements {
		p := &m.Placements[i]
		v := views[p.Group]
		for j := range v.members {
			v.members[j].caught = true
		}
		next, ok, _ := nextStep(p, v)
		if !ok {
			continue
		}
		at := slices.IndexFunc(v.members, func(r replicaView) bool { return r.id == next.replica })
		switch next.verb {
		case stepAdd:
			v.members = append(v.members, replicaView{id: next.replica, alive: true})
		case stepPromote:
			v.members[at].voter = true
		case stepDemote:
			v.members[at].voter = false
		case stepTransfer:
			if at < 0 || !v.members[at].voter {
				t.Fatalf("group %d is handed to %s, which has no vote: %+v", p.Group, next.replica, v)
			}
			v.leader = next.replica
		case stepRemove:
			if v.members[at].voter || v.leader == next.replica {
				t.Fatalf("group %d loses a voter at once: %+v", p.Group, v)
			}
			v.members = slices.Delete(v.members, at, at+1)
		case stepSettle:
			p.Leaving = nil
		}
		voting := 0
		for _, r := range v.members {
			if r.voter {
				voting++
			}
		}
		if voting == 0 || next.verb == stepDemote && voting < len(p.Replicas) {
			t.Fatalf("group %d has %d voters after %s: %+v, meant %+v", p.Group, voting, next.verb, v, p)
		}
		return true
	}
	return false
}

func TestSpreadStep_EvensLeadersOut(t *testing.T) {
	m := firstMap("c", 6, 3, nodesOf("abc"), nil)
	views := map[wire.GroupID]*groupView{}
	for _, p := range m.Placements {
		v := &groupView{leader: p.Replicas[0]}
		for _, r := range p.Replicas {
			v.members = append(v.members, replicaView{id: r, voter: true})
			if r.Node == "n1" {
				v.leader = r
			}
		}
		views[p.Group] = v
	}
	steps := 0
	for {
		g, to, ok := spreadStep(m.Placements, views, func(id wire.NodeID) bool { return id != "n3" })
		if !ok {
			break
		}
		if to == "n3" {
			t.Fatal("a node that does not answer is to lead")
		}
		r, _ := m.Placement(g).Holds(to)
		views[g].leader = r
		steps++
	}
	if steps != 3 { // n1 led 6 groups and the meta group
		t.Errorf("%d steps", steps)
	}
}
