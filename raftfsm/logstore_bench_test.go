package raftfsm

import (
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/raftfsm/wal"
)

// BenchmarkLogs measures the logs alone: so many groups of one node each store one entry of 16 KiB after the other, synced.
// An operation is one entry; CPU is that of the process.
func BenchmarkLogs(b *testing.B) {
	for _, kind := range []string{"bolt", "wal"} {
		for _, groups := range []int{1, 8} {
			b.Run(fmt.Sprintf("log=%s/groups=%d", kind, groups), func(b *testing.B) { benchmarkLogs(b, kind, groups) })
		}
	}
}

func benchmarkLogs(b *testing.B, kind string, groups int) {
	dir := b.TempDir()
	shared, err := wal.Open(filepath.Join(dir, "wal"), wal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer shared.Close()
	logs := make([]raft.LogStore, groups)
	for i := range logs {
		if logs[i], err = shared.Group(uint32(i)); err != nil {
			b.Fatal(err)
		}
		if kind == "bolt" {
			s, err := openBolt(filepath.Join(dir, fmt.Sprint(i)))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			logs[i] = s
		}
	}
	data := make([]byte, 16<<10)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	b.ResetTimer()
	before := processTime(b)
	var wg sync.WaitGroup
	for g, log := range logs {
		wg.Go(func() {
			for i := range uint64(b.N/groups) + 1 {
				if err := log.StoreLogs([]*raft.Log{{Index: i + 1, Term: 1, Data: data}}); err != nil {
					b.Errorf("group %d: %v", g, err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64((processTime(b)-before).Microseconds())/float64(b.N), "cpu-us/entry")
}

// processTime gives what this process has used, in user and system mode.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
