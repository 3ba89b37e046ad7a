//go:build linux

package chaos

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// parseTiming reads heartbeat/election/lease.
func parseTiming(text string) (w timing, err error) {
	parts := strings.Split(text, "/")
	if len(parts) != 3 {
		return w, fmt.Errorf("a timing is heartbeat/election/lease, not %q", text)
	}
	for i, field := range []*time.Duration{&w.heartbeat, &w.election, &w.lease} {
		if *field, err = time.ParseDuration(parts[i]); err != nil {
			return w, err
		}
	}
	return w, nil
}

func TestParseTiming(t *testing.T) {
	w, err := parseTiming("200ms/300ms/150ms")
	if err != nil || w != (timing{200 * ms, 300 * ms, 150 * ms}) {
		t.Errorf("%v, %v", w, err)
	}
	for _, bad := range []string{"", "200ms", "1/2/3", "1s/1s/1s/1s"} {
		if _, err := parseTiming(bad); err == nil {
			t.Errorf("%q is no timing", bad)
		}
	}
}
