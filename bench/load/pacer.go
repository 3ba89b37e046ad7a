package load

import (
	"context"
	"time"
)

// Pacer carries out a schedule. What it is behind with by its own fault is told, since that is no time of the server's.
type Pacer struct {
	schedule *Schedule
	clock    *Clock
	Planned  int64 // so far
	Behind   int64 // of these that it came to over 10 ms late
}

// NewPacer makes a pacer. The caller must Close it.
func NewPacer(s *Schedule) (*Pacer, error) {
	clock, err := NewClock()
	if err != nil {
		return nil, err
	}
	return &Pacer{schedule: s, clock: clock}, nil
}

// behindAfter is how late the pacer may come to what it planned.
const behindAfter = 10 * time.Millisecond

// Run calls do for everything on time, until the schedule or ctx ends. do must not wait. What was due by the end is done then, late as it
// is: leaving it out would hide the stall that made it late.
func (p *Pacer) Run(ctx context.Context, do func(n int64, planned time.Time)) {
	for {
		now := time.Now()
		for n, planned, due := p.schedule.Due(now); due; n, planned, due = p.schedule.Due(now) {
			p.Planned++
			if now.Sub(planned) > behindAfter {
				p.Behind++
			}
			do(n, planned)
		}
		at, over := p.schedule.Next()
		if over || ctx.Err() != nil {
			return
		}
		// A short sleep at a time, so that the end of ctx is seen.
		p.clock.Sleep(min(time.Until(at), 100*time.Millisecond))
	}
}

// Limited tells whether the pacer could not keep up: it came late to one in a hundred.
func (p *Pacer) Limited() bool { return p.Behind*100 > p.Planned }

// Close ends the clock.
func (p *Pacer) Close() error { return p.clock.Close() }
