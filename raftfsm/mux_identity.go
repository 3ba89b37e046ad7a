package raftfsm

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"

	"github.com/quorate/quorate/sequencer/wire"
	"github.com/quorate/quorate/trust"
)

// Identity is how a node proves itself on Raft ports, and whom it takes at its own.
type Identity struct {
	Keys  *trust.Keys
	Allow func(wire.NodeID) bool // asked at each connection that comes; nil takes every node of the same cluster's CA
}

// muxProtocol is what both ends of a secured connection must name (ALPN).
const muxProtocol = "quorate-raft"

// ListenSecureMux is ListenMux for nodes that prove who they are: every connection, made or taken, is TLS with a
// certificate at both ends, and nothing is read before it is known which node the other end is. A nil Identity is
// ListenMux.
func ListenSecureMux(addr string, who *Identity, card func() Card, log *slog.Logger) (*Mux, error) {
	if who == nil {
		return listenMux(addr, nil, card, log)
	}
	allow := func(n trust.Name) error {
		if err := trust.OnlyNodes(n); err != nil {
			return err
		}
		if who.Allow != nil && !who.Allow(wire.NodeID(n.ID)) {
			return fmt.Errorf("%w: node %s is not wanted", trust.ErrStranger, n.ID)
		}
		return nil
	}
	return listenMux(addr, &secure{keys: who.Keys, server: who.Keys.Server(muxProtocol, allow)}, card, log)
}

// secure is the TLS side of a Mux; nil is a port without.
type secure struct {
	keys   *trust.Keys
	server *tls.Config
}

// accept shakes hands within the deadline of the connection, and tells which node is at the other end, "" without TLS.
func (s *secure) accept(c net.Conn) (net.Conn, wire.NodeID, error) {
	if s == nil {
		return c, "", nil
	}
	conn := trust.Accept(c, s.server)
	if err := conn.Handshake(); err != nil {
		return nil, "", err
	}
	name, err := conn.Peer()
	return conn, wire.NodeID(name.ID), err
}

// dial connects to the Raft port of a node, "" for whichever is there.
func (s *secure) dial(ctx context.Context, hostPort string, node wire.NodeID) (net.Conn, error) {
	if s == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", hostPort)
	}
	conn, err := trust.DialTLS(ctx, hostPort, s.keys.Client(muxProtocol, func(n trust.Name) error {
		if err := trust.OnlyNodes(n); err != nil {
			return err
		}
		if node != "" && n.ID != string(node) {
			return fmt.Errorf("%w: node %s answers in the place of %s", trust.ErrStranger, n.ID, node)
		}
		return nil
	}))
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// FetchCard asks the node at a raft address for its card, as this node. With an id of a node it takes the answer of that
// node alone. Without a deadline in ctx it gives up after 5 s.
func (m *Mux) FetchCard(ctx context.Context, raftAddr string, node wire.NodeID) (Card, error) {
	card, err := fetchCard(ctx, raftAddr, func(ctx context.Context) (net.Conn, error) {
		return m.secure.dial(ctx, raftAddr, node)
	})
	if err == nil && node != "" && card.Node != node {
		return Card{}, fmt.Errorf("%w: the card at %s is that of %s, not of %s", trust.ErrStranger, raftAddr, card.Node, node)
	}
	return card, err
}

// MuxCounts is what a Mux and its groups have refused.
type MuxCounts struct {
	Full     uint64 // connections for which there was no room
	Pushed   uint64 // of those that had not said who they are, closed for others to come
	Stranger uint64 // handshakes that failed
	Header   uint64 // connections whose header was missing, late or wrong
	Forged   uint64 // connections ended for a message that no honest node of that name sends
}

// muxCounts is MuxCounts as it is counted.
type muxCounts struct {
	full, pushed, stranger, header, forged atomic.Uint64
}

// Counts tells what has been refused since the port was opened.
func (m *Mux) Counts() MuxCounts {
	c := &m.counts
	return MuxCounts{
		Full: c.full.Load(), Pushed: c.pushed.Load(), Stranger: c.stranger.Load(), Header: c.header.Load(), Forged: c.forged.Load(),
	}
}
