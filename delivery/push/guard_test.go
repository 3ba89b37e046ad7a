package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/bubble"
)

// scripted is a courier that does what the test says. A device's Endpoint is its lane, and a Token means that an operator named it.
type scripted struct {
	do     func(ctx context.Context, d *Device, n *Notification) error
	sent   atomic.Int32
	now    atomic.Int32
	most   atomic.Int32
	closed atomic.Int32
}

func (s *scripted) platform() Platform { return Webhook }

func (s *scripted) lane(d *Device) (string, bool, error) { return d.Endpoint, d.Token != "", nil }

func (s *scripted) check(context.Context, *Device) error { return nil }

func (s *scripted) close() { s.closed.Add(1) }

func (s *scripted) send(ctx context.Context, d *Device, n *Notification) error {
	s.sent.Add(1)
	if now := s.now.Add(1); now > s.most.Load() {
		s.most.Store(now)
	}
	defer s.now.Add(-1)
	return s.do(ctx, d, n)
}

var errDown = &AnswerError{Kind: ErrUnavailable, Platform: Webhook, Status: 502, Reason: "server error"}

func guarded(l ProviderLimits, do func(ctx context.Context, d *Device, n *Notification) error) (*guard, *scripted) {
	s := &scripted{do: do}
	return newGuard(s, l.withDefaults(), slog.New(slog.DiscardHandler)), s
}

// to is a device at a host, which an operator named or not.
func to(host string, known bool) *Device {
	d := &Device{Platform: Webhook, Endpoint: host}
	if known {
		d.Token = "known"
	}
	return d
}

func TestGuard_AProviderThatFailsIsLeftAlone(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		down := true
		g, s := guarded(ProviderLimits{Failures: 3, Pause: 10 * time.Second}, func(context.Context, *Device, *Notification) error {
			if down {
				return errDown
			}
			return nil
		})
		a := to("a", true)
		for range 3 {
			mean(t, g.Send(t.Context(), a, note()), "unavailable", "server error")
		}
		for range 10 {
			mean(t, g.Send(t.Context(), a, note()), "unavailable", "breaker open")
		}
		if s.sent.Load() != 3 || InUse(g).Open != 1 {
			t.Errorf("%d were sent, %+v", s.sent.Load(), InUse(g))
		}
		time.Sleep(11 * time.Second)
		mean(t, g.Send(t.Context(), a, note()), "unavailable", "server error")
		mean(t, g.Send(t.Context(), a, note()), "unavailable", "breaker open")
		down = false
		time.Sleep(11 * time.Second)
		for range 5 {
			mean(t, g.Send(t.Context(), a, note()), "taken", "")
		}
		if InUse(g).Open != 0 {
			t.Errorf("%+v", InUse(g))
		}
	})
}

func TestGuard_OneHostThatIsDownStopsNoOther(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g, _ := guarded(ProviderLimits{Failures: 1}, func(_ context.Context, d *Device, _ *Notification) error {
			if d.Endpoint == "down" {
				return errDown
			}
			return nil
		})
		for range 3 {
			if err := g.Send(t.Context(), to("down", false), note()); err == nil {
				t.Error("taken")
			}
			mean(t, g.Send(t.Context(), to("up", false), note()), "taken", "")
		}
	})
}

func TestGuard_APoisonedNotificationStopsNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		answers := []error{
			&AnswerError{Kind: ErrRejected, Status: 400, Reason: "refused"},
			&AnswerError{Kind: ErrGone, Status: 410, Reason: "gone"},
			&RetryError{After: time.Minute, Err: &AnswerError{Kind: ErrUnavailable, Status: 429, Reason: "too many requests"}},
		}
		poison := 0
		g, s := guarded(ProviderLimits{Failures: 1}, func(_ context.Context, _ *Device, n *Notification) error {
			switch n.MessageID {
			case "panic":
				panic("a mistake of ours")
			case "poison":
				poison++
				return answers[poison%len(answers)]
			}
			return nil
		})
		for i := range 30 {
			n := note()
			n.MessageID = []string{"panic", "poison"}[i%2]
			if err := g.Send(t.Context(), to("a", true), n); err == nil {
				t.Error("taken")
			} else if n.MessageID == "panic" {
				mean(t, err, "rejected", "panic")
			}
			mean(t, g.Send(t.Context(), to("a", true), note()), "taken", "")
		}
		if s.sent.Load() != 60 {
			t.Errorf("%d were tried", s.sent.Load())
		}
	})
}

func TestGuard_AProviderThatAsksForAPauseGetsIt(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g, s := guarded(ProviderLimits{}, func(_ context.Context, d *Device, _ *Notification) error {
			if d.DeviceID == "first" {
				return &RetryError{After: time.Minute, All: true, Err: &AnswerError{Kind: ErrUnavailable, Status: 503, Reason: "server error"}}
			}
			return nil
		})
		first := to("a", true)
		first.DeviceID = "first"
		mean(t, g.Send(t.Context(), first, note()), "retry", "server error")
		time.Sleep(20 * time.Second)
		err := g.Send(t.Context(), to("a", true), note())
		mean(t, err, "retry", reasonHeld)
		if got := retryOf(t, err); got.After != 40*time.Second || !got.All {
			t.Errorf("%+v", got)
		}
		mean(t, g.Send(t.Context(), to("b", true), note()), "taken", "")
		time.Sleep(40 * time.Second)
		mean(t, g.Send(t.Context(), to("a", true), note()), "taken", "")
		if s.sent.Load() != 3 {
			t.Errorf("%d were sent", s.sent.Load())
		}
	})
}

