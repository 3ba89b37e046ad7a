package raftfsm

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/sequencer/wire"
)

// Every connection to a Mux begins with a header: magic, version, kind, the first 8 bytes of the cluster id's SHA-256,
// group id (4 bytes, big endian), and behind one byte of length the name of the replica that is meant.
const (
	muxMagic      = "QRT"
	muxVersion    = 2
	muxHeaderSize = len(muxMagic) + 2 + 8 + 4 + 1

	muxRaft byte = 1 // raft's own protocol of the group follows, for as long as the connection lives
	muxCard byte = 2 // the node answers with its Card and closes

	muxHeaderWait  = 5 * time.Second // for a peer to prove who it is and to send its header
	muxConnections = 4096            // at one time
	muxPending     = 256             // of these, that have not got so far
	muxBacklog     = 16              // accepted connections that one group has not taken yet
)

// errMuxClosed ends the Accept of a group's layer.
var errMuxClosed = errors.New("raft port closed")

// Mux is the one port that all groups of a node share.
type Mux struct {
	ln     net.Listener
	secure *secure // nil for a port without TLS
	dial   func(ctx context.Context, hostPort string, node wire.NodeID) (net.Conn, error)
	card   func() Card
	log    *slog.Logger
	counts muxCounts

	scrubTurn chan struct{} // holds a token while a replica of this node scrubs

	mu      sync.Mutex
	groups  map[wire.GroupID]*layer
	conns   map[net.Conn]struct{} // those accepted, until they are closed
	pending map[net.Conn]struct{} // of these, whose header has not come yet
	closed  bool
	done    sync.WaitGroup
}

// ListenMux opens the port without TLS. card gives what the node tells of itself.
func ListenMux(addr string, card func() Card, log *slog.Logger) (*Mux, error) {
	return listenMux(addr, nil, card, log)
}

func listenMux(addr string, with *secure, card func() Card, log *slog.Logger) (*Mux, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("open the raft port: %w", err)
	}
	return muxOver(ln, with, card, log), nil
}

// muxOver serves a port that is open.
func muxOver(ln net.Listener, with *secure, card func() Card, log *slog.Logger) *Mux {
	m := &Mux{
		ln: ln, secure: with, card: card, log: log, groups: map[wire.GroupID]*layer{},
		conns: map[net.Conn]struct{}{}, pending: map[net.Conn]struct{}{}, scrubTurn: make(chan struct{}, 1),
	}
	m.dial = m.secure.dial
	m.done.Add(1)
	go m.accept()
	return m
}

// Addr is the host:port that is listened on.
func (m *Mux) Addr() string { return m.ln.Addr().String() }

// Close closes the port and every connection that came through it, and waits for its goroutines. Groups are closed
// before.
func (m *Mux) Close() error {
	m.mu.Lock()
	m.closed = true
	err := m.ln.Close()
	for c := range m.conns {
		_ = c.Close()
	}
	m.mu.Unlock()
	m.done.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (m *Mux) accept() {
	defer m.done.Done()
	for {
		c, err := m.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			m.log.Warn("accept on the raft port", "err", err)
			time.Sleep(50 * time.Millisecond) // out of files, perhaps: let some go
			continue
		}
		if !m.keep(c) {
			_ = c.Close()
			continue
		}
		m.done.Add(1)
		go func() {
			defer m.done.Done()
			m.welcome(&muxConn{Conn: c, mux: m, accepted: c})
		}()
	}
}

// keep counts a connection in; it is false over the limit and at the end. Where too many have not said who they are, one
// of them, whichever, goes: those who come and say nothing do not keep others out.
func (m *Mux) keep(c net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.pending) >= muxPending || len(m.conns) >= muxConnections {
		for old := range m.pending {
			delete(m.pending, old)
			delete(m.conns, old)
			_ = old.Close()
			m.counts.pushed.Add(1)
			break
		}
	}
	if m.closed {
		return false
	}
	if len(m.conns) >= muxConnections {
		m.counts.full.Add(1)
		return false
	}
	m.conns[c], m.pending[c] = struct{}{}, struct{}{}
	return true
}

// muxConn counts itself out when it is closed.
type muxConn struct {
	net.Conn
	mux      *Mux
	accepted net.Conn    // what Conn runs over
	peer     wire.NodeID // that has proved to be at the other end; "" without TLS
}

// Close closes the connection at once, without the farewell of TLS, which may have to wait for the peer.
func (c *muxConn) Close() error {
	c.mux.mu.Lock()
	delete(c.mux.conns, c.accepted)
	delete(c.mux.pending, c.accepted)
	c.mux.mu.Unlock()
	return c.accepted.Close()
}

