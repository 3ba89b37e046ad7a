package sequencer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// errClosed is what calls on a closed node answer.
var errClosed = errors.New("sequencer: the node is closed")

// Node is one node of a quorum: a replica of each group, and a RESP server over them.
type Node struct {
	cfg      Config
	log      *slog.Logger
	lock     *os.File
	mux      *raftfsm.Mux
	respAddr string
	cards    *cards
	client   *wire.Client // to the groups led elsewhere
	groups   []*host      // by GroupID; complete before any goroutine starts
	inFlight tokens       // of all groups together
	server   *server

	closing   chan struct{} // closed when Close or Kill begins
	closeOnce sync.Once
	closeErr  error
	done      sync.WaitGroup
}

// Open starts a node on the data in cfg.Dir, which it makes where there is none. It answers before leaders are known:
// see Ready. The caller must Close the node.
func Open(cfg Config) (*Node, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, log: cfg.Logger.With("node", cfg.NodeID),
		inFlight: make(tokens, cfg.Limits.NodeInFlight), closing: make(chan struct{}),
	}
	n.cards = newCards(cfg.NodeID, cfg.CardEvery, n.log)
	ln, err := n.open()
	if err != nil {
		n.closeOnce.Do(func() { n.closeErr = n.shut() })
		return nil, errors.Join(fmt.Errorf("open node %s: %w", cfg.NodeID, err), n.closeErr)
	}
	n.start(ln)
	return n, nil
}

// open takes the node's directory, ports and groups, in this order: who has the directory alone may touch the rest.
func (n *Node) open() (net.Listener, error) {
	var err error
	if n.lock, err = lockDir(n.cfg.Dir); err != nil {
		return nil, err
	}
	if isNewDir(n.cfg.Dir) {
		if err = n.cfg.checkBootstrap(); err != nil {
			return nil, err
		}
	}
	if err = claimDir(n.cfg.Dir, n.cfg.NodeID, n.cfg.Groups, n.cfg.Clock()); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", n.cfg.RESPAddr)
	if err != nil {
		return nil, fmt.Errorf("listen for RESP: %w", err)
	}
	n.respAddr = ln.Addr().String()
	if err = n.openGroups(); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

func (n *Node) openGroups() (err error) {
	if n.mux, err = raftfsm.ListenMux(n.cfg.RaftAddr, n.selfCard, n.log); err != nil {
		return fmt.Errorf("listen for raft: %w", err)
	}
	for id := range wire.GroupID(n.cfg.Groups) {
		h, err := openHost(n, id)
		if err != nil {
			return err
		}
		n.groups = append(n.groups, h)
	}
	return nil
}

// start starts all goroutines of the node.
func (n *Node) start(ln net.Listener) {
	n.client = wire.NewClient(wire.ClientConfig{Seeds: []string{n.respAddr}, Password: n.cfg.Password, Logger: n.log})
	n.cards.follow(n.cfg.Bootstrap)
	for _, h := range n.groups {
		n.cards.follow(h.raft.Status().Peers)
		h.start()
	}
	n.server = newServer(n, ln)
	n.done.Add(1)
	go func() {
		defer n.done.Done()
		n.server.serve()
	}()
}

// RESPAddr gives host:port of the RESP server, with the port that was taken.
func (n *Node) RESPAddr() string { return n.respAddr }

// Groups gives the number of groups.
func (n *Node) Groups() int { return len(n.groups) }

// Leads reports whether this node serves a group as its leader. id must be below Groups.
func (n *Node) Leads(id wire.GroupID) bool { return n.groups[id].raft.Serving() }

// Status tells how the replica of a group stands on this node. id must be below Groups.
func (n *Node) Status(id wire.GroupID) raftfsm.Status { return n.groups[id].raft.Status() }

// Store gives the reads of this node's replica of a group, which may be behind the leader's. id must be below Groups.
func (n *Node) Store(id wire.GroupID) *raftfsm.Store { return n.groups[id].store() }

// Snapshot takes a snapshot of this node's replica of a group, which frees its log. id must be below Groups.
func (n *Node) Snapshot(ctx context.Context, id wire.GroupID) error {
	return n.groups[id].raft.Snapshot(ctx)
}

// Close hands what the node leads to other nodes, for at most Config.DrainWait, then stops serving and closes the
// groups. Commands that are still under way are answered. It waits for all goroutines of the node.
func (n *Node) Close() error {
	n.closeOnce.Do(func() {
		close(n.closing)
		n.drain()
		n.closeErr = n.shut()
	})
	return n.closeErr
}

// Kill ends the node as a crash would: nothing is handed over and no snapshot taken. It is for tests of what survives.
func (n *Node) Kill() error {
	n.closeOnce.Do(func() {
		close(n.closing)
		n.closeErr = n.shut()
	})
	return n.closeErr
}

// drain moves the leadership of all groups away while the node still answers, so that clients are told where to go.
func (n *Node) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), n.cfg.DrainWait)
	defer cancel()
	var moves sync.WaitGroup
	for _, h := range n.groups {
		if !h.raft.Serving() || len(h.raft.Status().Peers) < 2 {
			continue
		}
		moves.Go(func() {
			if err := h.raft.Transfer(ctx, ""); err != nil {
				n.log.Warn("leadership stays until the node is gone", "group", h.id, "err", err)
			}
		})
	}
	moves.Wait()
}

// shut stops what open and start have brought up.
func (n *Node) shut() error {
	var errs []error
	if n.server != nil {
		n.server.close()
	}
	n.cards.close()
	var closes sync.WaitGroup
	closed := make([]error, len(n.groups))
	for i, h := range n.groups {
		closes.Go(func() { closed[i] = h.shut() })
	}
	closes.Wait()
	errs = append(errs, closed...)
	if n.client != nil {
		errs = append(errs, n.client.Close())
	}
	if n.mux != nil {
		errs = append(errs, n.mux.Close())
	}
	n.done.Wait()
	if n.lock != nil {
		errs = append(errs, n.lock.Close())
	}
	return errors.Join(errs...)
}
