package delivery

import (
	"fmt"
	"os"
	"sync/atomic"
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
