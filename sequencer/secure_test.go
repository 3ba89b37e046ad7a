package sequencer_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
	"github.com/quorate/quorate/trust"
)

// authority signs certificates for a test.
type authority struct {
	t testing.TB
	*trust.Authority
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	a, err := trust.CreateAuthority(t.TempDir(), "dev", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return authority{t, a}
}

func (a authority) keys(role trust.Role, id string) *trust.Keys {
	a.t.Helper()
	issued, err := a.Issue(role, id, nil, time.Hour)
	if err != nil {
		a.t.Fatal(err)
	}
	keys, err := trust.Open(issued.Files, slog.New(slog.DiscardHandler))
	if err != nil {
		a.t.Fatal(err)
	}
	return keys
}

// secured is the option that gives each node of a cluster its certificate.
func (a authority) secured(i int, cfg *sequencer.Config) {
	cfg.Keys = a.keys(trust.Node, fmt.Sprintf("n%d", i+1))
}

// dialAs connects as the holder of a certificate.
func dialAs(t testing.TB, keys *trust.Keys, addr string) *raw {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := keys.Dial(ctx, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &raw{Conn: conn, t: t, r: bufio.NewReaderSize(conn, 64<<10)}
}

func TestSecureNode_StrangersAreNotRead(t *testing.T) {
	dev, foreign := newAuthority(t), newAuthority(t)
	n := openNode(t, func(cfg *sequencer.Config) {
		cfg.Keys = dev.keys(trust.Node, "n1")
		cfg.AllowNode = func(id wire.NodeID) bool { return id != "n9" }
	})
	edge := dev.keys(trust.Edge, "e1")
	for name, change := range map[string]func(*tls.Config) *tls.Config{
		"plain TCP":         func(*tls.Config) *tls.Config { return nil },
		"no certificate":    func(c *tls.Config) *tls.Config { c.Certificates = nil; return c },
		"another authority": func(*tls.Config) *tls.Config { return foreign.keys(trust.Edge, "e1").Client("", nil) },
		"TLS 1.2":           func(c *tls.Config) *tls.Config { c.MinVersion, c.MaxVersion = 0, tls.VersionTLS12; return c },
		"an unwanted node":  func(*tls.Config) *tls.Config { return dev.keys(trust.Node, "n9").Client("", nil) },
	} {
		config := edge.Client("", nil)
		if config = change(config); config != nil {
			config.VerifyConnection = nil // whoever attacks does not mind whom
		}
		conn, err := net.Dial("tcp", n.RESPAddr())
		if err != nil {
			t.Fatal(err)
		}
		if config != nil {
			conn = tls.Client(conn, config)
		}
		c := &raw{Conn: conn, t: t, r: bufio.NewReader(conn)}
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = conn.Write([]byte(pipelined("PING")))
		if v, err := c.read(); err == nil {
			t.Errorf("%s: answered %v", name, v)
		}
		conn.Close()
	}
	c := dialAs(t, edge, n.RESPAddr())
	if v := c.do("PING"); v != "PONG" {
		t.Errorf("an edge is answered %v", v)
	}
	if v := c.do("ACL", "WHOAMI"); v != "edge/e1" {
		t.Errorf("the edge is taken for %v", v)
	}
	failsWith(t, c.do("AUTH", "secret"), "ERR") // there is no password
}

func TestSecureNode_RightsOfCertificates(t *testing.T) {
	dev := newAuthority(t)
	n := openNode(t, func(cfg *sequencer.Config) { cfg.Keys = dev.keys(trust.Node, "n1") })
	checkRights(t, func(role trust.Role) *raw { return dialAs(t, dev.keys(role, "x-"+string(role)), n.RESPAddr()) })
}

// checkRights looks what connections of each role may do. There is one node, without chats.
func checkRights(t *testing.T, connect func(role trust.Role) *raw) {
	t.Helper()
	operator, edge, reader := connect(trust.Operator), connect(trust.Edge), connect(trust.Reader)
	write := []string{"CHAT.CREATE", "tea", "group", "ann", "MEMBERS", "ann", "bob"}
	failsWith(t, reader.do(write...), "NOPERM")
	works(t, edge.settled(write...))
	failsWith(t, reader.do("CHAT.APPEND", "tea", "ann", "m1", "hello"), "NOPERM")
	works(t, edge.settled("CHAT.APPEND", "tea", "ann", "m1", "hello"))
	for _, c := range []*raw{operator, edge, reader} {
		works(t, c.settled("CHAT.RANGE", "tea", "1", "10"))
		works(t, c.settled("CHAT.MEMBERS", "tea"))
		works(t, c.settled("CLUSTER", "SLOTS"))
		works(t, c.settled("RAFT", "PEERS"))
		works(t, c.do("INFO"))
		works(t, c.settled("FEED.READ", "0", "1"))
	}
	failsWith(t, reader.do("CHAT.MEMBERS", "tea", "ADD", "eve"), "NOPERM")
	works(t, edge.settled("CHAT.MEMBERS", "tea", "ADD", "eve"))
	failsWith(t, reader.do("LEASE", "RENEW", "hub-1", "60000", "hub/a"), "NOPERM")
	works(t, edge.settled("LEASE", "RENEW", "hub-1@10.0.0.1:7000", "60000", "hub/a"))
	works(t, edge.settled("LEASE", "DROP", "hub/a", "hub-1@10.0.0.1:7000", "1"))
	failsWith(t, reader.do("USER.DEVICES", "ann", "PUT", "phone", "fcm", "TOKEN", "s3cret"), "NOPERM")
	works(t, edge.settled("USER.DEVICES", "ann", "PUT", "phone", "fcm", "TOKEN", "s3cret"))
	for c, told := range map[*raw]bool{operator: true, edge: true, reader: false} {
		if answer := fmt.Sprint(works(t, c.settled("USER.DEVICES", "ann"))); !strings.Contains(answer, "phone") || strings.Contains(answer, "s3cret") != told {
			t.Errorf("of a device is told %s", answer)
		}
	}
	for _, c := range []*raw{edge, reader} {
		works(t, c.settled("LEASE", "LIST", "hub/"))
		works(t, c.settled("CLUSTER", "SETTINGS"))
		failsWith(t, c.do("CLUSTER", "SET", "moves", "2"), "NOPERM")
		failsWith(t, c.do("RAFT", "TRANSFER", "0"), "NOPERM")
		failsWith(t, c.do("CLUSTER", "NONSENSE"), "NOPERM")
		failsWith(t, c.do("USER.PUTCHAT", "eve", "tea", "group", "", "1", "1"), "NOPERM")
	}
	works(t, operator.settled("RAFT", "TRANSFER", "0", "n1"))
}

// settled is do, again while leadership is on the move.
func (c *raw) settled(args ...string) any {
	c.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		v := c.do(args...)
		err, failed := v.(replyError)
		if !failed || time.Now().After(end) || !wire.Temporary(wire.ErrorOf(string(err))) {
			return v
		}
	}
}

// writeUsers writes a file of users, one per role, and gives their passwords.
func writeUsers(t testing.TB, file string, roles ...trust.Role) map[trust.Role]string {
	t.Helper()
	passwords := map[trust.Role]string{}
	var all trust.Users
	for _, role := range roles {
		passwords[role] = trust.NewPassword()
		all.List = append(all.List, trust.User{
			Name: "a-" + string(role), Role: role, Password: trust.HashPassword(passwords[role]),
		})
	}
	if err := all.Write(file); err != nil {
		t.Fatal(err)
	}
	return passwords
}

func TestUsers_TheirRights(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.yaml")
	passwords := writeUsers(t, file, trust.Operator, trust.Edge, trust.Reader)
	n := openNode(t, func(cfg *sequencer.Config) { cfg.UsersFile, cfg.Password = file, "secret" })
	checkRights(t, func(role trust.Role) *raw {
		c := dial(t, n.RESPAddr())
		failsWith(t, c.do("PING"), "NOAUTH")
		if role == trust.Edge {
			works(t, c.do("HELLO", "3", "AUTH", "a-edge", passwords[role]))
		} else {
			works(t, c.do("AUTH", "a-"+string(role), passwords[role]))
		}
		if v := c.do("ACL", "WHOAMI"); v != "a-"+string(role) {
			t.Errorf("%s is taken for %v", role, v)
		}
		return c
	})
	c := dial(t, n.RESPAddr())
	failsWith(t, c.do("AUTH", "a-reader", passwords[trust.Operator]), "WRONGPASS")
	failsWith(t, c.do("AUTH", "nobody", "x"), "WRONGPASS")
	failsWith(t, c.do("AUTH", "a-reader", "secret"), "WRONGPASS")
	works(t, c.do("AUTH", "secret"))
	if v := c.do("ACL", "WHOAMI"); v != "default" {
		t.Errorf("the holder of the password is taken for %v", v)
	}
	works(t, c.settled("RAFT", "TRANSFER", "0", "n1"))
	works(t, c.do("RESET"))
	failsWith(t, c.do("PING"), "NOAUTH")
}

func TestUsers_ChangesReachOpenConnections(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.yaml")
	passwords := writeUsers(t, file, trust.Edge, trust.Reader)
	n := openNode(t, func(cfg *sequencer.Config) { cfg.UsersFile, cfg.Password = file, "secret" })
	edge, reader := dial(t, n.RESPAddr()), dial(t, n.RESPAddr())
	works(t, edge.do("AUTH", "a-edge", passwords[trust.Edge]))
	works(t, reader.do("AUTH", "a-reader", passwords[trust.Reader]))

	// The edge's user goes, and the reader's is made an operator.
	changed := trust.Users{List: []trust.User{{
		Name: "a-reader", Role: trust.Operator, Password: trust.HashPassword(passwords[trust.Reader]),
	}}}
	if err := changed.Write(file); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if _, isErr := edge.do("PING").(replyError); isErr {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a user who is gone goes on")
		}
	}
	failsWith(t, edge.do("PING"), "NOAUTH")
	works(t, reader.settled("RAFT", "TRANSFER", "0", "n1"))
	failsWith(t, edge.do("AUTH", "a-edge", passwords[trust.Edge]), "WRONGPASS")
}

