package delivery

import (
	"slices"
	"sync"
	"time"
)

// BatchLimits say how the size of the batches of pushes follows what a target bears.
type BatchLimits struct {
	Slow time.Duration // a 99th percentile over it makes batches smaller; default 500 ms
	Fast time.Duration // one under it makes them larger; default 100 ms
	Min  int           // events in a batch at least; default 8
	Max  int           // and at most; default 1,000
}

func (l *BatchLimits) fill() {
	def(&l.Slow, 500*time.Millisecond)
	def(&l.Fast, 100*time.Millisecond)
	def(&l.Min, 8)
	def(&l.Max, 1000)
}

const (
	batchWindow = 64                     // latencies that a decision looks at
	batchSample = 8                      // latencies that are enough for one
	batchPause  = 250 * time.Millisecond // between two decisions
)

// batchSize is how many events go into one batch to a target. Each latency is the time from the oldest event's dispatch to the word of the
// target that all of the batch is with its clients. A target that takes long gets smaller batches, so that less is under way to it and the
// first of a batch need not wait for the last; one that is quick gets larger ones, which cost less. Safe for concurrent use.
type batchSize struct {
	limits BatchLimits
	stats  *batchStats

	mu      sync.Mutex
	size    int
	seen    []time.Duration // since the last decision, the last batchWindow of them
	decided time.Time
}

func newBatchSize(l BatchLimits, stats *batchStats) *batchSize {
	return &batchSize{limits: l, stats: stats, size: max(l.Min, l.Max/4)}
}

func (b *batchSize) get() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size
}

// took notes the latency of a batch that ended now.
func (b *batchSize) took(latency time.Duration, now time.Time) {
	b.stats.latency.Observe(latency.Seconds())
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.seen) == batchWindow {
		b.seen = append(b.seen[:0], b.seen[1:]...)
	}
	b.seen = append(b.seen, latency)
	waited := now.Sub(b.decided)
	if waited < batchPause || len(b.seen) < batchSample && waited < 4*batchPause {
		return
	}
	p99 := percentile99(b.seen)
	switch {
	case p99 > b.limits.Slow:
		b.size = max(b.limits.Min, b.size/2)
		b.stats.shrunk.Add(1)
	case p99 < b.limits.Fast && b.size < b.limits.Max:
		b.size = min(b.limits.Max, b.size+b.size/2+1)
		b.stats.grown.Add(1)
	default:
		b.stats.kept.Add(1)
	}
	b.seen, b.decided = b.seen[:0], now
}

func percentile99(list []time.Duration) time.Duration {
	sorted := slices.Clone(list)
	slices.Sort(sorted)
	return sorted[(len(sorted)*99+99)/100-1]
}
