package push

import (
	"container/list"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
)

const (
	reasonBusy = "busy"
	reasonHeld = "held"
)

// lane is what fails together: a host that devices name, or all of APNs or FCM.
type lane struct {
	name    string
	breaker *gobreaker.CircuitBreaker[struct{}]
	place   *list.Element

	// under lanes.mu:
	busy  int
	until time.Time // the host asked to be left alone so long
}

// lanes are those used last. A host that is forgotten begins anew, which costs a few requests.
type lanes struct {
	of     Platform
	limits ProviderLimits
	log    *slog.Logger

	mu    sync.Mutex
	all   map[string]*lane
	order *list.List // of *lane, used last first
}

func newLanes(of Platform, l ProviderLimits, log *slog.Logger) *lanes {
	return &lanes{of: of, limits: l, log: log, all: map[string]*lane{}, order: list.New()}
}

// enter takes a place in a lane. Those of hosts that nobody knows are few, so that a slow one keeps no other waiting.
func (s *lanes) enter(name string, known bool) (*lane, error) {
	room := s.limits.PerHost
	if known {
		room = s.limits.Concurrent + s.limits.Concurrent // as many wait for their turn
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.find(name, known)
	if wait := time.Until(l.until); wait > 0 {
		return nil, s.retry(max(wait, minRetryAfter), true, reasonHeld)
	}
	if l.busy >= room {
		return nil, s.retry(time.Second, false, reasonBusy)
	}
	l.busy++
	return l, nil
}

func (s *lanes) retry(after time.Duration, all bool, reason string) error {
	return &RetryError{After: after, All: all, Err: &AnswerError{Kind: ErrUnavailable, Platform: s.of, Reason: reason}}
}

func (s *lanes) find(name string, known bool) *lane {
	if l := s.all[name]; l != nil {
		s.order.MoveToFront(l.place)
		return l
	}
	for e := s.order.Back(); e != nil && len(s.all) >= s.limits.Hosts; {
		old := e.Value.(*lane)
		e = e.Prev()
		if old.busy == 0 {
			s.order.Remove(old.place)
			delete(s.all, old.name)
		}
	}
	l := &lane{name: name, breaker: s.newBreaker(name, known)}
	l.place = s.order.PushFront(l)
	s.all[name] = l
	return l
}

func (s *lanes) newBreaker(name string, known bool) *gobreaker.CircuitBreaker[struct{}] {
	return gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name: name, Timeout: s.limits.Pause,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= uint32(s.limits.Failures) },
		IsSuccessful: func(err error) bool { return !isFailure(err) },
		// Nor does one who went away, or who got no turn, say that the host is well again.
		IsExcluded: func(err error) bool {
			return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || isBusy(err)
		},
		OnStateChange: func(name string, from, to gobreaker.State) {
			level := slog.LevelDebug // anybody can have a host that fails
			if known {
				level = slog.LevelWarn
			}
			s.log.Log(context.Background(), level, "the breaker of a push provider changed", "platform", s.of, "host", name, "from", from, "to", to)
		},
	})
}

// isFailure tells whether an error counts against a host. What is wrong with one device or one notification does not, nor does to be
// asked to slow down.
func isFailure(err error) bool {
	var answer *AnswerError
	return errors.Is(err, ErrUnavailable) && errors.As(err, &answer) && answer.Status != 429
}

func isBusy(err error) bool {
	var answer *AnswerError
	return errors.As(err, &answer) && answer.Reason == reasonBusy
}

func (s *lanes) leave(l *lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.busy--
}

// hold leaves the lane alone where its host asks for that as a whole.
func (s *lanes) hold(l *lane, err error) {
	var retry *RetryError
	if !errors.As(err, &retry) || !retry.All {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if until := time.Now().Add(retry.After); until.After(l.until) {
		l.until = until
	}
}

func (s *lanes) use() Use {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := Use{Lanes: len(s.all)}
	for _, l := range s.all {
		if l.breaker.State() == gobreaker.StateOpen {
			u.Open++
		}
	}
	return u
}
