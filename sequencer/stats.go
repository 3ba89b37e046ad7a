package sequencer

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/meter"
	"github.com/quorate/quorate/sequencer/wire"
)

// epoch is when clock began.
var epoch = time.Now()

// clock is the time since the process began, as latencies are measured: it costs half of what time.Now does.
func clock() time.Duration { return time.Since(epoch) }

// hostStats counts what goes through one group on this node while it leads.
type hostStats struct {
	acks          *meter.Histogram // seconds from the queue to the answer, of commands that were stored
	entryCommands *meter.Histogram // per entry
	entryBytes    *meter.Histogram
	readers       feedReaders
}

func newHostStats() *hostStats {
	return &hostStats{
		acks:          meter.NewHistogram(meter.Latency),
		entryCommands: meter.NewHistogram(meter.Powers(1, 4, 7)),
		entryBytes:    meter.NewHistogram(meter.Powers(256, 4, 6)),
		readers:       feedReaders{at: map[int64]readPlace{}},
	}
}

// waiting tells how much is in the queue and in no entry yet.
func (q *queue) waiting() (commands, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, b := range q.batches {
		commands += len(b.waiting)
	}
	return commands, q.bytes
}

// readersSeen is how long a reader of the feed is remembered after its last read. It is longer than one may wait for
// events.
const readersSeen = 2 * time.Minute

// maxReaders bounds the readers of one group's feed that are told apart; more are not counted.
const maxReaders = 1024

// feedReaders knows how far the connections are that read a group's feed from this node.
type feedReaders struct {
	mu sync.Mutex
	at map[int64]readPlace // by the id of the connection
}

// readPlace is the offset that a connection asked for last, and when.
type readPlace struct {
	next wire.Offset
	seen time.Duration
}

// read notes that a connection has asked for the events from next on.
func (f *feedReaders) read(conn int64, next wire.Offset) {
	now := clock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.at[conn]; !known && len(f.at) >= maxReaders {
		f.forget(now)
		if len(f.at) >= maxReaders {
			return
		}
	}
	f.at[conn] = readPlace{next: next, seen: now}
}

// leave forgets a connection that has ended.
func (f *feedReaders) leave(conn int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.at, conn)
}

func (f *feedReaders) forget(now time.Duration) {
	for conn, place := range f.at {
		if now-place.seen > readersSeen {
			delete(f.at, conn)
		}
	}
}

// behind tells how many readers there are, and how many events the last of them is behind the feed's end, head.
func (f *feedReaders) behind(head wire.Offset) (readers int, lag uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(clock())
	for _, place := range f.at {
		if place.next < head {
			lag = max(lag, uint64(head-place.next))
		}
	}
	return len(f.at), lag
}

// reasons are the words of the errors that clients are answered, as metrics call them. FAULT, the last, is a fault of this
// node, which clients are told as TRYAGAIN.
var reasons = func() (words []string) {
	for _, t := range typed {
		words = append(words, t.err.Error())
	}
	return append(words, "MOVED", "FAULT")
}()

// reasonOf gives the index in reasons of an error.
func reasonOf(err error) int {
	var moved *wire.MovedError
	if errors.As(err, &moved) {
		return len(typed)
	}
	var redis redisError
	if errors.As(err, &redis) {
		err = wire.ErrBadRequest // whatever Redis's own word for it is
	}
	for i, t := range typed {
		if errors.Is(err, t.err) {
			return i
		}
	}
	return len(typed) + 1
}

// outcomes counts how the calls of one command ended.
type outcomes struct{ answered, refused atomic.Uint64 }

// answered counts one answer to a call of known, which is nil where there is no such command.
func (s *serverCounts) answered(known *command, err error) {
	i := 0
	if known != nil {
		i = known.number
	}
	if err == nil {
		s.outcomes[i].answered.Add(1)
		return
	}
	s.outcomes[i].refused.Add(1)
	s.refused[reasonOf(err)].Add(1)
}

// makeRoom must be called before the first answer.
func (s *serverCounts) makeRoom() {
	s.outcomes, s.refused = make([]outcomes, 1+len(table)), make([]atomic.Uint64, len(reasons))
}

// refusals gives how often err was answered.
func (s *serverCounts) refusals(err error) uint64 { return s.refused[reasonOf(err)].Load() }
