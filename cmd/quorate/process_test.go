package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/delivery"
	"github.com/quorate/quorate/delivery/deliverytest"
	"github.com/quorate/quorate/sequencer/wire"
)

const (
	crowdUsers = 20
	crowdChats = 50
	startTime  = 20 * time.Second // for a process to serve, on a machine that does other things too
	healTime   = 30 * time.Second // for all to be acknowledged and shown after a fault
	talkAcks   = 400              // acknowledged sends between one event and the next
)

// TestProcesses_KilledOneByOneAndAllAtOnce runs a quorum and two edges as real processes under a talking crowd, kills a
// leader, an edge and then everything with kill -9, and holds every promise against the logs after each.
func TestProcesses_KilledOneByOneAndAllAtOnce(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	crowd := c.crowd(t)
	crowd.talkUntil(t, talkAcks)

	leader := c.leaderOf(t, 0, nil)
	t.Logf("kill -9 of %s, leader of group 0", leader.name)
	leader.kill()
	crowd.talkUntil(t, talkAcks)
	c.leaderOf(t, 0, leader)
	leader.start(t, startTime)
	crowd.check(t)

	t.Log("a hand-over under load")
	leader = c.leaderOf(t, 0, nil)
	if out, err := exec.Command(c.binary, "raft", "transfer", "0", "--resp-addr", c.resp[0]).CombinedOutput(); err != nil {
		t.Errorf("transfer: %v: %s", err, out)
	}
	c.leaderOf(t, 0, leader)

	t.Log("kill -9 of an edge")
	before := crowd.Audience.Connections()
	c.edges[0].kill()
	crowd.talkUntil(t, talkAcks)
	if crowd.Audience.Connections() == before {
		t.Error("no client came back by another edge")
	}
	c.edges[0].start(t, startTime)
	crowd.check(t)

	t.Log("kill -9 of everything")
	crowd.talkUntil(t, talkAcks)
	all := slices.Concat(c.nodes, c.edges)
	for _, p := range all {
		p.kill()
	}
	for _, p := range all {
		p.launch(t)
	}
	for _, p := range all {
		p.awaitReady(t, startTime)
	}
	crowd.talkUntil(t, talkAcks)
	crowd.check(t)

	crowd.Leave()
	for _, p := range slices.Concat(c.edges, c.nodes) {
		if code := p.stop(t, 10*time.Second); code != exitOK {
			t.Errorf("%s ended with %d on SIGTERM", p.name, code)
		}
	}
}

// cluster is three sequencers and some delivery nodes.
type cluster struct {
	binary       string
	secret       []byte
	nodes, edges []*process
	resp, urls   []string
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	return startClusterOf(t, buildBinary(t), 2)
}

// startClusterOf is startCluster whose sequencers run a program of their own, with another number of delivery nodes, which run this one.
func startClusterOf(t *testing.T, program string, edges int) *cluster {
	t.Helper()
	c := &cluster{binary: buildBinary(t), secret: []byte("a secret for this test alone")}
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, c.secret, 0o600); err != nil {
		t.Fatal(err)
	}
	addrs := freeAddrs(t, 3*3+2*edges)
	var bootstrap []string
	for i := range 3 {
		bootstrap = append(bootstrap, fmt.Sprintf("n%d=%s", i+1, addrs[i]))
		c.resp = append(c.resp, addrs[3+i])
	}
	for i := range 3 {
		name := fmt.Sprintf("n%d", i+1)
		c.nodes = append(c.nodes, newProcess(t, name, dir, program, "sequencer", "--node-id", name,
			"--data", filepath.Join(dir, name), "--groups", "2", "--raft-addr", addrs[i], "--resp-addr", c.resp[i],
			"--ops-addr", addrs[6+i], "--bootstrap", strings.Join(bootstrap, ",")))
	}
	for i := range edges {
		c.urls = append(c.urls, "http://"+addrs[9+i])
		c.edges = append(c.edges, newProcess(t, fmt.Sprintf("e%d", i+1), dir, c.binary, "delivery",
			"--sequencers", strings.Join(c.resp, ","), "--addr", addrs[9+i], "--ops-addr", addrs[9+edges+i],
			"--jwt-secret-file", secret))
	}
	for _, p := range slices.Concat(c.nodes, c.edges) {
		p.launch(t) // all at once: a node serves only when there is a quorum
	}
	for _, p := range slices.Concat(c.nodes, c.edges) {
		p.awaitReady(t, startTime)
	}
	return c
}

// ports is where freeAddrs goes on: no two tests get the same.
var ports = struct {
	sync.Mutex
	next int
}{next: 20000 + os.Getpid()%10_000}

// freeAddrs finds loopback addresses that nobody listens on, outside the range that clients get their ports from: they
// must be free again after a restart.
func freeAddrs(t *testing.T, n int) []string {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	var addrs []string
	for range n {
		addr, next, err := freeAddr(ports.next)
		if err != nil {
			t.Fatal(err)
		}
		addrs, ports.next = append(addrs, addr), next
	}
	return addrs
}

// leaderOf asks the nodes that live who leads a group, until it is another one than not.
func (c *cluster) leaderOf(t *testing.T, group int, not *process) *process {
	t.Helper()
	var leader *process
	await(t, healTime, fmt.Sprintf("a leader of group %d", group), func() bool {
		for _, resp := range c.resp {
			out, err := exec.Command(c.binary, "raft", "peers", "-o", "json", "--resp-addr", resp).Output()
			var peers []raftPeer
			if err != nil || json.Unmarshal(out, &peers) != nil {
				continue // that one is dead
			}
			for _, p := range peers {
				if p.Group == group && p.Leader {
					leader = c.nodes[p.Node[1]-'1']
				}
			}
			return leader != nil && leader != not
		}
		return false
	})
	return leader
}

