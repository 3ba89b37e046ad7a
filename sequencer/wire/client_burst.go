package wire

import (
	"sync/atomic"
	"time"
)

const (
	burstFrom = 4                      // messages in each of the last bursts from which on another one like them is waited for
	burstWait = 200 * time.Microsecond // from its first message, at most
)

// bursts knows how messages come to a link: one by one, or many at a time. A burst begins when nothing is due and ends when nothing is again. What
// comes one by one is written at once, by whoever brings it. Where bursts follow each other, the next one is waited for, as it costs the sequencers far
// less to have it in one entry: it is taken for as large as the smaller of the last two. It is safe for concurrent use.
type bursts struct {
	now    atomic.Int64 // messages of the present or last burst
	before atomic.Int64 // of the one before
}

// begin says that nothing was due until now.
func (b *bursts) begin() { b.before.Store(b.now.Swap(0)) }

// add counts messages of the present burst.
func (b *bursts) add(n int64) { b.now.Add(n) }

// lone tells whether the next message is likely to come alone.
func (b *bursts) lone() bool { return b.now.Load() <= 1 }

// awaits tells whether more than waits is likely to come at once.
func (b *bursts) awaits(waiting int) bool {
	like := min(b.now.Load(), b.before.Load())
	return like >= burstFrom && int64(waiting) < like
}
