package wire

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
)

// maxGroups bounds what is tried to tell the number of groups.
const maxGroups = 1024

// groupsOf gives all groups where only those that are led were told: how slots are spread over groups says which are missing.
// These keep the nodes that they had, without a leader.
func groupsOf(ranges []GroupRoute, old *routes) ([]GroupRoute, error) {
	slices.SortFunc(ranges, func(a, b GroupRoute) int { return cmp.Compare(a.First, b.First) })
	covered := 0
	for i, r := range ranges {
		if i > 0 && r.First <= ranges[i-1].Last {
			return nil, fmt.Errorf("%w: slot %d is served twice", errReply, r.First)
		}
		covered += int(r.Last-r.First) + 1
	}
	n := len(ranges)
	if covered < Slots {
		if n = countGroups(ranges); n == 0 {
			return nil, errTopology
		}
	}
	groups := make([]GroupRoute, n)
	for g := range groups {
		groups[g].Group = GroupID(g)
		groups[g].First, groups[g].Last = SlotRange(GroupID(g), n)
		if old != nil && len(old.groups) == n {
			groups[g].Replicas = old.groups[g].all()
		}
	}
	for i, r := range ranges {
		if r.Group = GroupID(i); covered < Slots {
			r.Group = GroupOf(r.First, n)
		}
		groups[r.Group] = r
	}
	return groups, nil
}

// countGroups tells how many groups there are from the ranges of some of them; 0 where that can not be told.
func countGroups(ranges []GroupRoute) int {
	found := 0
	for n := len(ranges) + 1; n <= maxGroups && len(ranges) > 0; n++ {
		fits := true
		for _, r := range ranges {
			first, last := SlotRange(GroupOf(r.First, n), n)
			fits = fits && first == r.First && last == r.Last
		}
		if fits && found != 0 {
			return 0
		}
		if fits {
			found = n
		}
	}
	return found
}

// decodeSlots reads the answer of the node at addr to CLUSTER SLOTS: runs of slots, each with its nodes, the leader first.
func decodeSlots(addr string, r Reply) ([]GroupRoute, error) {
	if r.kind != KindArray || len(r.elems) > Slots {
		return nil, fmt.Errorf("%w: CLUSTER SLOTS is not an array of ranges", errReply)
	}
	ranges := make([]GroupRoute, 0, len(r.elems))
	for _, e := range r.elems {
		if len(e.elems) < 3 {
			return nil, fmt.Errorf("%w: a range of slots without a node", errReply)
		}
		first, err1 := e.elems[0].Uint()
		last, err2 := e.elems[1].Uint()
		if err1 != nil || err2 != nil || first > last || last >= Slots {
			return nil, fmt.Errorf("%w: no range of slots", errReply)
		}
		g := GroupRoute{First: Slot(first), Last: Slot(last)}
		for i, node := range e.elems[2:] {
			nodeAddr, err := decodeNode(addr, node)
			switch {
			case err != nil:
				return nil, err
			case i == 0:
				g.Leader = nodeAddr
			case nodeAddr != g.Leader:
				g.Replicas = append(g.Replicas, nodeAddr)
			}
		}
		ranges = append(ranges, g)
	}
	return ranges, nil
}

// decodeNode reads host, port … of a node. One that does not know its own host means the one by which it was asked.
func decodeNode(asked string, r Reply) (string, error) {
	if len(r.elems) < 2 {
		return "", fmt.Errorf("%w: a node without an address", errReply)
	}
	host, port := r.elems[0].Str(), r.elems[1].Num()
	if host == "" || host == "?" {
		host, _, _ = net.SplitHostPort(asked) // dialled already, so it can be split
	}
	if host == "" || port == 0 || port > 65535 {
		return "", fmt.Errorf("%w: a node at %q port %d", errReply, host, port)
	}
	return net.JoinHostPort(host, strconv.FormatUint(port, 10)), nil
}
