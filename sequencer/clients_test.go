package sequencer_test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// redisCLI runs redis-cli against a node and gives what it prints.
func redisCLI(t *testing.T, addr string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("redis-cli")
	if err != nil {
		t.Fatal("redis-cli is not installed; `make test` installs it (Debian: apt-get install redis-tools)")
	}
	host, port, _ := strings.Cut(addr, ":")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append([]string{"-h", host, "-p", port}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// settledCLI is redisCLI, again while leadership is on the move.
func settledCLI(t *testing.T, addr string, args ...string) string {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		out := redisCLI(t, addr, args...)
		onTheMove := strings.Contains(out, "CLUSTERDOWN") || strings.Contains(out, "TRYAGAIN") || strings.Contains(out, "UNKNOWN")
		if !onTheMove || time.Now().After(end) {
			return out
		}
	}
}

func TestRedisCLI(t *testing.T) {
	addr := openNode(t, func(cfg *sequencer.Config) { cfg.Password = "secret" }).RESPAddr()
	for _, dialect := range []string{"-2", "-3"} {
		cli := func(args ...string) string {
			return redisCLI(t, addr, append([]string{dialect, "--no-auth-warning", "-a", "secret"}, args...)...)
		}
		chat := "chat" + dialect
		for _, tt := range []struct {
			args []string
			want string // is in what it prints
		}{
			{[]string{"PING"}, "PONG"},
			{[]string{"CHAT.CREATE", chat, "group", "alice", "NAME", "Tea", "MEMBERS", "bob"}, "Tea"},
			{[]string{"CHAT.APPEND", chat, "alice", "m1", "hello bob"}, "seq"},
			{[]string{"CHAT.RANGE", chat, "1", "10"}, "hello bob"},
			{[]string{"CHAT.APPEND", chat, "eve", "m1", "hello"}, "NOTMEMBER"},
			{[]string{"CLUSTER", "NODES"}, "myself,master - 0 0 1 connected 0-8191 8192-16383"},
			{[]string{"CLUSTER", "INFO"}, "cluster_state:ok"},
			{[]string{"INFO", "server"}, "redis_version:7."},
			{[]string{"COMMAND", "COUNT"}, fmt.Sprint(len(sequencer.CommandTable()))},
			{[]string{"COMMAND", "DOCS", "CHAT.APPEND"}, "Offers a message to a chat."},
			{[]string{"RAFT", "PEERS"}, "n1"},
		} {
			if out := cli(tt.args...); !strings.Contains(out, tt.want) {
				t.Errorf("redis-cli %s %q prints %q, want %q in it", dialect, tt.args, out, tt.want)
			}
		}
	}
	if out := redisCLI(t, addr, "PING"); !strings.Contains(out, "NOAUTH") {
		t.Errorf("without a password redis-cli prints %q", out)
	}
}

// TestRedisCLI_FollowsMoved: with -c it finds the leader from any node.
func TestRedisCLI_FollowsMoved(t *testing.T) {
	c := sequencertest.Start(t, 3, 3)
	for i, addr := range c.Addrs() {
		chat := fmt.Sprint("chat", i)
		for _, command := range []string{"CHAT.CREATE " + chat + " group alice", "CHAT.APPEND " + chat + " alice m1 hello"} {
			out := settledCLI(t, addr, append([]string{"-c"}, strings.Fields(command)...)...)
			if strings.Contains(out, "MOVED") || !strings.Contains(out, "eq") {
				t.Errorf("redis-cli -c %s prints %q", command, out)
			}
		}
	}
}

// TestRueidis uses a cluster as any client of Redis Cluster does: slots, MOVED, RESP3 and pipelines.
func TestRueidis(t *testing.T) {
	c := sequencertest.Start(t, 3, 4, func(_ int, cfg *sequencer.Config) { cfg.Password = "secret" })
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: c.Addrs()[:1], Password: "secret", DisableCache: true, ClientName: "test",
		ReadBufferEachConn: 16 << 10, WriteBufferEachConn: 16 << 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	const chats, appends = 8, 50
	groups := map[wire.GroupID]bool{}
	for i := range chats {
		chat := fmt.Sprint("chat", i)
		groups[wire.GroupOf(wire.SlotOf(chat), 4)] = true
		create := client.B().Arbitrary("CHAT.CREATE").Keys(chat).Args("group", "alice", "MEMBERS", "bob").Build().ToRetryable()
		if err := client.Do(ctx, create).Error(); err != nil {
			t.Fatal(err)
		}
		var pipeline []rueidis.Completed
		for m := range appends {
			pipeline = append(pipeline,
				client.B().Arbitrary("CHAT.APPEND").Keys(chat).Args("alice", fmt.Sprint("m", m), "hello").Build().ToRetryable())
		}
		for m, result := range client.DoMulti(ctx, pipeline...) {
			ack, err := result.AsMap()
			if err != nil {
				t.Fatal(err)
			}
			field := ack["seq"]
			if seq, err := field.AsInt64(); err != nil || seq != int64(m+1) {
				t.Fatalf("append %d of %s has seq %d, %v", m, chat, seq, err)
			}
		}
	}
	if len(groups) < 2 {
		t.Error("the chats are all in one group")
	}
	err = client.Do(ctx, client.B().Arbitrary("CHAT.GET").Keys("nochat").Build()).Error()
	if redis, ok := rueidis.IsRedisErr(err); !ok || !strings.HasPrefix(redis.Error(), "NOCHAT ") {
		t.Errorf("a chat that is not there: %v", err)
	}
}

// TestClients_FollowReplicasThatMove has rueidis and redis-cli -c, which know the first nodes only, find chats that have
// moved to others.
func TestClients_FollowReplicasThatMove(t *testing.T) {
	const groups = 2
	c := sequencertest.Start(t, 3, groups)
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: c.Addrs()[:1], DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	send := func(chat, id string) {
		t.Helper()
		append := client.B().Arbitrary("CHAT.APPEND").Keys(chat).Args("alice", id, "hello").Build().ToRetryable()
		if err := client.Do(ctx, append).Error(); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	chats := []string{"chat0", "chat1", "chat2", "chat3"}
	for _, chat := range chats {
		if err := client.Do(ctx, client.B().Arbitrary("CHAT.CREATE").Keys(chat).Args("group", "alice").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		send(chat, "before")
	}
	c.Join()
	c.Join()
	for i, node := range []string{"n1", "n2"} {
		c.Operate("CLUSTER", "DRAIN", node)
		c.Settled()
		for _, chat := range chats {
			send(chat, fmt.Sprint("after", i))
		}
	}
	for i, addr := range c.Addrs() { // those that hold nothing tell the way too
		for _, chat := range chats {
			out := redisCLI(t, addr, "-c", "CHAT.APPEND", chat, "alice", fmt.Sprint("cli", i), "hello")
			if !strings.Contains(out, "seq") {
				t.Errorf("redis-cli -c at %s prints %q", addr, out)
			}
		}
		out := redisCLI(t, addr, "CLUSTER", "NODES")
		if strings.Count(out, "\n") != 4 {
			t.Errorf("CLUSTER NODES at %s:\n%s", addr, out)
		}
		c.Eventually("CLUSTER SLOTS at "+addr+" to name only nodes that hold something", func() bool {
			slots := redisCLI(t, addr, "CLUSTER", "SLOTS")
			for _, gone := range c.Addrs()[:2] {
				if host, _, _ := strings.Cut(gone, ":"); strings.Contains(slots, host) {
					return false
				}
			}
			return strings.Contains(slots, "7379")
		})
	}
}
