package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/trust"
)

// secureCluster is three sequencers and a delivery node as real processes, with certificates that the command made.
type secureCluster struct {
	*cluster
	certs  string
	secret string // file
}

func startSecureCluster(t *testing.T) *secureCluster {
	t.Helper()
	dir := t.TempDir()
	c := &secureCluster{
		cluster: &cluster{binary: buildBinary(t)}, certs: filepath.Join(dir, "certs"), secret: filepath.Join(dir, "secret"),
	}
	if err := os.WriteFile(c.secret, []byte("a secret for this test alone"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.run(t, "cert", "ca", "--dir", c.certs, "--cluster", "tea")
	for _, holder := range []string{"node n1", "node n2", "node n3", "edge e1", "operator ops", "reader spy"} {
		role, name, _ := strings.Cut(holder, " ")
		c.run(t, "cert", role, name, "--dir", c.certs)
	}
	addrs := freeAddrs(t, 3*3+2)
	var bootstrap []string
	for i := range 3 {
		bootstrap = append(bootstrap, fmt.Sprintf("n%d=%s", i+1, addrs[i]))
		c.resp = append(c.resp, addrs[3+i])
	}
	for i := range 3 {
		name := fmt.Sprintf("n%d", i+1)
		argv := append([]string{
			c.binary, "sequencer", "--node-id", name, "--data", filepath.Join(dir, name), "--groups", "2",
			"--raft-addr", addrs[i], "--resp-addr", c.resp[i], "--ops-addr", addrs[6+i], "--bootstrap", strings.Join(bootstrap, ","),
		}, c.as(name)...)
		c.nodes = append(c.nodes, newProcess(t, name, dir, argv...))
	}
	c.urls = []string{"http://" + addrs[9]}
	argv := append([]string{
		c.binary, "delivery", "--sequencers", strings.Join(c.resp, ","), "--addr", addrs[9], "--ops-addr", addrs[10],
		"--jwt-secret-file", c.secret,
	}, c.as("edge-e1")...)
	c.edges = []*process{newProcess(t, "e1", dir, argv...)}
	for _, p := range append(c.nodes, c.edges...) {
		p.launch(t)
	}
	for _, p := range append(c.nodes, c.edges...) {
		p.awaitReady(t, startTime)
	}
	return c
}

// as gives the flags that make a command the holder of a certificate.
func (c *secureCluster) as(holder string) []string {
	f := c.files(holder)
	return []string{"--tls-ca", f.CA, "--tls-cert", f.Cert, "--tls-key", f.Key}
}

func (c *secureCluster) files(holder string) trust.Files {
	return trust.Files{
		CA: filepath.Join(c.certs, "ca.pem"), Cert: filepath.Join(c.certs, holder+".pem"), Key: filepath.Join(c.certs, holder+"-key.pem"),
	}
}

// run runs the command, which must work, and gives what it prints.
func (c *secureCluster) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.try(args...)
	if err != nil {
		t.Fatalf("quorate %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

func (c *secureCluster) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), healTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, c.binary, args...).CombinedOutput()
	return string(out), err
}

// TestProcesses_WithCertificates runs a quorum and an edge with certificates: messages pass, each role may do what is its
// own, and a certificate is renewed while its node runs.
func TestProcesses_WithCertificates(t *testing.T) {
	t.Parallel()
	c := startSecureCluster(t)
	chat := func(args ...string) string {
		return c.run(t, append(append([]string{"chat"}, args...), "--url", c.urls[0], "--secret-file", c.secret)...)
	}
	c.create(t, "tea")
	chat("send", "tea", "hello", "--user", "alice")
	if out := chat("history", "tea", "--user", "alice"); !strings.Contains(out, "hello") {
		t.Errorf("the history is %s", out)
	}

	raft := func(holder string, args ...string) (string, error) {
		args = append(append([]string{"raft"}, args...), "--resp-addr", c.resp[0])
		if holder != "" {
			args = append(args, c.as(holder)...)
		}
		return c.try(args...)
	}
	out, err := raft("reader-spy", "peers", "-o", "json")
	var peers []raftPeer
	if err != nil || json.Unmarshal([]byte(out), &peers) != nil || len(peers) != 2*3 {
		t.Errorf("a reader sees %s, %v", out, err)
	}
	if out, err := raft("edge-e1", "transfer", "0"); err == nil || !strings.Contains(out, "NOPERM") {
		t.Errorf("an edge moves a leader: %s, %v", out, err)
	}
	if out, err := raft("operator-ops", "transfer", "0"); err != nil {
		t.Errorf("an operator cannot move a leader: %s, %v", out, err)
	}
	if out, err := raft("", "peers"); err == nil {
		t.Errorf("without a certificate: %s", out)
	}
	chat("send", "tea", "after a hand-over", "--user", "alice")

	// n1 gets another certificate, as from a program that renews them.
	before := c.served(t)
	renewed := filepath.Join(t.TempDir(), "renewed")
	if err := os.MkdirAll(renewed, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ca.pem", "ca-key.pem"} {
		copyFile(t, filepath.Join(c.certs, name), filepath.Join(renewed, name))
	}
	c.run(t, "cert", "node", "n1", "--dir", renewed)
	for _, name := range []string{"n1.pem", "n1-key.pem"} {
		copyFile(t, filepath.Join(renewed, name), filepath.Join(c.certs, name+".new"))
		if err := os.Rename(filepath.Join(c.certs, name+".new"), filepath.Join(c.certs, name)); err != nil {
			t.Fatal(err)
		}
	}
	await(t, healTime, "n1 to serve its new certificate", func() bool { return c.served(t) != before })
	chat("send", "tea", "after a renewal", "--user", "alice")

	leader := c.secureLeader(t)
	leader.kill()
	chat("send", "tea", "after a kill", "--user", "alice")
	leader.start(t, startTime)
	for _, text := range []string{"hello", "after a hand-over", "after a renewal", "after a kill"} {
		if out := chat("history", "tea", "--user", "alice"); !strings.Contains(out, text) {
			t.Errorf("%q is missing in %s", text, out)
		}
	}
	for _, p := range append(c.edges, c.nodes...) {
		if code := p.stop(t, 10*time.Second); code != exitOK {
			t.Errorf("%s ended with %d on SIGTERM", p.name, code)
		}
	}
}

// create makes a group of alice's, over REST.
func (c *secureCluster) create(t *testing.T, chat string) {
	t.Helper()
	token, err := signToken(c.secret, "alice", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var made struct{}
	body := map[string]any{"type": "group", "chatId": chat, "members": []string{"bob"}}
	if err := newEdgeClient(c.urls[0], token).retry(context.Background(), "POST", "/chats", body, &made); err != nil {
		t.Fatal(err)
	}
}

// secureLeader gives the node that leads group 0.
func (c *secureCluster) secureLeader(t *testing.T) (leader *process) {
	t.Helper()
	await(t, healTime, "a leader", func() bool {
		out, err := c.try(append([]string{"raft", "peers", "0", "-o", "json", "--resp-addr", c.resp[0]}, c.as("operator-ops")...)...)
		var peers []raftPeer
		if err != nil || json.Unmarshal([]byte(out), &peers) != nil {
			return false
		}
		for _, p := range peers {
			if p.Leader {
				leader = c.nodes[p.Node[1]-'1']
			}
		}
		return leader != nil
	})
	return leader
}

// served gives the serial number of the certificate at n1's RESP port.
func (c *secureCluster) served(t *testing.T) string {
	t.Helper()
	keys, err := trust.Open(c.files("operator-ops"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", c.resp[0], keys.Client("", trust.OnlyNodes))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
