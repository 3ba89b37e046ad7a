package sequencer

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/archive"
)

// pace gives the processor back: archiving can wait, messages cannot. It rests for as long as was worked, and several times as long
// while messages come to the node. It is of the archiver's goroutine alone.
type pace struct {
	appends *atomic.Int64 // that the node was asked for
	seen    int64
	busy    time.Time // until when messages count as coming
}

const (
	busyRests = 3           // for one time of work, while messages come
	busyFor   = time.Second // after one came
)

// rest rests after work.
func (p *pace) rest(ctx context.Context, worked time.Duration) error {
	if worked <= 0 {
		return ctx.Err()
	}
	now := time.Now()
	if n := p.appends.Load(); n != p.seen {
		p.seen, p.busy = n, now.Add(busyFor)
	}
	if now.Before(p.busy) {
		worked *= busyRests
	}
	timer := time.NewTimer(worked)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pacedStore is a store whose reader rests before each request for what it did with the answer to the last.
type pacedStore struct {
	archive.Store
	pace *pace
	got  time.Time
}

// Get rests, and reads.
func (s *pacedStore) Get(ctx context.Context, key string, offset, size int64) ([]byte, error) {
	if !s.got.IsZero() {
		if err := s.pace.rest(ctx, time.Since(s.got)); err != nil {
			return nil, err
		}
	}
	b, err := s.Store.Get(ctx, key, offset, size)
	s.got = time.Now()
	return b, err
}