// TestUsers_OnTopOfACertificate: a person with an operator's password at a machine that has an edge's certificate.
func TestUsers_OnTopOfACertificate(t *testing.T) {
	dev, file := newAuthority(t), filepath.Join(t.TempDir(), "users.yaml")
	passwords := writeUsers(t, file, trust.Operator)
	n := openNode(t, func(cfg *sequencer.Config) { cfg.Keys, cfg.UsersFile = dev.keys(trust.Node, "n1"), file })
	c := dialAs(t, dev.keys(trust.Edge, "e1"), n.RESPAddr())
	failsWith(t, c.do("RAFT", "TRANSFER", "0", "n1"), "NOPERM")
	works(t, c.do("AUTH", "a-operator", passwords[trust.Operator]))
	works(t, c.settled("RAFT", "TRANSFER", "0", "n1"))
	works(t, c.do("RESET"))
	if v := c.do("ACL", "WHOAMI"); v != "edge/e1" {
		t.Errorf("after RESET the connection is that of %v", v)
	}
	failsWith(t, c.do("RAFT", "TRANSFER", "0", "n1"), "NOPERM")
}

// TestAuth_BruteForceIsBounded tries passwords over many connections at once, and counts those that were looked at.
func TestAuth_BruteForceIsBounded(t *testing.T) {
	n := openNode(t, func(cfg *sequencer.Config) { cfg.Password = "secret" })
	var looked, refused atomic.Int64
	var guessers sync.WaitGroup
	begun := time.Now()
	for range 30 {
		guessers.Go(func() {
			conn, err := net.Dial("tcp", n.RESPAddr())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			c := &raw{Conn: conn, t: t, r: bufio.NewReader(conn)}
			for {
				if _, err := conn.Write([]byte(pipelined("AUTH", "wrong"))); err != nil {
					return
				}
				v, err := c.read()
				if err != nil {
					return // sent away
				}
				if text := fmt.Sprint(v); strings.Contains(text, "too many") {
					refused.Add(1)
				} else {
					looked.Add(1)
				}
			}
		})
	}
	guessers.Wait()
	most := 50 + 5*int64(time.Since(begun)/time.Second+1)
	if looked.Load() > most || refused.Load() == 0 {
		t.Errorf("%d passwords were looked at, want at most %d; %d were not", looked.Load(), most, refused.Load())
	}
}

