package delivery

import (
	"sync"
	"time"

	"github.com/quorate/quorate/delivery/relay"
	"github.com/quorate/quorate/sequencer/wire"
)

const (
	edgeQueueBytes = 32 << 20  // waiting for one edge
	edgeBatchBytes = 256 << 10 // in one batch
	edgeWindow     = 8         // batches under way to one edge
)

// remoteEdge is another node of the region that is attached to this hub: what waits for it, and how far it is. Over the bound what waits is
// dropped, and the edge is told of the gap, so that its sessions look into their chats.
type remoteEdge struct {
	hub    *hub
	node   string // the id of its process
	number uint16 // in the hub's directory, while it is attached
	size   *batchSize

	places places // before which nothing of a group's feed is to be sent

	mu     sync.Mutex
	stands map[wire.GroupID]wire.Offset // what the edge said of itself last
	from   map[wire.GroupID]wire.Offset // where the next Covered begins
	lost   map[wire.GroupID]bool        // something was dropped, and the edge does not know yet
	urgent [][]byte                     // whole frames that are to go out before all others
	queue  []queued
	bytes  int
	batch  uint64   // the number of the last one
	flying []flight // batches that the edge has not handed on yet
	wake   chan struct{}
	gone   bool
}

// queued is an entry of a batch, or a whole frame that has to come after what is in front of it.
type queued struct {
	entry []byte
	frame []byte
	at    time.Time
}

// flight is a batch under way.
type flight struct {
	number uint64
	oldest time.Time
}

func newRemoteEdge(h *hub, node string) *remoteEdge {
	e := &remoteEdge{
		hub: h, node: node, size: newBatchSize(h.srv.limits.Batches, &h.srv.stats.batches),
		stands: map[wire.GroupID]wire.Offset{}, from: map[wire.GroupID]wire.Offset{},
		lost: map[wire.GroupID]bool{}, wake: make(chan struct{}, 1),
	}
	e.places.grow(h.size())
	return e
}

// next is the first event of a group that this edge is to get.
func (e *remoteEdge) next(g wire.GroupID) wire.Offset { return e.places.next(g) }

// raise notes that all before next has been queued.
func (e *remoteEdge) raise(g wire.GroupID, next wire.Offset) { e.places.raise(g, next) }

// restart has the edge get a group's events from an offset on. Only the group's reader calls it, and nobody while it runs.
func (e *remoteEdge) restart(g wire.GroupID, at wire.Offset) {
	if int(g) < len(e.places.at) {
		e.places.at[g].Store(uint64(at))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.from[g] = at
}

// told is where the edge said that it stands in a feed.
func (e *remoteEdge) told(g wire.GroupID) wire.Offset {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stands[g]
}

func (e *remoteEdge) stand(places []relay.Place) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range places {
		if int(p.Group) < len(e.places.at) {
			e.stands[p.Group] = p.Next
		}
	}
}

// queueEntry adds an entry for the next batch. wakeUp follows when there are no more for now.
func (e *remoteEdge) queueEntry(entry []byte) { e.push(queued{entry: entry, at: time.Now()}) }

// queueCovered tells the edge, behind what is queued, that all before open has been sent.
func (e *remoteEdge) queueCovered(g wire.GroupID, open wire.Offset) {
	e.mu.Lock()
	from := e.from[g]
	to := max(min(e.next(g), open), from)
	if e.lost[g] { // what was dropped lies before this
		to = max(e.next(g), from)
		from = to
		delete(e.lost, g)
	}
	e.from[g] = to
	e.mu.Unlock()
	e.push(queued{frame: relay.AppendCovered(nil, relay.Covered{Group: g, From: from, To: to})})
	e.wakeUp()
}

func (e *remoteEdge) push(q queued) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gone {
		return
	}
	size := len(q.entry) + len(q.frame) + 64
	if e.bytes+size > edgeQueueBytes {
		e.dropLocked()
		return
	}
	e.queue = append(e.queue, q)
	e.bytes += size
}

// dropLocked drops all that waits. The next Covered of each group begins where nothing before it has been sent, which is how the edge learns
// of it.
func (e *remoteEdge) dropLocked() {
	e.hub.srv.stats.edgeDrops.Add(1)
	e.queue, e.bytes = nil, 0
	for g := range e.from {
		e.lost[g] = true
	}
}

// answer sends a frame before all that waits.
func (e *remoteEdge) answer(frame []byte) {
	e.mu.Lock()
	if len(e.urgent) < 1024 && !e.gone {
		e.urgent = append(e.urgent, frame)
	}
	e.mu.Unlock()
	e.wakeUp()
}

func (e *remoteEdge) wakeUp() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// take appends what is to be written now to dst.
func (e *remoteEdge) take(dst []byte, entries [][]byte) ([]byte, [][]byte) {
	size := e.size.get()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range e.urgent {
		dst = append(dst, f...)
	}
	e.urgent = e.urgent[:0]
	for len(e.queue) > 0 && len(dst) < edgeBatchBytes {
		if q := e.queue[0]; q.frame != nil {
			dst = append(dst, q.frame...)
			e.popLocked()
			continue
		}
		if len(e.flying) >= edgeWindow {
			break
		}
		entries = entries[:0]
		oldest := e.queue[0].at
		for bytes := 0; len(e.queue) > 0 && e.queue[0].frame == nil && len(entries) < size && bytes < edgeBatchBytes; {
			entries = append(entries, e.queue[0].entry)
			bytes += len(e.queue[0].entry)
			e.popLocked()
		}
		e.batch++
		e.flying = append(e.flying, flight{e.batch, oldest})
		dst = relay.AppendBatch(dst, e.batch, entries)
		e.hub.srv.stats.relayBatches.Add(1)
		e.hub.srv.stats.relayEntries.Add(uint64(len(entries)))
	}
	return dst, entries
}

func (e *remoteEdge) popLocked() {
	q := &e.queue[0]
	e.bytes -= len(q.entry) + len(q.frame) + 64
	*q = queued{}
	if e.queue = e.queue[1:]; len(e.queue) == 0 {
		e.queue = nil
	}
}

// done notes that the edge has handed on all batches up to a number.
func (e *remoteEdge) done(number uint64, now time.Time) {
	e.mu.Lock()
	var took []time.Duration
	for len(e.flying) > 0 && e.flying[0].number <= number {
		took = append(took, now.Sub(e.flying[0].oldest))
		e.flying = e.flying[1:]
	}
	e.mu.Unlock()
	for _, d := range took {
		e.size.took(d, now)
	}
	e.wakeUp()
}

// end drops what waits for ever.
func (e *remoteEdge) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gone = true
	e.queue, e.bytes, e.urgent = nil, 0, nil
}

// waiting gives the bytes that wait for the edge.
func (e *remoteEdge) waiting() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.bytes
}
