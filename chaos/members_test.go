//go:build linux

package chaos

import (
	"testing"
)

// TestMembership changes who holds what while messages go on: a node joins and takes its share, another is emptied, leaders
// included, and then killed, as it is not needed any more.
func TestMembership(t *testing.T) {
	needs(t, modeShort)
	c := start(t, setup{nodes: 3, groups: 4})
	l := startLoad(c)
	all := func(int) bool { return true }
	c.spread()

	l.awaitRate()
	from := l.now()
	n4 := c.join()
	await(t, "the node that joined to hold its share", func() bool { return c.rebalance() == 0 && c.count(n4.i) > 0 })
	c.awaitMoved()
	l.awaitAll(5)
	rowOf("a node joins and takes its share").note(c, l, from, all)
	c.verify(l)
	l.resume()

	l.awaitRate()
	from = l.now()
	c.operate("CLUSTER", "DRAIN", c.nodes[0].id)
	c.awaitMoved()
	await(t, "n1 to hold nothing", func() bool { return c.count(0) == 0 })
	c.nodes[0].kill()
	l.awaitAll(20)
	rowOf("a node is drained and ends").note(c, l, from, all)
	c.nodes[0].start(t)
	await(t, "n1 to know that it holds nothing", func() bool { return c.count(0) == 0 })
	c.verify(l)
}

// join starts a node that becomes part of the cluster.
func (c *cluster) join() *node {
	c.t.Helper()
	token := c.operate("CLUSTER", "TOKEN", "600").Str()
	n := c.add()
	n.argv = append(n.argv, "--join", c.nodes[1].respAddr(), "--join-token", token)
	n.start(c.t)
	await(c.t, n.id+" to be part of the cluster", func() bool {
		nodes := c.operate("CLUSTER", "STATUS").Field("nodes").Elems()
		for i := range nodes {
			if nodes[i].Field("nodeId").Str() == n.id && nodes[i].Field("alive").Bool() {
				_, ok := c.ask(n.i)
				return ok
			}
		}
		return false
	})
	return n
}

// rebalance asks for replicas to be spread over all nodes, and gives the number of groups that this moves.
func (c *cluster) rebalance() uint64 {
	c.t.Helper()
	c.awaitMoved()
	return c.operate("CLUSTER", "REBALANCE").Num()
}

// awaitMoved waits until every group is as it is meant to be.
func (c *cluster) awaitMoved() {
	c.t.Helper()
	await(c.t, "all replicas to be where they belong", func() bool {
		status := c.operate("CLUSTER", "STATUS")
		placements := status.Field("placements").Elems()
		for i := range placements {
			if placements[i].Field("moving").Num() != 0 || len(placements[i].Field("leaving").Elems()) > 0 {
				return false
			}
		}
		return len(placements) > 0
	})
}

// count gives the number of groups that node i has a replica of.
func (c *cluster) count(i int) (n int) {
	c.t.Helper()
	for _, held := range c.held(i) {
		if held {
			n++
		}
	}
	return n
}