// TestServer_CrowdWithoutAWordKeepsNobodyOut opens more connections than there may be that have not said who they are.
func TestServer_CrowdWithoutAWordKeepsNobodyOut(t *testing.T) {
	n := openNode(t, func(cfg *sequencer.Config) { cfg.Password, cfg.Limits.Connections = "secret", 200 })
	inside := dial(t, n.RESPAddr())
	works(t, inside.do("AUTH", "secret"))
	for range 600 {
		conn, err := net.Dial("tcp", n.RESPAddr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	late := dial(t, n.RESPAddr())
	works(t, late.do("AUTH", "secret"))
	works(t, inside.do("PING"))
}

// TestSecureCluster_AppendsSurviveALeader runs three nodes with certificates, and a client with that of an edge.
func TestSecureCluster_AppendsSurviveALeader(t *testing.T) {
	dev := newAuthority(t)
	c := sequencertest.Start(t, 3, 2, dev.secured)
	edge := dev.keys(trust.Edge, "e1")
	client := wire.NewClient(wire.ClientConfig{Seeds: c.Addrs(), Dial: edge.Dial, Logger: slog.New(slog.DiscardHandler)})
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if _, err := client.Do(ctx, "tea", "CHAT.CREATE", "tea", "group", "ann", "MEMBERS", "ann", "bob"); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if i == 100 {
			for at := range c.Len() {
				if c.Node(at).Leads(wire.GroupOf(wire.SlotOf("tea"), 2)) {
					c.Kill(at)
					break
				}
			}
		}
		ack, err := client.Append(ctx, wire.AppendRequest{
			ChatID: "tea", SenderID: "ann", ClientMessageID: fmt.Sprint("m", i), Text: "hello",
		})
		if err != nil || ack.Seq != wire.Seq(i+1) {
			t.Fatalf("append %d: %+v, %v", i, ack, err)
		}
	}
	// What goes from group to group goes from node to node, with their own certificates.
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		r, err := client.Do(ctx, "bob", "USER.CHATS", "bob")
		if err == nil && len(r.Field("chats").Elems()) == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("bob's chats: %v", err)
		}
	}
}

