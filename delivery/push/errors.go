package push

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What a provider answers, beside nil. Every error of Check and Send is one of these or the caller's own context's; none has an
// endpoint, a token or a key in its text.
var (
	// ErrBadDevice says that a device cannot be one of the provider's. The text goes to who registers it.
	ErrBadDevice = errors.New("push: bad device")
	// ErrGone says that the device is no more: remove it.
	ErrGone = errors.New("push: the device is gone")
	// ErrRejected says that this notification never will be taken. Go on with the next; the device stays.
	ErrRejected = errors.New("push: rejected")
	// ErrUnavailable says that the provider cannot be had now: the network, its servers, its breaker, or our credentials there. Try
	// again later; the notification is as good as it was.
	ErrUnavailable = errors.New("push: unavailable")
)

// RetryError says when to try again. The notification was not taken.
type RetryError struct {
	After time.Duration // at least a second, at most an hour
	All   bool          // the provider asks for it as a whole, not for this device alone
	Err   error         // *AnswerError
}

func (e *RetryError) Error() string { return fmt.Sprintf("%v, again after %v", e.Err, e.After) }

// Unwrap gives the answer behind it.
func (e *RetryError) Unwrap() error { return e.Err }

// AnswerError is what became of a notification, in words that metrics and logs may have.
type AnswerError struct {
	Kind     error // one of the errors above
	Platform Platform
	Status   int    // of HTTP, 0 without an answer
	Reason   string // one of a known few
}

func (e *AnswerError) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("%v: %s: %s", e.Kind, e.Platform, e.Reason)
	}
	return fmt.Sprintf("%v: %s: %d %s", e.Kind, e.Platform, e.Status, e.Reason)
}

// Unwrap gives the kind.
func (e *AnswerError) Unwrap() error { return e.Kind }

// Outcome is one word for an answer of Send: taken, gone, rejected, retry, unavailable, canceled.
func Outcome(err error) string {
	var retry *RetryError
	switch {
	case err == nil:
		return "taken"
	case errors.As(err, &retry):
		return "retry"
	case errors.Is(err, ErrGone):
		return "gone"
	case errors.Is(err, ErrRejected):
		return "rejected"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "canceled"
	default:
		return "unavailable"
	}
}
