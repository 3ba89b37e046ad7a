package raftfsm

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

const (
	// compactionRest is how long a compaction rests after each 128 records, which is as often as Pebble lets it: what it writes makes each sync of
	// the log wait, the more the faster it comes.
	compactionRest = time.Millisecond
	// hurryFrom is how many layers of flushed tables make a store hurry; at l0StopWrites of them writes stand still.
	hurryFrom    = 12
	l0StopWrites = 24
)

// compactions shares out turns to compact among the stores of a process: one fewer at a time than it has processors. Replicas in a process compact at
// about the same time, as they hold the same, and each computes for seconds. While all processors have something to do, Go looks at the network
// every 10 ms only, also where that gives way to others.
type compactions struct {
	mu      sync.Mutex
	running int
	waiting []*compactor // in the order in which they get a turn
}

// processCompactions is for all stores of the process that have no other.
var processCompactions compactions

// compactor is a store's place among them: the scheduler of its database, and the handle of each of its turns. A store in which flushed tables pile up
// hurries: it waits for no turn and does not rest.
//
// Lock order: the mutexes of a pebble.DB before compactions.mu. What asks a DB holds none of them.
type compactor struct {
	all   *compactions
	db    compacted
	hurry atomic.Bool

	// Under all.mu:
	running int
	asking  int // questions to db that are under way
	asked   sync.Cond
	closed  bool
}

// compacted is what is asked of a pebble.DB.
type compacted interface {
	pebble.DBForCompaction
	Metrics() *pebble.Metrics
}

func (all *compactions) newCompactor() *compactor {
	return &compactor{all: all, asked: sync.Cond{L: &all.mu}}
}

// Register is told of the database, before all else.
func (c *compactor) Register(_ int, db pebble.DBForCompaction) { c.db = db.(compacted) }

// Unregister gives up the place. The database is not asked from then on, and what it still compacts does not rest.
func (c *compactor) Unregister() {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	c.closed = true
	c.hurry.Store(true)
	c.all.waiting = slices.DeleteFunc(c.all.waiting, func(w *compactor) bool { return w == c })
	for c.asking > 0 {
		c.asked.Wait()
	}
}

// TrySchedule takes a turn, or else a place in the queue.
func (c *compactor) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	if c.closed {
		return false, nil
	}
	if !c.mayRun() {
		c.all.queue(c)
		return false, nil
	}
	c.begin()
	return true, c
}

// UpdateGetAllowedWithoutPermission is called after each flush, with the database locked.
func (c *compactor) UpdateGetAllowedWithoutPermission() {
	if c.beginAsking() {
		go func() {
			c.look()
			c.all.mu.Lock()
			defer c.all.mu.Unlock()
			c.endAsking()
			c.all.next()
		}()
	}
}

// Started is told when a compaction begins.
func (*compactor) Started() {}

// MeasureCPU is called by a compaction after each 128 records, with nothing locked.
func (c *compactor) MeasureCPU(of pebble.CompactionGoroutineKind) {
	if of == pebble.CompactionGoroutinePrimary && !c.hurry.Load() {
		time.Sleep(compactionRest)
	}
}

// CumulativeStats is told what a compaction has written.
func (*compactor) CumulativeStats(pebble.CompactionGrantHandleStats) {}

// Done gives a turn back, and to whoever waits.
func (c *compactor) Done() {
	asking := c.beginAsking()
	if asking {
		c.look()
	}
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	if asking {
		c.endAsking()
	}
	c.end()
	c.all.next()
}

// look sees whether to hurry.
func (c *compactor) look() {
	if hurry := c.db.Metrics().Levels[0].Sublevels >= hurryFrom; hurry != c.hurry.Load() {
		c.all.mu.Lock()
		defer c.all.mu.Unlock()
		c.hurry.Store(hurry || c.closed)
	}
}

// beginAsking says whether the database may be asked, which stays open until endAsking.
func (c *compactor) beginAsking() bool {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	if !c.closed {
		c.asking++
	}
	return !c.closed
}

// endAsking needs all.mu.
func (c *compactor) endAsking() {
	if c.asking--; c.asking == 0 {
		c.asked.Broadcast()
	}
}

// mayRun, begin and end are of one more compaction. They need all.mu.
func (c *compactor) mayRun() bool {
	return c.running < c.db.GetAllowedWithoutPermission() &&
		(c.hurry.Load() || c.all.running < max(1, runtime.GOMAXPROCS(0)-1))
}

func (c *compactor) begin() {
	c.running++
	c.all.running++
}

func (c *compactor) end() {
	c.running--
	c.all.running--
}

// queue needs mu.
func (all *compactions) queue(c *compactor) {
	if !c.closed && !slices.Contains(all.waiting, c) {
		all.waiting = append(all.waiting, c)
	}
}

// next gives turns to those that wait, while there are any. A store stays in the queue, at its end, until it says that it has nothing to compact, as it
// does not ask again. It needs mu, and lets go of it while it asks.
func (all *compactions) next() {
	for {
		i := slices.IndexFunc(all.waiting, (*compactor).mayRun)
		if i < 0 {
			return
		}
		c := all.waiting[i]
		all.waiting = slices.Delete(all.waiting, i, i+1)
		c.begin()
		c.asking++
		all.mu.Unlock()
		took := c.db.Schedule(c)
		all.mu.Lock()
		c.endAsking()
		if took {
			all.queue(c)
		} else {
			c.end()
		}
	}
}
