package sequencer

import (
	"crypto/sha1" //nolint:gosec // a name of 40 digits, nothing is proved by it
	"encoding/hex"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// cluster is CLUSTER SLOTS|SHARDS|NODES|INFO|MYID|KEYSLOT key|COUNTKEYSINSLOT slot|STATUS|SETTINGS, and what operate knows.
func cluster(c *conn, k *call, a args) error {
	n := c.node
	switch {
	case a.is(1, "SLOTS") && len(a) == 2:
		return k.answer(n.clusterSlots)
	case a.is(1, "SHARDS") && len(a) == 2:
		return k.answer(n.clusterShards)
	case a.is(1, "NODES") && len(a) == 2:
		return k.answer(func(r *reply) { r.str(n.clusterNodes()) })
	case a.is(1, "INFO") && len(a) == 2:
		return k.answer(func(r *reply) { r.str(n.clusterInfo()) })
	case a.is(1, "MYID") && len(a) == 2:
		return k.answer(func(r *reply) { r.str(redisID(n.cfg.NodeID)) })
	case a.is(1, "KEYSLOT") && len(a) == 3:
		return k.answer(func(r *reply) { r.int(int64(wire.SlotOf(a.str(2)))) })
	case a.is(1, "COUNTKEYSINSLOT") && len(a) == 3:
		if _, err := a.number(2, "slot", 0, wire.Slots-1); err != nil {
			return err
		}
		return k.answer(func(r *reply) { r.int(0) })
	case a.is(1, "STATUS") && len(a) == 2:
		return clusterStatus(c, k)
	case a.is(1, "SETTINGS") && len(a) == 2:
		return clusterSettings(c, k)
	case a.is(1, "HELP") && len(a) == 2:
		return helped(k, "CLUSTER SLOTS", "CLUSTER SHARDS", "CLUSTER NODES", "CLUSTER INFO", "CLUSTER MYID",
			"CLUSTER KEYSLOT key", "CLUSTER COUNTKEYSINSLOT slot", "CLUSTER STATUS", "CLUSTER SETTINGS", "CLUSTER REBALANCE",
			"CLUSTER DRAIN node", "CLUSTER ACTIVATE node", "CLUSTER REPLACE node [by]", "CLUSTER FORGET node", "CLUSTER TOKEN [seconds]",
			"CLUSTER SET key value", "CLUSTER JOIN node incarnation raftAddr respAddr … TOKEN token")
	}
	if known, err := operate(c, k, a); known {
		return err
	}
	return unknownSub("CLUSTER", a)
}

// redisID gives a node the kind of name that Redis's nodes have.
func redisID(id wire.NodeID) string {
	sum := sha1.Sum([]byte(id)) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}

// hostPort splits an address; a port that is none is 0.
func hostPort(addr string) (host string, port int64) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return addr, 0
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return host, 0
	}
	return host, int64(n)
}

// clusterSlots answers runs of slots, each with its leader and then its other nodes. Slots without a leader are left
// out: clients take the first node for the one to write to.
func (n *Node) clusterSlots(r *reply) {
	table := ledRanges(n.slotTable())
	r.array(len(table))
	for i := range table {
		r.array(2 + len(table[i].nodes))
		r.int(int64(table[i].first))
		r.int(int64(table[i].last))
		for _, node := range table[i].nodes {
			host, port := hostPort(node.RESPAddr)
			r.array(4)
			r.str(host)
			r.int(port)
			r.str(redisID(node.Node))
			r.array(0)
		}
	}
}

func ledRanges(table []slotRange) []slotRange {
	led := table[:0]
	for _, t := range table {
		if t.led {
			led = append(led, t)
		}
	}
	return led
}

// clusterShards answers a shard for each group.
func (n *Node) clusterShards(r *reply) {
	table := n.slotTable()
	r.array(len(table))
	for i := range table {
		r.maps(2)
		r.field("slots")
		r.array(2)
		r.int(int64(table[i].first))
		r.int(int64(table[i].last))
		r.field("nodes")
		r.array(len(table[i].nodes))
		for j, node := range table[i].nodes {
			role := "replica"
			if j == 0 && table[i].led {
				role = "master"
			}
			shardNode(r, node, role)
		}
	}
}

func shardNode(r *reply, node raftfsm.Card, role string) {
	host, port := hostPort(node.RESPAddr)
	r.maps(7)
	r.fieldStr("id", redisID(node.Node))
	r.fieldInt("port", port)
	r.fieldStr("ip", host)
	r.fieldStr("endpoint", host)
	r.fieldStr("role", role)
	r.fieldInt("replication-offset", 0)
	r.fieldStr("health", "online")
}

// clusterNodes gives a line for each known node, in the form of Redis's nodes.conf. A node that leads nothing is shown as
// a replica of the leader of the first group.
func (n *Node) clusterNodes() string {
	table := n.slotTable()
	var b strings.Builder
	var order []raftfsm.Card
	slots := map[wire.NodeID][]string{}
	seen := map[wire.NodeID]bool{}
	first := "-"
	for _, t := range table {
		for i, node := range t.nodes {
			if i == 0 && t.led {
				slots[node.Node] = append(slots[node.Node], slotText(t.first, t.last))
				if first == "-" {
					first = redisID(node.Node)
				}
			}
			if !seen[node.Node] {
				seen[node.Node] = true
				order = append(order, node)
			}
		}
	}
	if m := n.clusterMap(); m != nil { // and those that hold nothing
		for i := range m.Nodes {
			if card, ok := n.card(m.Nodes[i].ID); ok && !seen[card.Node] {
				order = append(order, card)
			}
		}
	}
	for _, node := range order {
		flags, master := "master", "-"
		if len(slots[node.Node]) == 0 {
			flags, master = "slave", first
		}
		if node.Node == n.cfg.NodeID {
			flags = "myself," + flags
		}
		_, port := hostPort(node.RaftAddr)
		fmt.Fprintf(&b, "%s %s@%d %s %s 0 0 1 connected", redisID(node.Node), node.RESPAddr, port, flags, master)
		for _, s := range slots[node.Node] {
			b.WriteString(" " + s)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func slotText(first, last wire.Slot) string {
	if first == last {
		return strconv.Itoa(int(first))
	}
	return fmt.Sprintf("%d-%d", first, last)
}

// clusterInfo gives the lines of CLUSTER INFO.
func (n *Node) clusterInfo() string {
	assigned, leaders, nodes := 0, map[wire.NodeID]bool{}, map[wire.NodeID]bool{}
	for _, t := range n.slotTable() {
		for _, node := range t.nodes {
			nodes[node.Node] = true
		}
		if t.led {
			assigned += int(t.last-t.first) + 1
			leaders[t.nodes[0].Node] = true
		}
	}
	state := "ok"
	if assigned < wire.Slots {
		state = "fail"
	}
	return fmt.Sprintf("cluster_enabled:1\r\ncluster_state:%s\r\ncluster_slots_assigned:%d\r\ncluster_slots_ok:%d\r\n"+
		"cluster_slots_pfail:0\r\ncluster_slots_fail:%d\r\ncluster_known_nodes:%d\r\ncluster_size:%d\r\n"+
		"cluster_current_epoch:1\r\ncluster_my_epoch:1\r\n",
		state, assigned, assigned, wire.Slots-assigned, len(nodes), len(leaders))
}
