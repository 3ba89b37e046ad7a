package sequencer

import (
	"fmt"

	"github.com/quorate/quorate/meter"
	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// flight is one proposed entry on its way through the quorum.
type flight struct {
	proposal *raftfsm.Proposal
	batch    *batch
}

// tokens bounds entries in flight. A holder gives back what it took.
type tokens chan struct{}

// take waits for a token; it is false when stop closes first.
func (t tokens) take(stop <-chan struct{}) bool {
	select {
	case t <- struct{}{}:
		return true
	case <-stop:
		return false
	}
}

func (t tokens) give() { <-t }

// submit offers a command to the group. It never blocks. done is completed once: on the group's own goroutine after the
// command was applied, or before submit returns where it is refused. slot is that of the command's key.
func (h *host) submit(cmd raftfsm.Command, slot wire.Slot, done completion) {
	err := h.leadErr(slot)
	if err == nil && h.node.space.refuses(h.id, cmd) {
		err = errDiskFull
	}
	if err == nil && raftfsm.FormatOf(cmd) > h.node.format() {
		err = errFormat
	}
	if err == nil {
		err = h.queue.put(cmd, slot, done)
	}
	if err != nil {
		done.complete(raftfsm.Result{}, err)
	}
}

// errFormat refuses a command that some nodes of the cluster could not read. It is definite, and BUSY: it is taken as soon as
// all nodes are upgraded, and says nothing against the group.
var errFormat = fmt.Errorf("%w: not until all nodes of the cluster are upgraded", wire.ErrBusy)

// propose turns what waits into entries, one as soon as it is there, until stop. It gets a token of the group and one
// of the node before it cuts an entry, so that whatever arrives while it waits for them leaves in the same entry.
func (h *host) propose() {
	defer h.done.Done()
	defer close(h.flights)
	for {
		select {
		case <-h.queue.wake:
		case <-h.stop:
			h.refuse()
			return
		}
		for h.proposeOne() {
		}
	}
}

// proposeOne proposes the oldest batch; it is false when there was none.
func (h *host) proposeOne() bool {
	if h.queue.empty() || !h.inFlight.take(h.stop) {
		return false
	}
	if !h.node.inFlight.take(h.stop) {
		h.inFlight.give()
		return false
	}
	b := h.queue.take()
	if b == nil || !h.raft.Serving() {
		h.node.inFlight.give()
		h.inFlight.give()
		if b != nil {
			h.fail(b, nil)
		}
		return b != nil
	}
	size := len(b.commands) + entryOverhead
	entry := raftfsm.AppendEntry(make([]byte, 0, size), max(b.format, h.node.format()), h.now(), len(b.waiting), b.commands)
	h.entries.Add(1)
	h.commands.Add(int64(len(b.waiting)))
	h.stats.entryCommands.Observe(float64(len(b.waiting)))
	h.stats.entryBytes.Observe(float64(len(entry)))
	h.flights <- flight{proposal: h.raft.Propose(entry), batch: b} // has room for all tokens of the group
	return true
}

// entryOverhead is enough for what an entry holds beside its commands.
const entryOverhead = 32

// now is the time of the next entry: the clock's, but never earlier than that of the entry before it.
func (h *host) now() wire.Millis {
	h.lastTime = max(h.lastTime, h.node.cfg.Clock())
	return h.lastTime
}

// complete answers the commands of the entries in flight, in the order of the log, until there are no more.
func (h *host) complete() {
	defer h.done.Done()
	acks := meter.NewTally(h.stats.acks)
	for f := range h.flights {
		results, err := f.proposal.Wait()
		h.inFlight.give()
		h.node.inFlight.give()
		switch {
		case err != nil:
			h.fail(f.batch, err)
		case len(results) != len(f.batch.waiting):
			// The entry reached the state by a snapshot, which tells that it was applied but not to what end.
			h.fail(f.batch, wire.ErrUnknown)
		default:
			if f.batch.outbox {
				h.outbox.kick()
			}
			now := clock()
			for i, p := range f.batch.waiting {
				p.done.complete(results[i], nil)
				acks.Add((now - p.came).Seconds())
			}
			acks.Flush()
			h.queue.recycle(f.batch)
		}
	}
}

// refuse fails everything that waits.
func (h *host) refuse() {
	for b := h.queue.take(); b != nil; b = h.queue.take() {
		h.fail(b, nil)
	}
}

// fail answers all commands of a batch with err. Where err is nil or says that leadership is elsewhere, nothing of the
// batch was stored, and each command is told who leads now.
func (h *host) fail(b *batch, err error) {
	definite := err == nil || isTryAgain(err)
	for _, p := range b.waiting {
		if definite {
			if err = h.leadErr(p.slot); err == nil {
				err = wire.ErrTryAgain
			}
		}
		p.done.complete(raftfsm.Result{}, err)
	}
	h.queue.recycle(b)
}
