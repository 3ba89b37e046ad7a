package push

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/time/rate"
)

// guard is a Provider: a courier with bounds around it. A notification goes through, in this order, the hold and the breaker of its
// lane, the rate and the places of the provider. None of them lets another platform wait.
type guard struct {
	inner   courier
	limits  ProviderLimits
	lanes   *lanes
	rate    *rate.Limiter
	places  chan struct{}
	closing chan struct{}
	log     *slog.Logger

	mu     sync.Mutex
	closed bool
	sends  sync.WaitGroup // adds are under mu, before closed
}

func newGuard(inner courier, l ProviderLimits, log *slog.Logger) *guard {
	return &guard{
		inner: inner, limits: l, lanes: newLanes(inner.platform(), l, log), rate: rate.NewLimiter(rate.Limit(l.PerSecond), l.Burst),
		places: make(chan struct{}, l.Concurrent), closing: make(chan struct{}), log: log,
	}
}

// Check implements Provider.
func (g *guard) Check(ctx context.Context, d *Device) error {
	if d.Platform != g.inner.platform() {
		return ErrBadDevice
	}
	ctx, cancel := context.WithTimeout(ctx, g.limits.Timeout)
	defer cancel()
	return g.inner.check(ctx, d)
}

// Send implements Provider. It takes Wait and two Timeouts at most.
func (g *guard) Send(ctx context.Context, d *Device, n *Notification) error {
	if !g.begin() {
		return g.failure(ErrUnavailable, "closed")
	}
	defer g.sends.Done()
	if d.Platform != g.inner.platform() {
		return g.failure(ErrRejected, "other platform")
	}
	if !isCollapseKey(n.CollapseKey) {
		return g.failure(ErrRejected, "bad collapse key")
	}
	name, known, err := g.inner.lane(d)
	if err != nil {
		return err
	}
	l, err := g.lanes.enter(name, known)
	if err != nil {
		return err
	}
	defer g.lanes.leave(l)
	_, err = l.breaker.Execute(func() (struct{}, error) { return struct{}{}, g.inTurn(ctx, d, n) })
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return g.failure(ErrUnavailable, "breaker open")
	}
	g.lanes.hold(l, err)
	return err
}

// Close implements Provider. Notifications that wait for their turn are given back, those under way end.
func (g *guard) Close() error {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		close(g.closing)
	}
	g.mu.Unlock()
	g.sends.Wait()
	g.inner.close()
	return nil
}

func (g *guard) begin() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.sends.Add(1)
	return true
}

func (g *guard) failure(kind error, reason string) *AnswerError {
	return &AnswerError{Kind: kind, Platform: g.inner.platform(), Reason: reason}
}

// busy gives a notification back that did not get its turn in time. It is not the provider's failure.
func (g *guard) busy() error {
	return &RetryError{After: time.Second, Err: g.failure(ErrUnavailable, reasonBusy)}
}

// inTurn sends when there is a place and the rate allows it.
func (g *guard) inTurn(ctx context.Context, d *Device, n *Notification) error {
	turn, cancel := context.WithTimeout(ctx, g.limits.Wait)
	defer cancel()
	select {
	case g.places <- struct{}{}:
		defer func() { <-g.places }()
	case <-turn.Done():
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return g.busy()
	case <-g.closing:
		return g.failure(ErrUnavailable, "closed")
	}
	if err := g.rate.Wait(turn); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return g.busy()
	}
	return g.contained(ctx, d, n)
}

// contained keeps a notification that finds a mistake of ours from taking the node down, again and again.
func (g *guard) contained(ctx context.Context, d *Device, n *Notification) (err error) {
	defer func() {
		if r := recover(); r != nil {
			g.log.Error("BUG: a notification was given up", "device", d, "chat", n.ChatID, "message", n.MessageID, "panic", r, "stack", string(debug.Stack()))
			err = g.failure(ErrRejected, "panic")
		}
	}()
	return g.inner.send(ctx, d, n)
}

// Use is what a provider has in hand.
type Use struct {
	Sending int // notifications under way
	Lanes   int // hosts that are remembered
	Open    int // of them left alone by their breaker
}

// InUse tells what a provider of Open has in hand, for metrics.
func InUse(p Provider) Use {
	g, isGuard := p.(*guard)
	if !isGuard {
		return Use{}
	}
	u := g.lanes.use()
	u.Sending = len(g.places)
	return u
}
