package wire

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// BreakerConfig says when a group counts as away, so that requests to it fail at once instead of each waiting out its time.
type BreakerConfig struct {
	Failures int           // so many attempts in a row have failed, 16
	After    time.Duration // and the last success is so long ago, 3 s: longer than the change of a leader takes
	Probe    time.Duration // then one request is let through about this often, 500 ms; its success ends it
}

func (cfg *BreakerConfig) fill() {
	orElse(&cfg.Failures, 16)
	orElse(&cfg.After, 3*time.Second)
	orElse(&cfg.Probe, 500*time.Millisecond)
}

// errBroken is what a request gets that a breaker refuses. It is definite.
var errBroken = fmt.Errorf("%w: the last requests to the same group failed", ErrClusterDown)

// breaker watches the attempts of one group. It refuses new requests only: those that are being tried again go on until
// their time is over, and so tell it as well when the group is back.
//
// What counts as a failure is an attempt that reached no leader: no connection, a lost one, CLUSTERDOWN, TRYAGAIN, UNKNOWN,
// silence. BUSY and MOVED count as nothing; every other answer is a success.
type breaker struct {
	cfg      BreakerConfig
	failures atomic.Int64 // in a row
	since    atomic.Int64 // when the first of these was, on the client's clock
	probeAt  atomic.Int64 // when the next request is let through; 0: closed, all are
}

func newBreaker(cfg BreakerConfig) *breaker { return &breaker{cfg: cfg} }

// closed reports whether all requests may pass.
func (b *breaker) closed() bool { return b.probeAt.Load() == 0 }

// probe reports whether a new request may pass while the breaker is not closed. Of many that ask at once one may.
func (b *breaker) probe(now time.Duration) bool {
	at := b.probeAt.Load()
	if at == 0 {
		return true
	}
	return int64(now) >= at && b.probeAt.CompareAndSwap(at, b.next(now))
}

// succeeded says that the group answers.
func (b *breaker) succeeded() {
	if b.failures.Load() != 0 {
		b.failures.Store(0)
		b.probeAt.Store(0)
	}
}

// failed says that an attempt reached no leader.
func (b *breaker) failed(now time.Duration) {
	n := b.failures.Add(1)
	if n == 1 {
		b.since.Store(int64(now))
	}
	if n >= int64(b.cfg.Failures) && now-time.Duration(b.since.Load()) >= b.cfg.After {
		b.probeAt.CompareAndSwap(0, b.next(now))
	}
}

// next spreads the probes of many clients.
func (b *breaker) next(now time.Duration) int64 {
	return int64(now + b.cfg.Probe/2 + time.Duration(rand.Int64N(int64(b.cfg.Probe))))
}
