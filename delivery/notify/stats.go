package notify

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/delivery/follow"
	"github.com/quorate/quorate/meter"
	"github.com/quorate/quorate/sequencer/wire"
)

// stats counts what a notifier does. A scrape reads the counts.
type stats struct {
	seconds      *meter.Histogram // from a message's ack to the acceptance of a notification of it
	events       atomic.Uint64    // read from feeds
	looks        atomic.Uint64    // at who has got a chat's messages
	lookFailures atomic.Uint64    // look-ups at the sequencers of any kind, which are done again
	gaveUp       atomic.Uint64
	trims        atomic.Uint64
	chats        atomic.Int64 // that are looked after
	notices      atomic.Int64 // under way
	feeds        follow.Counts

	mu       sync.Mutex
	accepted map[wire.Platform]uint64
	failures map[failure]uint64
	removals map[wire.Platform]uint64
	groups   map[wire.GroupID]*groupStats
}

// failure is what a provider answered instead of accepting, in a word.
type failure struct {
	platform wire.Platform
	reason   string
}

// groupStats is how far a group is.
type groupStats struct {
	held            atomic.Bool
	next, committed atomic.Uint64
	oldest          atomic.Int64 // milliseconds: when the oldest message was sent that is not done with; 0: all are
}

func newStats() *stats {
	return &stats{
		seconds:  meter.NewHistogram(meter.Bounds{0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 5.25, 5.5, 6, 7, 8, 10, 15, 30, 60, 120, 300, 1800}),
		accepted: map[wire.Platform]uint64{}, failures: map[failure]uint64{}, removals: map[wire.Platform]uint64{},
		groups: map[wire.GroupID]*groupStats{},
	}
}

func (s *stats) sent(p wire.Platform, took time.Duration) {
	s.seconds.Observe(took.Seconds())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted[p]++
}

func (s *stats) failed(p wire.Platform, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures[failure{p, reason}]++
}

func (s *stats) removed(p wire.Platform) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removals[p]++
}

func (s *stats) group(g wire.GroupID) *groupStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.groups[g] == nil {
		s.groups[g] = &groupStats{}
	}
	return s.groups[g]
}

func (g *groupStats) clear() {
	g.held.Store(false)
	g.oldest.Store(0)
}

// lag sums up how far the groups that are held are behind: events that are read and not done with, and the age of the oldest.
func (s *stats) lag(now time.Time) (groups int, events uint64, age time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.groups {
		if !g.held.Load() {
			continue
		}
		groups++
		if next, committed := g.next.Load(), g.committed.Load(); next > committed {
			events += next - committed
		}
		if oldest := g.oldest.Load(); oldest > 0 {
			age = max(age, now.Sub(time.UnixMilli(oldest)))
		}
	}
	return groups, events, age
}
