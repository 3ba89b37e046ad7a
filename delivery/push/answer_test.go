package push

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                               0,
		"soon":                           0,
		"-5":                             0,
		"1.5":                            0,
		"0":                              time.Second,
		"1":                              time.Second,
		" 120 ":                          2 * time.Minute,
		"3600":                           time.Hour,
		"3601":                           time.Hour,
		"99999999999999999999999999":     time.Hour,
		"Sun, 29 Nov 2026 12:01:00 GMT":  time.Minute,
		"Sunday, 29-Nov-26 12:01:00 GMT": time.Minute,
		"Sun Nov 29 12:01:00 2026":       time.Minute,
		"Sun, 29 Nov 2026 11:00:00 GMT":  time.Second,
		"Sun, 29 Nov 2099 11:00:00 GMT":  time.Hour,
		"Fri, 31 Dec 9999 23:59:59 GMT":  time.Hour,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Sun, 29 Nov 2026 12:01:00 GMT")
	f.Add("99999999999999999999")
	f.Fuzz(func(t *testing.T, header string) {
		got := retryAfter(header, time.Now())
		if got != 0 && (got < minRetryAfter || got > maxRetryAfter) {
			t.Fatalf("%q: %v", header, got)
		}
	})
}

// statuses is what Web Push services and webhooks may answer.
var statuses = []struct {
	status          int
	after           string
	outcome, reason string
	wait            time.Duration
}{
	{200, "", "taken", "", 0},
	{201, "", "taken", "", 0},
	{202, "", "taken", "", 0},
	{204, "", "taken", "", 0},
	{300, "", "rejected", "redirect", 0},
	{304, "", "rejected", "redirect", 0},
	{307, "", "rejected", "redirect", 0},
	{400, "", "rejected", "refused", 0},
	{401, "", "rejected", "not authorized", 0},
	{402, "", "rejected", "refused", 0},
	{403, "", "rejected", "not authorized", 0},
	{404, "", "gone", "gone", 0},
	{405, "", "rejected", "refused", 0},
	{406, "", "rejected", "refused", 0},
	{408, "", "unavailable", "server error", 0},
	{409, "", "rejected", "refused", 0},
	{410, "", "gone", "gone", 0},
	{413, "", "rejected", "too large", 0},
	{415, "", "rejected", "refused", 0},
	{422, "", "rejected", "refused", 0},
	{425, "", "unavailable", "server error", 0},
	{429, "", "retry", "too many requests", time.Minute},
	{429, "7", "retry", "too many requests", 7 * time.Second},
	{429, "86400", "retry", "too many requests", time.Hour},
	{429, "nonsense", "retry", "too many requests", time.Minute},
	{500, "", "unavailable", "server error", 0},
	{501, "", "unavailable", "server error", 0},
	{502, "", "unavailable", "server error", 0},
	{503, "", "unavailable", "server error", 0},
	{503, "30", "retry", "server error", 30 * time.Second},
	{504, "", "unavailable", "server error", 0},
	{507, "", "unavailable", "server error", 0},
	{599, "", "unavailable", "server error", 0},
	{999, "", "rejected", "refused", 0},
}

func TestAnswer_ByStatus(t *testing.T) {
	c := &caller{of: WebPush}
	for _, s := range statuses {
		err := c.byStatus(&answer{status: s.status, after: retryAfter(s.after, time.Now())})
		mean(t, err, s.outcome, s.reason)
		var retry *RetryError
		if errors.As(err, &retry) && (retry.After != s.wait || retry.All == (s.status == http.StatusTooManyRequests)) {
			t.Errorf("%d: %+v", s.status, retry)
		}
	}
}
