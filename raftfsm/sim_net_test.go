package raftfsm

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// simNet is a network in memory, for a bubble: bytes take a while, and links can be cut each way.
type simNet struct {
	mu        sync.Mutex
	rng       *rand.Rand
	listeners map[string]*simListener
	cut       map[[2]string]bool // from, to
	slow      time.Duration      // the longest that bytes take
	conns     map[*simConn]struct{}
	ends      map[string]chan struct{} // closed when the node ends; anew when it listens again
}

func newSimNet(seed uint64) *simNet {
	return &simNet{
		rng: rand.New(rand.NewPCG(seed, 2)), listeners: map[string]*simListener{}, cut: map[[2]string]bool{},
		slow: 2 * time.Millisecond, conns: map[*simConn]struct{}{},
		ends: map[string]chan struct{}{},
	}
}

// delay is how long the next bytes take.
func (n *simNet) delay() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Duration(n.rng.Int64N(int64(n.slow)))
}

func (n *simNet) isCut(from, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cut[[2]string{from, to}]
}

// setCut cuts or mends the links of one node: what it sends, what it receives, or both.
func (n *simNet) setCut(node string, others []string, sends, receives bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, other := range others {
		if other != node {
			n.cut[[2]string{node, other}] = sends
			n.cut[[2]string{other, node}] = receives
		}
	}
}

// gone gives a channel that closes when a node ends.
func (n *simNet) gone(node string) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ends[node] == nil {
		n.ends[node] = make(chan struct{})
	}
	return n.ends[node]
}

// drop ends all connections of a node at once, and what it dials, as its death does.
func (n *simNet) drop(node string) {
	end := n.gone(node)
	n.mu.Lock()
	select {
	case <-end:
	default:
		close(n.ends[node])
	}
	var gone []*simConn
	for c := range n.conns {
		if c.local == node || c.remote == node {
			gone = append(gone, c)
		}
	}
	n.mu.Unlock()
	for _, c := range gone {
		_ = c.Close()
	}
}

// simListener is one node's port.
type simListener struct {
	net      *simNet
	addr     string
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func (n *simNet) listen(addr string) *simListener {
	l := &simListener{net: n, addr: addr, incoming: make(chan net.Conn, 64), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listeners[addr] = l
	delete(n.ends, addr)
	return l
}

func (l *simListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.incoming:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *simListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.net.mu.Lock()
		if l.net.listeners[l.addr] == l {
			delete(l.net.listeners, l.addr)
		}
		l.net.mu.Unlock()
	})
	return nil
}

func (l *simListener) Addr() net.Addr { return simAddr(l.addr) }

type simAddr string

func (simAddr) Network() string  { return "sim" }
func (a simAddr) String() string { return string(a) }

var errRefused = errors.New("connection refused")

// dialFrom is what a node's Mux dials with.
func (n *simNet) dialFrom(node string) func(context.Context, string, wire.NodeID) (net.Conn, error) {
	return func(ctx context.Context, to string, _ wire.NodeID) (net.Conn, error) {
		select {
		case <-time.After(2 * n.delay()):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if n.isCut(node, to) || n.isCut(to, node) {
			select {
			case <-ctx.Done(): // nobody answers
				return nil, ctx.Err()
			case <-n.gone(node):
				return nil, errRefused
			}
		}
		n.mu.Lock()
		l := n.listeners[to]
		n.mu.Unlock()
		if l == nil {
			return nil, errRefused
		}
		there, back := newSimPipe(n, node, to), newSimPipe(n, to, node)
		near := &simConn{net: n, local: node, remote: to, in: back, out: there}
		far := &simConn{net: n, local: to, remote: node, in: there, out: back}
		n.mu.Lock()
		n.conns[near], n.conns[far] = struct{}{}, struct{}{}
		n.mu.Unlock()
		select {
		case l.incoming <- far:
			return near, nil
		default:
			_ = near.Close()
			return nil, errRefused
		}
	}
}

// simPipe is one direction of a connection. Bytes that were lost are never followed by others.
type simPipe struct {
	net      *simNet
	from, to string

	mu    sync.Mutex
	ready []byte
	last  time.Time // when the last bytes arrive
	lost  bool
	ended bool
	wake  chan struct{} // closed at a change
}

func newSimPipe(n *simNet, from, to string) *simPipe {
	return &simPipe{net: n, from: from, to: to, wake: make(chan struct{})}
}

func (p *simPipe) changed() {
	close(p.wake)
	p.wake = make(chan struct{})
}

func (p *simPipe) write(b []byte) (int, error) {
	at := time.Now().Add(p.net.delay())
	data := append([]byte(nil), b...)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return 0, io.ErrClosedPipe
	}
	if at.Before(p.last) {
		at = p.last
	}
	p.last = at
	time.AfterFunc(time.Until(at), func() {
		cut := p.net.isCut(p.from, p.to)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.lost = p.lost || cut; !p.lost && !p.ended {
			p.ready = append(p.ready, data...)
			p.changed()
		}
	})
	return len(b), nil
}

func (p *simPipe) read(b []byte, deadline time.Time) (int, error) {
	for {
		p.mu.Lock()
		if len(p.ready) > 0 {
			n := copy(b, p.ready)
			p.ready = p.ready[n:]
			p.mu.Unlock()
			return n, nil
		}
		ended, wake := p.ended, p.wake
		p.mu.Unlock()
		if ended {
			return 0, io.EOF
		}
		if deadline.IsZero() {
			<-wake
			continue
		}
		left := time.Until(deadline)
		if left <= 0 {
			return 0, os.ErrDeadlineExceeded
		}
		timer := time.NewTimer(left)
		select {
		case <-wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (p *simPipe) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.ended = true
		p.changed()
	}
}

// simConn is one end of a connection.
type simConn struct {
	net           *simNet
	local, remote string
	in, out       *simPipe

	mu       sync.Mutex
	deadline time.Time // for reads
}

func (c *simConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	deadline := c.deadline
	c.mu.Unlock()
	return c.in.read(b, deadline)
}

func (c *simConn) Write(b []byte) (int, error) { return c.out.write(b) }

func (c *simConn) Close() error {
	c.in.end()
	c.out.end()
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	delete(c.net.conns, c)
	return nil
}

func (c *simConn) LocalAddr() net.Addr              { return simAddr(c.local) }
func (c *simConn) RemoteAddr() net.Addr             { return simAddr(c.remote) }
func (c *simConn) SetWriteDeadline(time.Time) error { return nil }
func (c *simConn) SetDeadline(t time.Time) error    { return c.SetReadDeadline(t) }
func (c *simConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t // a read that waits keeps its own; who sets one meanwhile closes the connection after it
	return nil
}
