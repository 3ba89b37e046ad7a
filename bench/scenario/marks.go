package scenario

import (
	"fmt"
	"sync"
	"time"

	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/sequencer/wire"
)

// leadersLook is how often a run looks whether groups have other leaders, as its own client knows.
const leadersLook = 100 * time.Millisecond

// mark notes on the run's charts that something happens now. Nothing is noted before the run has begun.
func (r *run) mark(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.window.Began.IsZero() {
		r.result.Marks = append(r.result.Marks, measure.Mark{AtSeconds: time.Since(r.window.Began).Seconds(), What: what})
	}
}

// watch marks what happens to the cluster: groups that get other leaders, and what somebody outside tells. It goes on until stop is called.
func (r *run) watch() (stop func()) {
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		look := time.NewTicker(leadersLook)
		defer look.Stop()
		led := map[wire.GroupID]string{}
		for {
			select {
			case <-look.C:
				r.markLeaders(led)
			case what := <-r.access.Marks:
				r.mark(what)
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

// markLeaders marks who leads other groups than when it looked last. A group whose leader is not known is as it was.
func (r *run) markLeaders(led map[wire.GroupID]string) {
	if r.client == nil {
		return
	}
	for _, g := range r.client.Topology().Groups {
		if old := led[g.Group]; old != "" && g.Leader != "" && old != g.Leader {
			r.mark(fmt.Sprintf("group %d: %s leads", g.Group, g.Leader))
		}
		if g.Leader != "" {
			led[g.Group] = g.Leader
		}
	}
}
