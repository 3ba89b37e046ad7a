package delivery

import (
	"testing"
	"time"

	"github.com/quorate/quorate/meter"
)

// TestBatchSize_FollowsTheTarget drives a target that is slow, middling and quick again, and watches the size go down, stay and go up.
func TestBatchSize_FollowsTheTarget(t *testing.T) {
	var limits BatchLimits
	limits.fill()
	stats := &batchStats{latency: meter.NewHistogram(meter.Latency)}
	b := newBatchSize(limits, stats)
	now := time.Now()
	begin := b.get()
	batches := func(n int, latency time.Duration) int {
		for range n {
			now = now.Add(latency)
			b.took(latency, now)
		}
		return b.get()
	}
	slow := batches(40, 700*time.Millisecond)
	if slow >= begin || slow < limits.Min {
		t.Errorf("a slow target: from %d to %d", begin, slow)
	}
	if lowest := batches(200, 700*time.Millisecond); lowest != limits.Min {
		t.Errorf("a target that stays slow: %d, not %d", lowest, limits.Min)
	}
	if kept := batches(100, 300*time.Millisecond); kept != limits.Min {
		t.Errorf("a target between the thresholds: %d", kept)
	}
	grown := batches(1000, 20*time.Millisecond)
	if grown != limits.Max {
		t.Errorf("a target that has recovered: %d, not %d", grown, limits.Max)
	}
	if stats.shrunk.Load() == 0 || stats.grown.Load() == 0 || stats.kept.Load() == 0 {
		t.Errorf("decisions: %d smaller, %d larger, %d the same", stats.shrunk.Load(), stats.grown.Load(), stats.kept.Load())
	}
}

// TestBatchSize_OneLateBatchCounts has one batch of a hundred take long: it is the 99th percentile that counts.
func TestBatchSize_OneLateBatchCounts(t *testing.T) {
	for _, row := range []struct {
		late int
		want time.Duration
	}{{0, time.Millisecond}, {1, time.Second}, {3, time.Second}} {
		list := make([]time.Duration, 64)
		for i := range list {
			if list[i] = time.Millisecond; i < row.late {
				list[i] = time.Second
			}
		}
		if got := percentile99(list); got != row.want {
			t.Errorf("%d late of 64: %v, want %v", row.late, got, row.want)
		}
	}
}