// TestGuard_ASlowHostKeepsNoOtherWaiting has a host that answers nobody, with more notifications than the provider has places.
func TestGuard_ASlowHostKeepsNoOtherWaiting(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		g, _ := guarded(ProviderLimits{Concurrent: 8, PerHost: 2}, func(_ context.Context, d *Device, _ *Notification) error {
			if d.Endpoint == "slow" {
				<-release
			}
			return nil
		})
		var busy atomic.Int32
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if err := g.Send(t.Context(), to("slow", false), note()); err != nil {
					mean(t, err, "retry", reasonBusy)
					busy.Add(1)
				}
			})
		}
		synctest.Wait()
		if busy.Load() != 18 || InUse(g).Sending != 2 {
			t.Errorf("%d were given back, %+v", busy.Load(), InUse(g))
		}
		mean(t, g.Send(t.Context(), to("other", false), note()), "taken", "")
		close(release)
		all.Wait()
	})
}

func TestGuard_NotMoreAtOnceThanAllowed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g, s := guarded(ProviderLimits{Concurrent: 4, Wait: time.Second}, func(context.Context, *Device, *Notification) error {
			time.Sleep(400 * time.Millisecond)
			return nil
		})
		var outcomes sync.Map
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				outcome := Outcome(g.Send(t.Context(), to(fmt.Sprint("host", i), false), note()))
				n, _ := outcomes.LoadOrStore(outcome, new(atomic.Int32))
				n.(*atomic.Int32).Add(1)
			})
		}
		all.Wait()
		taken, _ := outcomes.Load("taken")
		back, _ := outcomes.Load("retry")
		if s.most.Load() != 4 || taken.(*atomic.Int32).Load() != 12 || back.(*atomic.Int32).Load() != 28 {
			t.Errorf("%d at once, %v taken, %v given back", s.most.Load(), taken.(*atomic.Int32).Load(), back.(*atomic.Int32).Load())
		}
	})
}

func TestGuard_NotFasterThanAllowed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g, _ := guarded(ProviderLimits{PerSecond: 10, Burst: 5, Wait: time.Second}, func(context.Context, *Device, *Notification) error { return nil })
		began := time.Now()
		for range 25 {
			mean(t, g.Send(t.Context(), to("a", true), note()), "taken", "")
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("25 took %v", took)
		}
	})
}

func TestGuard_WhoGoesAwayIsNoFailure(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g, _ := guarded(ProviderLimits{Failures: 1, Concurrent: 1}, func(ctx context.Context, d *Device, _ *Notification) error {
			if d.DeviceID == "waits" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		waits := to("a", true)
		waits.DeviceID = "waits"
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- g.Send(ctx, waits, note()) }()
		synctest.Wait()
		second, cancelSecond := context.WithCancel(t.Context())
		go func() { done <- g.Send(second, to("a", true), note()) }() // it waits for the only place
		synctest.Wait()
		cancelSecond()
		mean(t, <-done, "canceled", "")
		cancel()
		mean(t, <-done, "canceled", "")
		mean(t, g.Send(t.Context(), to("a", true), note()), "taken", "")
	})
}

func TestGuard_CloseWaitsForWhatIsUnderWay(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g, s := guarded(ProviderLimits{Concurrent: 1, Wait: time.Hour}, func(context.Context, *Device, *Notification) error {
			time.Sleep(3 * time.Second)
			return nil
		})
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- g.Send(t.Context(), to("a", true), note()) }()
		synctest.Wait()
		go func() { second <- g.Send(t.Context(), to("a", true), note()) }()
		synctest.Wait()
		if err := errors.Join(g.Close(), g.Close()); err != nil {
			t.Error(err)
		}
		mean(t, <-second, "unavailable", "closed")
		select {
		case err := <-first:
			mean(t, err, "taken", "")
		default:
			t.Error("it was closed before a notification ended")
		}
		mean(t, g.Send(t.Context(), to("a", true), note()), "unavailable", "closed")
		if s.closed.Load() == 0 {
			t.Error("the courier was not closed")
		}
	})
}

func TestGuard_HostsAreForgotten(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		g, _ := guarded(ProviderLimits{Hosts: 10, Failures: 1}, func(_ context.Context, d *Device, _ *Notification) error {
			if d.Endpoint == "busy" {
				<-release
			}
			return errDown
		})
		done := make(chan error)
		go func() { done <- g.Send(t.Context(), to("busy", false), note()) }()
		synctest.Wait()
		for i := range 1000 {
			if err := g.Send(t.Context(), to(fmt.Sprint("host", i), false), note()); err == nil {
				t.Fatal("taken")
			}
		}
		if u := InUse(g); u.Lanes != 10 {
			t.Errorf("%+v", u)
		}
		close(release)
		mean(t, <-done, "unavailable", "server error")
		mean(t, g.Send(t.Context(), to("busy", false), note()), "unavailable", "breaker open") // it was in use, so it was not forgotten
	})
}

func TestGuard_WhatItIsNotFor(t *testing.T) {
	g, s := guarded(ProviderLimits{}, func(context.Context, *Device, *Notification) error { return nil })
	other := to("a", true)
	other.Platform = FCM
	mean(t, g.Send(t.Context(), other, note()), "rejected", "other platform")
	if err := g.Check(t.Context(), other); !errors.Is(err, ErrBadDevice) {
		t.Error(err)
	}
	for _, key := range []string{"a b", "ä", "a\r\n", "123456789012345678901234567890123", "a/b", "a+b", "a="} {
		n := note()
		n.CollapseKey = key
		mean(t, g.Send(t.Context(), to("a", true), n), "rejected", "bad collapse key")
	}
	n := note()
	n.CollapseKey = ""
	mean(t, g.Send(t.Context(), to("a", true), n), "taken", "")
	if s.sent.Load() != 1 {
		t.Errorf("%d were sent", s.sent.Load())
	}
}
