package sequencer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/raftfsm/wal"
	"github.com/quorate/quorate/sequencer/wire"
)

// errClosed is what calls on a closed node answer.
var errClosed = errors.New("sequencer: the node is closed")

// Node is one node of a cluster: the replicas of groups that it holds, and a RESP server over them.
type Node struct {
	cfg       Config
	log       *slog.Logger
	lock      *os.File
	identity  *identity
	wal       *wal.Log // shared by the replicas; nil where each has its own
	mux       *raftfsm.Mux
	respAddr  string
	cards     *cards
	client    *wire.Client // to the groups led elsewhere
	inFlight  tokens       // of all groups together
	archiving tokens       // held by the one group that archives
	saving    tokens       // held by the one group that sends itself to a backup
	restored  *restored    // what the node begins with; nil for nothing, and when it has begun
	access    *access
	server    *server
	mover     *mover
	space     *space
	appends   atomic.Int64 // done

	setMu  sync.Mutex // held while set is replaced
	set    atomic.Pointer[replicaSet]
	ending bool // no more replicas are opened; setMu
	theMap atomic.Pointer[wire.ClusterMap]

	barred   chan struct{} // closed when this node can never become part of its cluster
	barredBy error         // why; set before barred is closed

	life      context.Context // ends when closing is closed
	endLife   context.CancelFunc
	closing   chan struct{} // closed when Close or Kill begins
	closeOnce sync.Once
	closeErr  error
	done      sync.WaitGroup
}

// Open starts a node on the data in cfg.Dir, which it makes where there is none. It answers before the node is part of its
// cluster and before leaders are known: see Ready. The caller must Close the node.
func Open(cfg Config) (*Node, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, log: cfg.Logger.With("node", cfg.NodeID),
		inFlight: make(tokens, cfg.Limits.NodeInFlight), archiving: make(tokens, 1), saving: make(tokens, 1), closing: make(chan struct{}), barred: make(chan struct{}),
	}
	n.life, n.endLife = context.WithCancel(context.Background())
	n.set.Store(&replicaSet{})
	n.cards = newCards(cfg.NodeID, cfg.CardEvery, n.log)
	n.mover = newMover(n)
	n.space = newSpace(n)
	if err := n.open(); err != nil {
		n.closeOnce.Do(func() { n.closeErr = n.shut() })
		return nil, errors.Join(fmt.Errorf("open node %s: %w", cfg.NodeID, err), n.closeErr)
	}
	return n, nil
}

// open takes the node's directory, ports and replicas, in this order: who has the directory alone may touch the rest.
func (n *Node) open() (err error) {
	if n.lock, err = lockDir(n.cfg.Dir); err != nil {
		return err
	}
	if err = errors.Join(n.sweepArchiveDir(), os.RemoveAll(n.backupDir())); err != nil {
		return err
	}
	groups := n.cfg.Groups
	if len(n.cfg.Bootstrap) == 0 {
		groups = 0
	}
	if n.restored, err = readRestored(n.cfg.Dir); err != nil {
		return err
	}
	if n.restored != nil {
		n.cfg.Groups, groups = n.restored.Groups, 0 // it is the backup's, whatever the configuration says
	}
	if n.identity, err = claimDir(n.cfg.Dir, n.cfg.NodeID, groups, n.cfg.Clock()); err != nil {
		return err
	}
	if err = n.claimRestored(); err != nil {
		return err
	}
	if err = n.openLog(); err != nil {
		return err
	}
	part := n.identity.get().ClusterID != ""
	if !part {
		if err := n.cfg.checkBootstrap(); err != nil {
			return err
		}
		if n.restored != nil && n.cfg.Join != "" {
			return errRestoredJoin
		}
	}
	if n.access, err = openAccess(&n.cfg, n.log); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", n.cfg.RESPAddr)
	if err != nil {
		return fmt.Errorf("listen for RESP: %w", err)
	}
	n.respAddr = ln.Addr().String()
	if n.mux, err = raftfsm.ListenSecureMux(n.cfg.RaftAddr, n.raftIdentity(), n.selfCard, n.log); err != nil {
		return errors.Join(fmt.Errorf("listen for raft: %w", err), ln.Close())
	}
	n.cards.fetch = n.mux.FetchCard
	n.client = wire.NewClient(n.cfg.client(n.respAddr, n.log))
	if part {
		if err := n.comeBack(); err != nil {
			return errors.Join(err, ln.Close())
		}
	}
	n.start(ln, part)
	return nil
}

