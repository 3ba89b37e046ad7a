package sequencer

import (
	"time"

	"github.com/quorate/quorate/raftfsm"
)

// expire lets the group forget what is older than its retention, while this node leads it. The leader's clock decides;
// the command carries the outcome, so that all replicas forget the same.
func (h *host) expire() {
	defer h.done.Done()
	ticker := time.NewTicker(h.node.cfg.ExpireEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-h.stop:
			return
		}
		for h.expireOnce() {
		}
	}
}

// expireOnce proposes one Expire and reports whether there is more to forget.
func (h *host) expireOnce() (more bool) {
	cfg := &h.node.cfg
	now := cfg.Clock()
	answer := make(chan bool, 1)
	h.submit(raftfsm.Expire{
		FeedBefore:  max(0, now-millisOf(cfg.FeedRetention)),
		DedupBefore: max(0, now-millisOf(cfg.DedupRetention)),
		Max:         uint32(cfg.Limits.ExpireEvents),
	}, 0, doneFunc(func(res raftfsm.Result, err error) { answer <- err == nil && res.Err == nil && res.More }))
	return <-answer
}
