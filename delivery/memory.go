package delivery

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// memoryMeter tells what connections cost this process: its resident memory beyond what it had when there were none.
type memoryMeter struct {
	page int64
	base atomic.Int64 // bytes, as of the last look without connections
}

func newMemoryMeter() *memoryMeter {
	m := &memoryMeter{page: int64(os.Getpagesize())}
	m.base.Store(m.resident())
	return m
}

// resident is the process's resident memory in bytes, 0 where the system does not tell.
func (m *memoryMeter) resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int64
	if n, _ := fmt.Sscan(string(text), &size, &resident); n != 2 {
		return 0
	}
	return resident * m.page
}

// perConnection is what each of so many connections costs, 0 without any.
func (m *memoryMeter) perConnection(connections int) float64 {
	now := m.resident()
	if connections == 0 {
		m.base.Store(now)
		return 0
	}
	return float64(max(0, now-m.base.Load())) / float64(connections)
}

const (
	settled   = time.Second // when a node has come up
	tidyEvery = 30 * time.Second
	tidyWaste = 4 << 20 // bytes that are left alone
)

// tidy gives memory back that only a storm needed, until ctx ends. Sessions that come all at once leave as much garbage as they leave
// sessions, and then, idle, no reason to collect it; the runtime alone would keep it, and as much again.
// It also notes what the process has while there are no connections, should nobody ask for metrics then.
func (m *memoryMeter) tidy(ctx context.Context, connections func() int) {
	for wait := settled; pause(ctx, wait); wait = tidyEvery {
		if waste, live := heapWaste(); waste > max(tidyWaste, live/8) {
			debug.FreeOSMemory()
		}
		if connections() == 0 {
			m.base.Store(m.resident())
		}
	}
}

// heapWaste gives the bytes that the heap has from the system and does not need, and those that were reachable at the last
// collection.
func heapWaste() (waste, live uint64) {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	live = samples[0].Value.Uint64()
	return max(samples[1].Value.Uint64()+samples[2].Value.Uint64(), live) - live, live
}