// comeBack opens what this node holds of the cluster that it is part of.
func (n *Node) comeBack() error {
	if err := n.sweep(); err != nil {
		return err
	}
	f := n.identity.get()
	n.sized(f.Groups)
	if err := n.reopen(); err != nil {
		return err
	}
	if err := n.sweepLog(); err != nil {
		return err
	}
	if f.First != nil && !f.First.Made {
		return n.openFirst()
	}
	return n.dropRestored()
}

// sized makes room for the groups of the cluster.
func (n *Node) sized(groups int) {
	n.setMu.Lock()
	defer n.setMu.Unlock()
	n.change(func(s *replicaSet) {
		if len(s.groups) != groups {
			s.groups = make([]*host, groups)
		}
	})
}

// start starts all goroutines of the node. part tells whether it is part of a cluster already.
func (n *Node) start(ln net.Listener, part bool) {
	n.cards.follow(n.cfg.Bootstrap)
	n.server = newServer(n, ln)
	runs := []func(){n.followMap, n.mover.run, n.space.run, n.followUsers}
	if !part {
		runs = append(runs, n.enter)
	}
	n.done.Add(len(runs) + 1)
	for _, run := range runs {
		go run()
	}
	go func() {
		defer n.done.Done()
		n.server.serve()
	}()
}

// enter makes the node part of a cluster.
func (n *Node) enter() {
	defer n.done.Done()
	how := n.form
	if n.cfg.Join != "" {
		how = n.join
	}
	if err := how(n.life); err != nil && n.life.Err() == nil {
		n.barredBy = fmt.Errorf("node %s cannot become part of the cluster: %w", n.cfg.NodeID, err)
		close(n.barred)
	}
}

// RESPAddr gives host:port of the RESP server, with the port that was taken.
func (n *Node) RESPAddr() string { return n.respAddr }

// Groups gives the number of groups, 0 as long as the node is not part of a cluster.
func (n *Node) Groups() int { return len(n.replicas().groups) }

// Leads reports whether this node serves a group as its leader.
func (n *Node) Leads(id wire.GroupID) bool {
	h := n.replicas().host(id)
	return h != nil && h.raft.Serving()
}

// Status tells how the replica of a group stands on this node; zero where it holds none.
func (n *Node) Status(id wire.GroupID) raftfsm.Status {
	if h := n.replicas().host(id); h != nil {
		return h.raft.Status()
	}
	return raftfsm.Status{}
}

// Store gives the reads of this node's replica of a group, which may be behind the leader's; nil where it holds none.
func (n *Node) Store(id wire.GroupID) *raftfsm.Store {
	if h := n.replicas().host(id); h != nil {
		return h.store()
	}
	return nil
}

// Snapshot takes a snapshot of this node's replica of a group, which frees its log.
func (n *Node) Snapshot(ctx context.Context, id wire.GroupID) error {
	h := n.replicas().host(id)
	if h == nil {
		return fmt.Errorf("%w: this node holds no replica of group %d", wire.ErrBadRequest, id)
	}
	return h.raft.Snapshot(ctx)
}

// Close hands what the node leads to other nodes, for at most Config.DrainWait, then stops serving and closes the
// groups. Commands that are still under way are answered. It waits for all goroutines of the node.
func (n *Node) Close() error {
	n.closeOnce.Do(func() {
		close(n.closing)
		n.endLife()
		n.drain()
		n.closeErr = n.shut()
	})
	return n.closeErr
}

// Kill ends the node as a crash would:  is handed over and no snapshot taken. It is for tests of what survives.
func (n *Node) Kill() error {
	n.closeOnce.Do(func() {
		close(n.closing)
		n.endLife()
		n.closeErr = n.shut()
	})
	return n.closeErr
}

// drain moves the leadership of all groups away while the node still answers, so that clients are told where to go.
func (n *Node) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), n.cfg.DrainWait)
	defer cancel()
	var moves sync.WaitGroup
	for _, h := range n.replicas().held() {
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
	n.endLife()
	if n.server != nil {
		n.server.close()
	}
	n.cards.close()
	n.setMu.Lock()
	n.ending = true
	n.setMu.Unlock()
	held := n.replicas().held()
	var closes sync.WaitGroup
	closed := make([]error, len(held))
	for i, h := range held {
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
	if n.wal != nil {
		errs = append(errs, n.wal.Close())
	}
	if n.lock != nil {
		errs = append(errs, n.lock.Close())
	}
	return errors.Join(errs...)
}