// TestSecureCluster_NamesOfOthers: who has the certificate of one node does not become another, and who was given up does
// not come back.
func TestSecureCluster_NamesOfOthers(t *testing.T) {
	dev := newAuthority(t)
	c := sequencertest.Start(t, 1, 1, func(i int, cfg *sequencer.Config) {
		dev.secured(i, cfg)
		cfg.Password = "secret"
	})
	n2 := dev.keys(trust.Node, "n2")
	operator := dialAs(t, dev.keys(trust.Operator, "ops"), c.Addrs()[0])
	token, _ := works(t, operator.settled("CLUSTER", "TOKEN")).(string)
	raft, resp := sequencertest.LoopbackAddrs(t)
	as2 := dialAs(t, n2, c.Addrs()[0])
	failsWith(t, as2.do("CLUSTER", "JOIN", "n3", "x", raft, resp, "TOKEN", token), "NOPERM")

	if _, err := sequencer.Open(sequencer.Config{
		NodeID: "n3", Dir: t.TempDir(), RaftAddr: raft, RESPAddr: resp, Join: c.Addrs()[0], JoinToken: token, Keys: n2,
	}); err == nil {
		t.Error("a node runs under the certificate of another")
	}
	works(t, as2.settled("CLUSTER", "JOIN", "n2", "x", raft, resp, "TOKEN", token))
	works(t, operator.settled("CLUSTER", "REPLACE", "n2"))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		conn, err := n2.Dial(ctx, c.Addrs()[0])
		if err != nil {
			break
		}
		again := &raw{Conn: conn, t: t, r: bufio.NewReader(conn)}
		_, _ = conn.Write([]byte(pipelined("PING")))
		_, err = again.read()
		conn.Close()
		if err != nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("a node that was given up is answered")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestSecureCluster_ClientsOfRedis has redis-cli and rueidis, with the certificate of an edge, follow MOVED from any node.
func TestSecureCluster_ClientsOfRedis(t *testing.T) {
	dev := newAuthority(t)
	c := sequencertest.Start(t, 3, 3, dev.secured)
	issued, err := dev.Issue(trust.Edge, "e1", nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := trust.Open(issued.Files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	tlsFlags := []string{"-c", "--tls", "--cacert", issued.Files.CA, "--cert", issued.Files.Cert, "--key", issued.Files.Key}
	for i, addr := range c.Addrs() {
		for _, command := range []string{"CHAT.CREATE tea%d group ann", "CHAT.APPEND tea%d ann m1 hello"} {
			out := settledCLI(t, addr, append(slices.Clone(tlsFlags), strings.Fields(fmt.Sprintf(command, i))...)...)
			if strings.Contains(out, "MOVED") || !strings.Contains(out, "eq") {
				t.Errorf("redis-cli %s prints %q", command, out)
			}
		}
	}
	if out := redisCLI(t, c.Addrs()[0], append(slices.Clone(tlsFlags), "RAFT", "TRANSFER", "0")...); !strings.Contains(out, "NOPERM") {
		t.Errorf("an edge moves a leader: %s", out)
	}
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: c.Addrs()[:1], DisableCache: true, TLSConfig: keys.Client("", trust.OnlyNodes),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for i := range c.Len() {
		r := client.Do(ctx, client.B().Arbitrary("CHAT.RANGE").Keys(fmt.Sprint("tea", i)).Args("1", "10").Build().ToRetryable())
		if text, err := r.AsMap(); err != nil || len(text) == 0 {
			t.Errorf("rueidis reads %v, %v", text, err)
		}
	}
}

// TestSecureNode_HalfAHandshakeEnds: the time for a handshake is bounded, whatever comes of it.
func TestSecureNode_HalfAHandshakeEnds(t *testing.T) {
	t.Parallel() // it waits
	dev := newAuthority(t)
	n := openNode(t, func(cfg *sequencer.Config) { cfg.Keys = dev.keys(trust.Node, "n1") })
	c := dial(t, n.RESPAddr())
	c.send("\x16\x03\x01\x02\x00")
	silent := dial(t, n.RESPAddr())
	begun := time.Now()
	c.ended()
	silent.ended()
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
}
