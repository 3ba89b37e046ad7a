package raftfsm

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

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

// secureMux is the port of a node, with a group of number 0.
func secureMux(t testing.TB, keys *trust.Keys, allow func(wire.NodeID) bool) *Mux {
	t.Helper()
	id := wire.NodeID(keys.Name().ID)
	m, err := ListenSecureMux("127.0.0.1:0", &Identity{Keys: keys, Allow: allow}, func() Card { return Card{Node: id} },
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// refused looks that a port answers nothing on a connection that claims to be of a node, or does not even take it.
func refused(t *testing.T, m *Mux, what string, config *tls.Config) {
	t.Helper()
	c, err := net.Dial("tcp", m.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if config != nil {
		c = tls.Client(c, config)
	}
	if _, err := c.Write(muxHeader(muxCard, [8]byte{}, 0, "")); err != nil {
		return
	}
	if card, err := readCard(c); err == nil {
		t.Errorf("%s: answered %+v", what, card)
	}
}

func TestSecureMux_StrangersAreNotRead(t *testing.T) {
	dev, foreign := newAuthority(t), newAuthority(t)
	n2 := dev.keys(trust.Node, "n2")
	m := secureMux(t, dev.keys(trust.Node, "n1"), func(id wire.NodeID) bool { return id != "n9" })
	any := func(k *trust.Keys) *tls.Config {
		config := k.Client(muxProtocol, nil)
		config.VerifyConnection = nil // whoever attacks does not mind whom
		return config
	}
	refused(t, m, "plain TCP", nil)
	bare := any(n2)
	bare.Certificates = nil
	refused(t, m, "no certificate", bare)
	refused(t, m, "another authority", any(foreign.keys(trust.Node, "n2")))
	refused(t, m, "an edge", any(dev.keys(trust.Edge, "e1")))
	refused(t, m, "an operator", any(dev.keys(trust.Operator, "ops")))
	refused(t, m, "a node that the cluster does not know", any(dev.keys(trust.Node, "n9")))
	other := any(n2)
	other.NextProtos = nil
	refused(t, m, "a connection meant for another port", other)
	old := any(n2)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	refused(t, m, "TLS 1.2", old)
	eventually(t, "all strangers are counted", func() bool { return m.Counts().Stranger == 8 })
	card, err := secureMux(t, n2, nil).FetchCard(context.Background(), m.Addr(), "n1")
	if err != nil || card.Node != "n1" {
		t.Errorf("a node of the cluster got %+v, %v", card, err)
	}
}

func TestSecureMux_DialTakesTheNodeThatIsMeant(t *testing.T) {
	dev := newAuthority(t)
	n1, n2 := secureMux(t, dev.keys(trust.Node, "n1"), nil), secureMux(t, dev.keys(trust.Node, "n2"), nil)
	l2, err := n2.layer(Config{Node: "n2", Group: 0})
	if err != nil {
		t.Fatal(err)
	}
	l1, err := n1.layer(Config{Node: "n1", Group: 0})
	if err != nil {
		t.Fatal(err)
	}
	c, err := l1.Dial(Peer{ID: "n2", RaftAddr: n2.Addr()}.serverAddr(), 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	accepted, err := l2.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if peer := accepted.(*muxConn).peer; peer != "n1" {
		t.Errorf("n2 takes the connection for one of %q", peer)
	}
	// n2 has told the cluster that it is n3, or sits at the address where n3 was.
	if c, err := l1.Dial(Peer{ID: "n3", RaftAddr: n2.Addr()}.serverAddr(), 20*time.Second); err == nil {
		c.Close()
		t.Error("n2 answers in the place of n3")
	}
	if _, err := n1.FetchCard(context.Background(), n2.Addr(), "n3"); err == nil {
		t.Error("the card of n2 is taken for that of n3")
	}
}

// TestMux_CrowdOfStrangersKeepsNobodyOut has more connections come, and say nothing, than there is room for.
func TestMux_CrowdOfStrangersKeepsNobodyOut(t *testing.T) {
	dev := newAuthority(t)
	m, n2 := secureMux(t, dev.keys(trust.Node, "n1"), nil), secureMux(t, dev.keys(trust.Node, "n2"), nil)
	const crowd = 10 * muxPending
	var all []net.Conn
	defer func() {
		for _, c := range all {
			c.Close()
		}
	}()
	for range crowd {
		c, err := net.Dial("tcp", m.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, c); len(all) > 2*muxPending {
			all[0].Close() // this process pays for both ends
			all = all[1:]
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), muxHeaderWait-time.Second) // they are all still waited for
	defer cancel()
	if card, err := n2.FetchCard(ctx, m.Addr(), "n1"); err != nil || card.Node != "n1" {
		t.Fatalf("got %+v, %v", card, err)
	}
	m.mu.Lock()
	open := len(m.conns)
	m.mu.Unlock()
	if open > muxPending+1 {
		t.Errorf("%d connections are open, want at most %d", open, muxPending)
	}
}

func TestSecureMux_HandshakeCountsTowardsTheHeadersTime(t *testing.T) {
	t.Parallel() // it waits
	m := secureMux(t, newAuthority(t).keys(trust.Node, "n1"), nil)
	c, err := net.Dial("tcp", m.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// The beginning of a handshake, and then a byte now and then.
	if _, err := c.Write([]byte("\x16\x03\x01\x02\x00")); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.ReadAll(c)
	}()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_, _ = c.Write([]byte{1})
		case <-ended:
			if took := time.Since(begun); took > 3*muxHeaderWait {
				t.Errorf("it took %s", took)
			}
			return
		}
		if time.Since(begun) > 6*muxHeaderWait {
			t.Fatal("the connection stays open")
		}
	}
}
