package delivery

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/sequencertest"
)

// cable is what connections run over that a test can cut: while it is, nothing comes through either way, nothing says so, and no new connection is
// made. What was sent meanwhile is lost, and so the connections end when it is mended.
type cable struct {
	mu      sync.Mutex
	severed chan struct{} // closed when mended; nil while whole
	lost    int           // calls that the cut held up
	conns   []net.Conn
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.severed = make(chan struct{})
}

// mend ends the cut, and the connections that it hit. It gives how much was held up.
func (c *cable) mend() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.severed)
	c.severed = nil
	for _, conn := range c.conns {
		_ = conn.Close() // as TCP would after a loss
	}
	c.conns = nil
	return c.lost
}

// held waits while the cable is cut, and tells whether it was.
func (c *cable) held(done <-chan struct{}) bool {
	c.mu.Lock()
	severed := c.severed
	if severed != nil {
		c.lost++
	}
	c.mu.Unlock()
	if severed == nil {
		return false
	}
	select {
	case <-severed:
	case <-done:
	}
	return true
}

func (c *cable) dial(ctx context.Context, addr string) (net.Conn, error) {
	if c.held(ctx.Done()) {
		return nil, net.ErrClosed
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
	return &cableConn{Conn: conn, cable: c, closed: make(chan struct{})}, nil
}

// cableConn is a connection over a cable.
type cableConn struct {
	net.Conn
	cable  *cable
	once   sync.Once
	closed chan struct{}
}

func (c *cableConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.cable.held(c.closed) {
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *cableConn) Write(b []byte) (int, error) {
	c.cable.mu.Lock()
	severed := c.cable.severed != nil
	c.cable.mu.Unlock()
	if severed {
		return len(b), nil // it is in the kernel's buffer, and goes no further
	}
	return c.Conn.Write(b)
}

func (c *cableConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// TestHubs_Cut cuts one of two nodes off: from the sequencers, from the other node, or both, while messages are sent by the other one. Its clients
// see every message once and in order, at the latest when the cut is mended; where only the nodes are kept apart, at once.
func TestHubs_Cut(t *testing.T) {
	for _, row := range []struct {
		name            string
		sequencers, hub bool
	}{{"from the sequencers", true, false}, {"from the other node", false, true}, {"from both", true, true}} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			addrs := sequencertest.Start(t, 3, 4).Addrs()
			var sequencers, relay cable
			a := openEdge(t, addrs, asHub, func(cfg *Config) { cfg.HubDial = relay.dial })
			b := openEdge(t, addrs, asHub, func(cfg *Config) { cfg.Dial, cfg.HubDial = sequencers.dial, relay.dial })
			sharedOut(t, a, b)
			ann, bob := fresh("ann"), fresh("bob")
			da, db := a.dial(ann), b.dial(bob)
			var chats []string
			for range 8 {
				chats = append(chats, a.group(ann, bob))
			}
			n := 0
			post := func(times int) {
				for range times {
					n++
					for _, id := range chats {
						a.post(ann, id, fmt.Sprint(n))
					}
				}
			}
			post(3)
			if row.sequencers {
				sequencers.cut()
			}
			if row.hub {
				relay.cut()
			}
			for began := time.Now(); time.Since(began) < 4*time.Second; { // the fault itself: longer than leases and patience
				post(1)
			}
			for _, id := range chats {
				da.awaitSeqs(id, 1, int64(n))
				if !row.sequencers {
					db.awaitSeqs(id, 1, int64(n))
				}
			}
			if row.sequencers && sequencers.mend() == 0 || row.hub && relay.mend() == 0 {
				t.Error("the cut held nothing up")
			}
			first := 1
			if !row.sequencers {
				first = n + 1
			}
			post(3)
			for _, id := range chats {
				da.awaitSeqs(id, int64(n-2), int64(n))
				db.awaitSeqs(id, int64(first), int64(n))
			}
			sharedOut(t, a, b)
		})
	}
}
