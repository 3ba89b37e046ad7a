// Package meter counts what the parts of Quorate do, cheaply enough for the hot path, and shows it to Prometheus. A part
// keeps its counts in atomics and in the Histogram of this package; what a scrape reads is put together only when somebody
// scrapes, by a Set.
package meter

import (
	"math"
	"sort"
	"sync/atomic"
	"time"
)

// Bounds are the upper bounds of a histogram's buckets, ascending; a value that equals a bound is in its bucket. A last
// bucket without a bound is always there.
type Bounds []float64

// Latency has bounds in seconds for what waits for a quorum or a disk: 0.25 ms to 10 s.
var Latency = Bounds{
	0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
}

// Brief has fewer bounds, for what is watched less closely: 0.5 ms to 5 s.
var Brief = Bounds{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5}

// Powers gives n bounds, of which each is factor times the one before it.
func Powers(first, factor float64, n int) Bounds {
	b := make(Bounds, n)
	for i := range b {
		b[i] = first
		first *= factor
	}
	return b
}

// Histogram counts values by size. Observe may be called from any goroutine, allocates nothing and takes no lock.
type Histogram struct {
	bounds  Bounds
	buckets []atomic.Uint64 // one more than bounds
	sum     atomic.Uint64   // bits of a float64
}

// NewHistogram makes a histogram with the given buckets.
func NewHistogram(bounds Bounds) *Histogram {
	return &Histogram{bounds: bounds, buckets: make([]atomic.Uint64, len(bounds)+1)}
}

// Observe counts one value.
func (h *Histogram) Observe(v float64) {
	h.buckets[h.bounds.find(v)].Add(1)
	h.add(v)
}

// Took counts the time since start, in seconds.
func (h *Histogram) Took(start time.Time) { h.Observe(time.Since(start).Seconds()) }

func (h *Histogram) add(v float64) {
	for {
		old := h.sum.Load()
		if h.sum.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+v)) {
			return
		}
	}
}

// find gives the bucket of a value.
func (b Bounds) find(v float64) int {
	if len(b) > 16 {
		return sort.SearchFloat64s(b, v)
	}
	for i, bound := range b {
		if v <= bound {
			return i
		}
	}
	return len(b)
}

// Counts is what a histogram held at one moment. A value that is counted meanwhile may be in Sum and not yet in Count.
type Counts struct {
	Count   uint64
	Sum     float64
	Buckets map[float64]uint64 // values up to a bound, as Prometheus counts: each bucket holds the ones below it too
}

// Counts reads the histogram.
func (h *Histogram) Counts() Counts {
	c := Counts{Sum: math.Float64frombits(h.sum.Load()), Buckets: make(map[float64]uint64, len(h.bounds))}
	for i := range h.buckets {
		c.Count += h.buckets[i].Load()
		if i < len(h.bounds) {
			c.Buckets[h.bounds[i]] = c.Count
		}
	}
	return c
}

// Tally collects values for a histogram on one goroutine, without atomics, until it is flushed.
type Tally struct {
	of      *Histogram
	buckets []uint64
	sum     float64
}

// NewTally makes an empty tally for h.
func NewTally(h *Histogram) *Tally { return &Tally{of: h, buckets: make([]uint64, len(h.buckets))} }

// Add counts one value.
func (t *Tally) Add(v float64) {
	t.buckets[t.of.bounds.find(v)]++
	t.sum += v
}

// Flush moves what was added into the histogram.
func (t *Tally) Flush() {
	for i, n := range t.buckets {
		if n > 0 {
			t.of.buckets[i].Add(n)
			t.buckets[i] = 0
		}
	}
	if t.sum != 0 {
		t.of.add(t.sum)
		t.sum = 0
	}
}
