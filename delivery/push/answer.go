package push

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	maxAnswerBytes = 4 << 10 // of a body; more is not read
	minRetryAfter  = time.Second
	maxRetryAfter  = time.Hour
)

// answer is what a provider's server said.
type answer struct {
	status int
	body   []byte
	after  time.Duration // by its Retry-After, 0 without
}

// caller makes requests for one provider.
type caller struct {
	of      Platform
	client  *http.Client
	timeout time.Duration
}

// call makes a request. Without an answer the error is ctx's, ErrRejected where the gate forbids it, or ErrUnavailable.
func (c *caller) call(ctx context.Context, r *http.Request, bodyBytes int64) (*answer, error) {
	within, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	r.Header.Set("User-Agent", "quorate")
	response, err := c.client.Do(r.WithContext(within))
	if err != nil {
		return nil, c.unanswered(ctx, err)
	}
	defer response.Body.Close() //nolint:errcheck // what is left of it is not wanted
	body, err := io.ReadAll(io.LimitReader(response.Body, bodyBytes))
	if err != nil && response.StatusCode/100 != 2 { // with 2xx it was taken, whatever becomes of the rest
		return nil, c.unanswered(ctx, err)
	}
	return &answer{
		status: response.StatusCode, body: body,
		after: retryAfter(response.Header.Get("Retry-After"), time.Now()),
	}, nil
}

func (c *caller) unanswered(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, errForbidden) {
		return c.failure(ErrRejected, 0, "forbidden address")
	}
	return c.failure(ErrUnavailable, 0, networkReason(err))
}

func (c *caller) failure(kind error, status int, reason string) *AnswerError {
	return &AnswerError{Kind: kind, Platform: c.of, Status: status, Reason: reason}
}

// later is a failure that says when to come again.
func (c *caller) later(a *answer, reason string, otherwise time.Duration, all bool) error {
	after := a.after
	if after == 0 {
		after = otherwise
	}
	return &RetryError{After: after, All: all, Err: c.failure(ErrUnavailable, a.status, reason)}
}

// byStatus is what an answer means by its status alone.
func (c *caller) byStatus(a *answer) error {
	switch s := a.status; {
	case s/100 == 2:
		return nil
	case s/100 == 3:
		return c.failure(ErrRejected, s, "redirect")
	case s == http.StatusNotFound, s == http.StatusGone:
		return c.failure(ErrGone, s, "gone")
	case s == http.StatusRequestEntityTooLarge:
		return c.failure(ErrRejected, s, "too large")
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		return c.failure(ErrRejected, s, "not authorized")
	case s == http.StatusTooManyRequests:
		return c.later(a, "too many requests", time.Minute, false)
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s/100 == 5:
		return c.troubled(a, "server error")
	default:
		return c.failure(ErrRejected, s, "refused")
	}
}

// troubled is a server that cannot, for as long as it says, if it says.
func (c *caller) troubled(a *answer, reason string) error {
	if a.after > 0 {
		return c.later(a, reason, 0, true)
	}
	return c.failure(ErrUnavailable, a.status, reason)
}

// networkReason is one of a few words for why there was no answer. The errors themselves have addresses and what a server sent.
func networkReason(err error) string {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return "name not resolved"
	case errors.As(err, &certificate):
		return "certificate not trusted"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection lost"
	default:
		return "network"
	}
}

// retryAfter reads a Retry-After header of seconds or of a date, within its bounds; 0 is none.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if header == "" {
		return 0
	}
	if isDigits(header) {
		seconds, err := strconv.ParseUint(header, 10, 64)
		if err != nil || seconds > uint64(maxRetryAfter/time.Second) {
			return maxRetryAfter
		}
		return max(time.Duration(seconds)*time.Second, minRetryAfter)
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), minRetryAfter), maxRetryAfter)
}

func isDigits(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}