// welcome learns who is there and what for, in a goroutine of its own so that a silent peer holds up nobody, and hands the
// connection on.
func (m *Mux) welcome(c *muxConn) {
	_ = c.SetDeadline(time.Now().Add(muxHeaderWait))
	conn, peer, err := m.secure.accept(c.accepted)
	if err != nil {
		m.counts.stranger.Add(1)
		m.log.Debug("a stranger at the raft port", "addr", c.RemoteAddr(), "err", err)
		_ = c.Close()
		return
	}
	c.Conn, c.peer = conn, peer
	header, replica, err := readHeader(c)
	m.mu.Lock()
	delete(m.pending, c.accepted)
	m.mu.Unlock()
	if err != nil {
		m.counts.header.Add(1)
		_ = c.Close()
		return
	}
	switch header[4] {
	case muxCard:
		if err := writeCard(c, m.card()); err != nil {
			m.log.Debug("tell the node's card", "err", err)
		}
	case muxRaft:
		_ = c.SetDeadline(time.Time{})
		m.mu.Lock()
		l := m.groups[wire.GroupID(binary.BigEndian.Uint32(header[13:]))]
		m.mu.Unlock()
		if l != nil && l.self == replica && l.cluster == [8]byte(header[5:13]) && l.offer(c) {
			return
		}
	}
	_ = c.Close()
}

// errHeader is what a connection ends with that does not begin as it must.
var errHeader = errors.New("not the header of a raft port")

func readHeader(c io.Reader) (header [muxHeaderSize]byte, replica string, err error) {
	if _, err := io.ReadFull(c, header[:4]); err != nil {
		return header, "", err
	}
	if string(header[:3]) != muxMagic || header[3] != muxVersion {
		return header, "", errHeader // no need to wait for more
	}
	if _, err := io.ReadFull(c, header[4:]); err != nil {
		return header, "", err
	}
	name := make([]byte, header[muxHeaderSize-1])
	_, err = io.ReadFull(c, name)
	return header, string(name), err
}

func muxHeader(kind byte, cluster [8]byte, group wire.GroupID, replica string) []byte {
	b := append(append([]byte(muxMagic), muxVersion, kind), cluster[:]...)
	b = append(binary.BigEndian.AppendUint32(b, uint32(group)), byte(len(replica)))
	return append(b, replica...)
}

// clusterTag is what headers tell of a cluster's id.
func clusterTag(cluster string) [8]byte {
	sum := sha256.Sum256([]byte(cluster))
	return [8]byte(sum[:8])
}

// layer is one group's share of the port: what raft's network transport listens and dials on.
type layer struct {
	mux      *Mux
	group    wire.GroupID
	self     string // the name of this replica
	addr     layerAddr
	cluster  [8]byte
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

var _ raft.StreamLayer = (*layer)(nil)

// layer registers the replica of a group.
func (m *Mux) layer(cfg Config) (*layer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.groups[cfg.Group]; taken {
		return nil, fmt.Errorf("group %d is already open on this node", cfg.Group)
	}
	self := cfg.self()
	self.RaftAddr = m.Addr()
	l := &layer{
		mux: m, group: cfg.Group, self: self.Replica().String(), addr: layerAddr(self.serverAddr()),
		cluster: clusterTag(cfg.Cluster), incoming: make(chan net.Conn, muxBacklog), closed: make(chan struct{}),
	}
	m.groups[cfg.Group] = l
	return l, nil
}

// offer hands a connection to the group; it is false where it does not take more.
func (l *layer) offer(c net.Conn) bool {
	select {
	case <-l.closed:
		return false
	default:
	}
	select {
	case l.incoming <- c:
		return true
	default:
		return false
	}
}

// Accept waits for the next connection of the group.
func (l *layer) Accept() (net.Conn, error) {
	select {
	case c := <-l.incoming:
		return c, nil
	case <-l.closed:
		return nil, errMuxClosed
	}
}

// Close takes the group off the port.
func (l *layer) Close() error {
	l.once.Do(func() {
		l.mux.mu.Lock()
		delete(l.mux.groups, l.group)
		l.mux.mu.Unlock()
		close(l.closed)
		for {
			select {
			case c := <-l.incoming:
				_ = c.Close()
			default:
				return
			}
		}
	})
	return nil
}

// layerAddr is the address of a replica as Raft has it.
type layerAddr string

// Network is that of the port.
func (layerAddr) Network() string { return "tcp" }

// String gives the replica's name and the port's address.
func (a layerAddr) String() string { return string(a) }

// Addr is the replica's.
func (l *layer) Addr() net.Addr { return l.addr }

// Dial opens a connection to another replica of the group. One of another name that is there now does not take it.
func (l *layer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	replica, hostPort := splitAddr(addr)
	node, _, _ := strings.Cut(replica, "/")
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	c, err := l.mux.dial(ctx, hostPort, wire.NodeID(node))
	if err != nil {
		return nil, err
	}
	_ = c.SetWriteDeadline(time.Now().Add(timeout))
	if _, err := c.Write(muxHeader(muxRaft, l.cluster, l.group, replica)); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	_ = c.SetWriteDeadline(time.Time{})
	return c, nil
}
