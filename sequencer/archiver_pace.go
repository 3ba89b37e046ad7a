package sequencer

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// pace gives the processor back: archiving can wait, messages cannot. It rests for as long as was worked, and several times as long
// while messages come to the node, and it does so every few hundred microseconds, as messages wait for what is worked at a time. It is of the
// archiver's goroutine alone.
type pace struct {
	appends *atomic.Int64 // that the node was asked for
	seen    int64
	busy    time.Time // until when messages count as coming
	woke    time.Time // when the work began that has not been rested for
}

const (
	busyRests = 3           // for one time of work, while messages come
	busyFor   = time.Second // after one came

	restAfter = 500 * time.Microsecond // of work; for less there is no rest
)

// wake begins work: what was before it was none.
func (p *pace) wake() { p.woke = time.Now() }

// rest rests for the work since the last rest.
func (p *pace) rest(ctx context.Context) error {
	now := time.Now()
	worked := now.Sub(p.woke)
	if worked < restAfter {
		return ctx.Err()
	}
	if n := p.appends.Load(); n != p.seen {
		p.seen, p.busy = n, now.Add(busyFor)
	}
	if now.Before(p.busy) {
		worked *= busyRests
	}
	err := rest(ctx, worked)
	p.wake()
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

// pacedWriter rests before each write: a row group is encoded and compressed when it is full, a page after the other.
type pacedWriter struct {
	io.Writer
	rest func() error
}

func (w pacedWriter) Write(b []byte) (int, error) {
	if err := w.rest(); err != nil {
		return 0, err
	}
	return w.Writer.Write(b)
}
