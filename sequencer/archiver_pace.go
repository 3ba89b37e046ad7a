package sequencer

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// pace gives processor and disk back: archiving can wait, messages cannot. It rests for as long as was worked, and many times as long
// while messages come to the node, the longer the fewer processors there are, and less when the archive is late. It does so every few hundred microseconds, and lets other goroutines go first
// more often, as messages wait for what is worked at a time. It is of the archiver's goroutine alone.
type pace struct {
	appends *atomic.Int64 // that the node was asked for
	seen    int64
	busy    time.Time // until when messages count as coming
	woke    time.Time // when the work began that has not been rested for
	late    time.Time // when the archive is a round late
	behind  time.Time // when it is behind, see behindRounds
}

// For one time of work there are so many of rest.
const (
	lateRests = 3 // while messages come, and the archive is late
	idleRests = 1

	// busyShare is for what part of the processors' time is worked while messages come and the archive is not late: a fortieth.
	busyShare = 40

	busyFor = time.Second // after a message came

	restAfter = 500 * time.Microsecond // of work; for less there is no rest
	restMost  = 50 * time.Millisecond  // of work that is rested for: what takes longer is waiting, for a store or a quorum
)

// busyRests is how many, while messages come and the archive is not late.
func busyRests() time.Duration {
	return time.Duration(max(busyShare/runtime.GOMAXPROCS(0)-1, lateRests))
}

// begin begins a round of an archive that lags.
func (p *pace) begin(lag, every time.Duration) {
	p.woke = time.Now()
	p.late, p.behind = p.woke.Add(2*every-lag), p.woke.Add(behindRounds*every-lag)
}

// rest rests for the work since the last rest.
func (p *pace) rest(ctx context.Context) error {
	now := time.Now()
	worked := min(now.Sub(p.woke), restMost)
	if worked < restAfter {
		runtime.Gosched()
		return ctx.Err()
	}
	if n := p.appends.Load(); n != p.seen {
		p.seen, p.busy = n, now.Add(busyFor)
	}
	rests := time.Duration(idleRests)
	switch {
	case now.After(p.busy) || now.After(p.behind):
	case now.After(p.late):
		rests = lateRests
	default:
		rests = busyRests()
	}
	err := rest(ctx, worked*rests)
	p.woke = time.Now()
	return err
}

// rest does nothing for a time.
func rest(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