// crowd is the users of a cluster.
type crowd struct {
	*deliverytest.Crowd
	cluster *cluster
}

// crowd makes the chats and lets the users in.
func (c *cluster) crowd(t *testing.T) *crowd {
	t.Helper()
	w := &crowd{deliverytest.NewCrowd(), c}
	w.Read(true)
	for i := range crowdUsers {
		user := fmt.Sprintf("u%02d", i)
		w.Add(&deliverytest.Talker{User: user, Token: c.token(t, user), Edges: c.urls, Home: i % len(c.urls)})
	}
	for i := range crowdChats {
		chat := fmt.Sprintf("chat-%02d", i)
		var members []string
		for _, step := range []int{0, 1, 7, 13} {
			member := w.Talkers[(i+step)%crowdUsers]
			member.Chats = append(member.Chats, chat)
			members = append(members, member.User)
		}
		body := map[string]any{"type": "group", "chatId": chat, "members": members[1:]}
		if err := c.as(t, i%2, members[0]).retry(t.Context(), "POST", "/chats", body, &struct{}{}); err != nil {
			t.Fatalf("create %s: %v", chat, err)
		}
	}
	w.Enter()
	t.Cleanup(w.Leave)
	return w
}

func (c *cluster) token(t *testing.T, user string) string {
	t.Helper()
	token, err := delivery.SignToken(c.secret, user, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// as is a REST client of one edge, as one user.
func (c *cluster) as(t *testing.T, edge int, user string) *edgeClient {
	t.Helper()
	return newEdgeClient(c.urls[edge], c.token(t, user))
}

// talkUntil lets the crowd talk until so many more sends are acknowledged.
func (w *crowd) talkUntil(t *testing.T, more int) {
	t.Helper()
	before, _ := w.Record.Acks()
	w.Talk(true)
	await(t, healTime, fmt.Sprintf("%d more sends to be acknowledged", more), func() bool {
		acked, _ := w.Record.Acks()
		return acked >= before+more
	})
}

// check lets the crowd fall silent, waits until all is acknowledged and shown, and holds the logs, as both edges give
// them, against the ledger. Then the talk goes on.
func (w *crowd) check(t *testing.T) {
	t.Helper()
	w.Talk(false)
	defer w.Talk(true)
	await(t, healTime, "every send to be acknowledged", w.Quiet)
	w.sendAgain(t)
	for edge := range w.cluster.urls {
		logs := map[string][]wire.Message{}
		for chat, members := range w.Members() {
			logs[chat] = w.history(t, edge, chat, members[edge])
			if err := w.Record.Check(chat, logs[chat]); err != nil {
				t.Error(err)
			}
		}
		await(t, healTime, "every member to be shown every message", func() bool { return w.ShownAll(logs) })
		if broken := w.Check(logs); len(broken) > 0 {
			t.Errorf("what members were shown breaks promises:\n%s", strings.Join(broken, "\n"))
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	acked, _ := w.Record.Acks()
	t.Logf("checked: %d sends acknowledged, each in its place on both edges and before every member, over %d connections",
		acked, w.Audience.Connections())
}

// history reads a whole chat from one edge.
func (w *crowd) history(t *testing.T, edge int, chat, member string) []wire.Message {
	t.Helper()
	messages, err := w.cluster.as(t, edge, member).history(t.Context(), chat, 1, 0)
	if err != nil {
		t.Fatalf("history of %s at edge %d: %v", chat, edge, err)
	}
	log := make([]wire.Message, len(messages))
	for i, m := range messages {
		if log[i], err = m.logged(chat); err != nil {
			t.Fatal(err)
		}
	}
	return log
}

// logged is a message as the log holds it.
func (m message) logged(chat string) (wire.Message, error) {
	at, err := time.Parse(time.RFC3339Nano, m.SentAt)
	return wire.Message{
		ChatID: chat, Seq: wire.Seq(m.SequenceNumber), SenderID: m.SenderID, ClientMessageID: m.ClientMessageID, Text: m.Text,
		SentAt: wire.Millis(at.UnixMilli()), Lamport: wire.Lamport(m.Lamport),
	}, err
}

// sendAgain repeats some acknowledged sends of each user by REST. Each must get its first number; with another text it must
// be refused.
func (w *crowd) sendAgain(t *testing.T) {
	t.Helper()
	for i, talker := range w.Talkers {
		api := w.cluster.as(t, i%2, talker.User)
		for _, s := range talker.Some(5) {
			var got message
			body := map[string]any{"text": s.Text, "clientMessageId": s.ID}
			path := chatPath(s.Chat, "messages")
			if err := api.retry(t.Context(), "POST", path, body, &got); err != nil {
				t.Fatalf("send %s again: %v", s.ID, err)
			}
			w.Record.Acked(s.Chat, talker.User, s.ID, wire.Seq(got.SequenceNumber), wire.Lamport(got.Lamport))
			body["text"] = s.Text + " and more"
			var refused *problem
			err := api.retry(t.Context(), "POST", path, body, &got)
			if !errors.As(err, &refused) || refused.Status != http.StatusConflict {
				t.Errorf("%s with another text: %v, want a conflict", s.ID, err)
			}
		}
	}
}
