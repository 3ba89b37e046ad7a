package sequencer_test

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// TestCluster_TellsItsShape looks that all nodes tell the same of slots and leaders, in every form.
func TestCluster_TellsItsShape(t *testing.T) {
	const groups = 3
	c := sequencertest.Start(t, 3, groups)
	ids := map[string]string{}
	for _, addr := range c.Addrs() {
		ids[addr] = fmt.Sprint(dial(t, addr).do("CLUSTER", "MYID"))
		if !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(ids[addr]) {
			t.Errorf("%s has the id %q", addr, ids[addr])
		}
	}
	for _, addr := range c.Addrs() {
		node := dial(t, addr)
		slots := list(t, works(t, node.do("CLUSTER", "SLOTS")))
		shards := list(t, works(t, node.do("CLUSTER", "SHARDS")))
		lines := fmt.Sprint(node.do("CLUSTER", "NODES"))
		if len(slots) != groups || len(shards) != groups {
			t.Fatalf("%d runs of slots and %d shards for %d groups", len(slots), len(shards), groups)
		}
		for g := range wire.GroupID(groups) {
			first, last := wire.SlotRange(g, groups)
			leader := c.Addrs()[c.Leader(g)]
			run := list(t, slots[g])
			if run[0] != int64(first) || run[1] != int64(last) || len(run) != 2+3 {
				t.Errorf("group %d: %v, want slots %d-%d on three nodes", g, run, first, last)
			}
			master := list(t, run[2])
			if at := net.JoinHostPort(master[0].(string), fmt.Sprint(master[1])); at != leader || master[2] != ids[leader] {
				t.Errorf("group %d is led by %v, want %s", g, master, leader)
			}
			shard := fields(t, shards[g])
			top := fields(t, list(t, shard["nodes"])[0])
			if fmt.Sprint(shard["slots"]) != fmt.Sprintf("[%d %d]", first, last) || top["id"] != ids[leader] || top["role"] != "master" {
				t.Errorf("group %d: shard %v", g, shard)
			}
			if !regexp.MustCompile(fmt.Sprintf(`(?m)^%s %s@\d+ (myself,)?master .*\b%d-%d\b`, ids[leader], leader, first, last)).MatchString(lines) {
				t.Errorf("group %d: no line for %s in\n%s", g, leader, lines)
			}
		}
		if strings.Count(lines, "myself,") != 1 || strings.Count(lines, "\n") != 3 {
			t.Errorf("CLUSTER NODES:\n%s", lines)
		}
		if info := fmt.Sprint(node.do("CLUSTER", "INFO")); !strings.Contains(info, "cluster_state:ok\r\n") ||
			!strings.Contains(info, "cluster_known_nodes:3\r\n") {
			t.Errorf("CLUSTER INFO:\n%s", info)
		}
	}
}

func TestCluster_LeadershipIsHandedOver(t *testing.T) {
	c := sequencertest.Start(t, 3, 1)
	from := c.Leader(0)
	to := (from + 1) % 3
	leader := dial(t, c.Addrs()[from])
	failsWith(t, dial(t, c.Addrs()[to]).do("RAFT", "TRANSFER", "0"), "MOVED")
	if got := works(t, leader.do("RAFT", "TRANSFER", "0", fmt.Sprint("n", to+1))); got != "OK" {
		t.Errorf("RAFT TRANSFER answers %v", got)
	}
	eventually(t, "the new leader to serve", func() bool { return c.Node(to).Leads(0) })
	eventually(t, "all to know the leader", func() bool {
		for _, addr := range c.Addrs() {
			for _, peer := range list(t, works(t, dial(t, addr).do("RAFT", "PEERS", "0"))) {
				p := fields(t, peer)
				if (p["leader"] == int64(1)) != (p["nodeId"] == fmt.Sprint("n", to+1)) {
					return false
				}
			}
		}
		return true
	})
}

