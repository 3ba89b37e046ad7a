package sequencer

import (
	"context"
	"sync"
	"sync/atomic"
)

// answers is what connects the two halves of a connection: the calls in the order in which they came, put in by the
// reader at once and taken out by the writer when each has its answer. It is bounded: the reader waits for room.
type answers struct {
	limits *Limits
	work   chan struct{} // holds one token when the writer has to look again
	room   chan struct{} // holds one token when the reader has to look again

	awaited atomic.Pointer[call] // what the writer waits for

	mu    sync.Mutex
	queue []*call
	calls int // in the queue or at the writer
	bytes int // of their costs
	ended bool
}

func newAnswers(limits *Limits) *answers {
	return &answers{limits: limits, work: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

func poke(tokens chan struct{}) {
	select {
	case tokens <- struct{}{}:
	default:
	}
}

// put adds a call, when there is room for it and fewer than limit are under way. It is false when ctx ended first.
func (a *answers) put(ctx context.Context, k *call, limit int) bool {
	for {
		a.mu.Lock()
		if a.calls == 0 || a.calls < limit && a.bytes+k.cost <= a.limits.ConnReplyBytes {
			a.calls++
			a.bytes += k.cost
			a.queue = append(a.queue, k)
			first := len(a.queue) == 1
			a.mu.Unlock()
			if first {
				poke(a.work)
			}
			return true
		}
		a.mu.Unlock()
		select {
		case <-a.room:
		case <-ctx.Done():
			return false
		}
	}
}

// end says that there will be no more calls.
func (a *answers) end() {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	poke(a.work)
}

// take gives all calls that are queued, and the memory of the ones taken before back to the queue. It waits for some;
// none means that there will be no more, or that ctx ended.
func (a *answers) take(ctx context.Context, used []*call) []*call {
	clear(used)
	for {
		a.mu.Lock()
		taken, ended := a.queue, a.ended
		if len(taken) > 0 {
			a.queue = used[:0]
		}
		a.mu.Unlock()
		if len(taken) > 0 || ended {
			return taken
		}
		select {
		case <-a.work:
		case <-ctx.Done():
			return nil
		}
	}
}

// finished is told of every call that has got its answer.
func (a *answers) finished(k *call) {
	if a.awaited.Load() == k {
		poke(a.work)
	}
}

// await waits until a call is finished; it is false when ctx ended first.
func (a *answers) await(ctx context.Context, k *call) bool {
	a.awaited.Store(k)
	for !k.ready.Load() {
		select {
		case <-a.work:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// settle replaces what a call may cost by what it does.
func (a *answers) settle(k *call, cost int) {
	a.mu.Lock()
	a.bytes += cost - k.cost
	k.cost = cost
	a.mu.Unlock()
	poke(a.room)
}

// written gives back the room of calls whose answers are on their way to the client.
func (a *answers) written(done []*call) {
	a.mu.Lock()
	for _, k := range done {
		a.bytes -= k.cost
	}
	a.calls -= len(done)
	a.mu.Unlock()
	poke(a.room)
}
