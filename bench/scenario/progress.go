package scenario

import (
	"sync"
	"time"
)

// enter begins a phase.
func (r *run) enter(phase string) {
	r.mu.Lock()
	r.phase = phase
	r.mu.Unlock()
	r.tell()
}

// tellProgress tells where the run stands, every second until stop is called.
func (r *run) tellProgress() (stop func()) {
	if r.access.Progress == nil {
		return func() {}
	}
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				r.tell()
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		ended.Wait()
	}
}

func (r *run) tell() {
	if r.access.Progress == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := Progress{Phase: r.phase, Total: r.Warmup + r.For}
	if !r.window.Began.IsZero() {
		p.Elapsed = min(time.Since(r.window.Began), p.Total)
		if r.phase == "measure" && p.Elapsed < r.Warmup {
			p.Phase = "warm-up"
		}
	}
	for i, rec := range r.recorders {
		at := rec.Progress()
		p.Sent += at.Sent
		p.Errors += at.Errors
		p.Done += at.Done
		if i == 0 {
			p.P99 = at.P99
		}
	}
	now := time.Now()
	if took := now.Sub(r.told).Seconds(); !r.told.IsZero() && took > 0.5 {
		p.PerS = float64(p.Done-r.last) / took
	}
	r.told, r.last = now, p.Done
	checks := r.judge.Checks()
	p.Broken = checks.Total()
	r.access.Progress(p)
}
