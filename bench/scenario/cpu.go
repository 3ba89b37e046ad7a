package scenario

import (
	"context"
	"os"
	"time"

	"github.com/quorate/quorate/bench/measure"
)

// cpuMeter reads processor times at the begin and the end of the window.
type cpuMeter struct {
	pids   []int
	server [2]time.Duration
	own    [2]time.Duration
	done   chan struct{} // closed when all below is set

	ended time.Time // of the window
	cut   bool      // it ended before its time
}

func meterCPU(ctx context.Context, pids []int, w measure.Window) *cpuMeter {
	m := &cpuMeter{pids: pids, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		sleep(ctx, time.Until(w.From))
		m.read(0)
		sleep(ctx, time.Until(w.To))
		m.read(1)
		m.ended = w.To
		if now := time.Now(); now.Before(w.To) {
			m.ended, m.cut = now, true
		}
	}()
	return m
}

func (m *cpuMeter) read(i int) {
	m.server[i], m.own[i] = measure.CPUOf(m.pids...), measure.CPUOf(os.Getpid())
}

// wait waits for the end of the window and tells what was taken in it.
func (m *cpuMeter) wait() measure.CPU {
	<-m.done
	return measure.CPU{
		ServerSeconds: (m.server[1] - m.server[0]).Seconds(), ServerPids: m.pids, GeneratorSeconds: (m.own[1] - m.own[0]).Seconds(),
	}
}

// sleep waits so long, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
