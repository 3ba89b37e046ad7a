package sequencer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// host is one group on this node: its replica and, while this node leads it, the road into its log.
type host struct {
	id   wire.GroupID
	node *Node
	raft *raftfsm.Group

	queue    *queue
	inFlight tokens
	flights  chan flight  // closed by the proposer when it ends
	lastTime wire.Millis  // of the last entry; the proposer's alone
	entries  atomic.Int64 // proposed
	commands atomic.Int64 // in them
	outbox   *outbox

	stop     chan struct{} // closed to end the proposer
	stopOnce sync.Once
	done     sync.WaitGroup
}

// openHost opens the replica of a group. Its goroutines start with start.
func openHost(n *Node, id wire.GroupID) (*host, error) {
	h := &host{
		id: id, node: n,
		queue:    newQueue(&n.cfg.Limits),
		inFlight: make(tokens, n.cfg.Limits.InFlight),
		flights:  make(chan flight, n.cfg.Limits.InFlight),
		stop:     make(chan struct{}),
	}
	h.outbox = newOutbox(h)
	var err error
	h.raft, err = raftfsm.Open(raftfsm.Config{
		Node: n.cfg.NodeID, Group: id, Dir: filepath.Join(n.cfg.Dir, "group-"+strconv.Itoa(int(id))),
		Bootstrap: n.cfg.Bootstrap, Timing: n.cfg.Timing,
		SnapshotEntries: n.cfg.SnapshotEntries, TrailingBytes: n.cfg.TrailingBytes, WriteDeadline: n.cfg.WriteDeadline,
		Logger: n.log.With("group", id), Fatal: n.cfg.Fatal,
	}, n.mux)
	if err != nil {
		return nil, fmt.Errorf("open group %d: %w", id, err)
	}
	return h, nil
}

func (h *host) start() {
	for _, run := range []func(){h.propose, h.complete, h.outbox.run, h.expire, h.follow} {
		h.done.Add(1)
		go run()
	}
}

// store gives the reads of this replica.
func (h *host) store() *raftfsm.Store { return h.raft.Store() }

// leadErr is nil where this node serves the group as its leader. Otherwise it says where to turn: *wire.MovedError with
// slot where another node leads, wire.ErrTryAgain where this one will soon serve or the leader's address is not yet
// known, wire.ErrClusterDown where no leader is known.
func (h *host) leadErr(slot wire.Slot) error {
	if h.raft.Serving() {
		return nil
	}
	leader, ok := h.raft.Leader()
	if !ok {
		return wire.ErrClusterDown
	}
	if leader.ID == h.node.cfg.NodeID {
		return wire.ErrTryAgain
	}
	card, ok := h.node.card(leader.ID)
	if !ok || card.RESPAddr == "" {
		return wire.ErrTryAgain
	}
	return &wire.MovedError{Slot: slot, Addr: card.RESPAddr}
}

// readBarrier waits until a read of this replica is linearizable: it sees every command that was acknowledged before the
// call. It answers wire.ErrTryAgain where this node does not serve the group.
func (h *host) readBarrier(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.node.cfg.Limits.ReadWait)
	defer cancel()
	err := h.raft.ReadBarrier(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return wire.ErrTryAgain
	}
	return err
}

// follow watches who leads: a new leader's addresses are asked for at once, and this node's outbox is looked at when it
// comes to serve.
func (h *host) follow() {
	defer h.done.Done()
	for {
		changed := h.raft.LeaderChanged()
		if h.raft.Serving() {
			h.outbox.kick()
		} else if leader, ok := h.raft.Leader(); ok {
			h.node.cards.ask(leader.ID)
		}
		select {
		case <-changed:
		case <-h.stop:
			return
		}
	}
}

// shut ends the goroutines of the group and closes its replica. Whoever waits is answered.
func (h *host) shut() error {
	h.queue.close()
	h.stopOnce.Do(func() { close(h.stop) })
	err := h.raft.Close() // completes what is in flight
	h.done.Wait()
	return err
}

func isTryAgain(err error) bool { return errors.Is(err, wire.ErrTryAgain) }