// TestReads_OfAReplica: what is not the leader answers STALE reads, and after READONLY all of them.
func TestReads_OfAReplica(t *testing.T) {
	c := sequencertest.Start(t, 3, 1)
	leader := dial(t, c.Addrs()[c.Leader(0)])
	replica := dial(t, c.Addrs()[(c.Leader(0)+1)%3])
	works(t, leader.do("CHAT.CREATE", "c", "group", "alice"))
	works(t, leader.do("CHAT.APPEND", "c", "alice", "m1", "hello"))
	reads := [][]string{
		{"CHAT.RANGE", "c", "1", "5"},
		{"CHAT.GET", "c"},
		{"CHAT.HEAD", "c"},
		{"CHAT.RECEIPTS", "c"},
		{"CHAT.MEMBERS", "c"},
		{"USER.CHATS", "alice"},
	}
	for _, read := range reads {
		failsWith(t, replica.do(read...), "MOVED")
		eventually(t, "the replica to follow", func() bool {
			_, failed := replica.do(append(slices.Clone(read), "STALE")...).(replyError)
			return !failed
		})
	}
	works(t, replica.do("READONLY"))
	for _, read := range reads {
		works(t, replica.do(read...))
	}
	failsWith(t, replica.do("CHAT.APPEND", "c", "alice", "m2", "hello"), "MOVED")
	works(t, replica.do("READWRITE"))
	failsWith(t, replica.do("CHAT.GET", "c"), "MOVED")
	eventually(t, "the replica to have the feed", func() bool {
		return len(list(t, fields(t, replica.do("FEED.READ", "0", "1"))["events"])) == 2
	})
}

func TestNoQuorum_SaysSo(t *testing.T) {
	c := sequencertest.Start(t, 3, 1)
	last := c.Leader(0)
	conn := dial(t, c.Addrs()[last])
	works(t, conn.do("CHAT.CREATE", "c", "group", "alice"))
	for i := range c.Len() {
		if i != last {
			c.Kill(i)
		}
	}
	eventually(t, "no leader to be known", func() bool {
		err, ok := conn.do("CHAT.APPEND", "c", "alice", "m1", "hello").(replyError)
		return ok && strings.HasPrefix(string(err), "CLUSTERDOWN ")
	})
	failsWith(t, conn.do("CHAT.GET", "c"), "CLUSTERDOWN")
	works(t, conn.do("CHAT.GET", "c", "STALE"))
	if slots := list(t, works(t, conn.do("CLUSTER", "SLOTS"))); len(slots) != 0 {
		t.Errorf("CLUSTER SLOTS without a leader: %v", slots)
	}
	if info := fmt.Sprint(conn.do("CLUSTER", "INFO")); !strings.Contains(info, "cluster_state:fail") {
		t.Errorf("CLUSTER INFO without a leader:\n%s", info)
	}
}

func TestInfo_Tells(t *testing.T) {
	c := dial(t, openNode(t, nil).RESPAddr())
	works(t, c.do("CHAT.CREATE", "c", "group", "alice"))
	works(t, c.do("CHAT.APPEND", "c", "alice", "m1", "hello"))
	works(t, c.do("CHAT.GET", "c"))
	info := fmt.Sprint(c.do("INFO"))
	for _, want := range []string{
		"# Server\r\n", "redis_version:7.", "quorate_version:test\r\n", "node_id:n1\r\n", "connected_clients:1\r\n", "appends:1\r\n",
		"reads:1\r\n", "groups:2\r\n", "groups_led:2\r\n", "group0:state=leader,serving=true,leader=n1,term=", "panics:0\r\n",
	} {
		if !strings.Contains(info, want) {
			t.Errorf("INFO lacks %q:\n%s", want, info)
		}
	}
	if part := fmt.Sprint(c.do("INFO", "raft")); strings.Contains(part, "# Server") || !strings.HasPrefix(part, "# Raft\r\n") {
		t.Errorf("INFO raft: %s", part)
	}
}
