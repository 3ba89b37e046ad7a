package sequencer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// host is one group on this node: its replica and, while this node leads it, the road into its log.
type host struct {
	id         wire.GroupID
	generation uint64 // of the replica
	node       *Node
	raft       *raftfsm.Group

	queue        *queue
	inFlight     tokens
	flights      chan flight  // closed by the proposer when it ends
	lastTime     wire.Millis  // of the last entry; the proposer's alone
	entries      atomic.Int64 // proposed
	commands     atomic.Int64 // in them
	servingSince atomic.Int64 // milliseconds, by the node's clock
	outbox       *outbox
	archiver     *archiver
	saver        *saver
	stats        *hostStats

	stop     chan struct{} // closed to end the proposer
	stopOnce sync.Once
	done     sync.WaitGroup
}

// openHost opens the replica of a group. Its goroutines start with start. first is the group's first configuration, which
// counts only where the replica has no data yet.
func openHost(n *Node, id wire.GroupID, generation uint64, first []raftfsm.Peer) (*host, error) {
	h := &host{
		id: id, generation: generation, node: n,
		queue:    newQueue(&n.cfg.Limits),
		inFlight: make(tokens, n.cfg.Limits.InFlight),
		flights:  make(chan flight, n.cfg.Limits.InFlight),
		stop:     make(chan struct{}),
		stats:    newHostStats(),
	}
	h.outbox = newOutbox(h)
	h.archiver = newArchiver(h)
	h.saver = newSaver(h)
	var err error
	h.raft, err = raftfsm.Open(raftfsm.Config{
		Node: n.cfg.NodeID, Generation: generation, Group: id, Dir: n.replicaDir(id, generation),
		Cluster: n.identity.get().ClusterID, Bootstrap: first, Seed: n.seed(id, first), Timing: n.cfg.Timing,
		SnapshotEntries: n.cfg.SnapshotEntries, TrailingBytes: n.cfg.TrailingBytes, WriteDeadline: n.cfg.WriteDeadline,
		WAL: n.wal, Full: n.space.full.Load, Logger: n.log.With("group", id), Fatal: n.cfg.Fatal,
	}, n.mux)
	if err != nil {
		return nil, fmt.Errorf("open group %d: %w", id, err)
	}
	return h, nil
}

func (h *host) start() {
	for _, run := range []func(){h.propose, h.complete, h.outbox.run, h.archiver.run, h.expire, h.follow} {
		h.done.Add(1)
		go run()
	}
}

// replica names the replica.
func (h *host) replica() wire.ReplicaID {
	return wire.ReplicaID{Node: h.node.cfg.NodeID, Generation: h.generation}
}

// firstSlot is the first of the group's slots.
func (h *host) firstSlot() wire.Slot {
	if h.id == wire.MetaGroup {
		return 0
	}
	first, _ := wire.SlotRange(h.id, len(h.node.replicas().groups))
	return first
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
	card, ok := h.node.leaderCard(h.id)
	switch {
	case !ok:
		if _, known := h.raft.Leader(); known {
			return wire.ErrTryAgain
		}
		return wire.ErrClusterDown
	case card.Node == h.node.cfg.NodeID, card.RESPAddr == "":
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
			h.servingSince.Store(int64(h.node.cfg.Clock()))
			h.outbox.kick()
			if h.id == wire.MetaGroup {
				h.node.mover.kick()
			}
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
