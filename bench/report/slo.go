package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/bench/measure"
)

// SLO is what a run must reach.
type SLO struct {
	text string
	op   string // "" is the first operation
	what string
	most time.Duration
	rate float64
}

// ParseSLO reads p50=5ms, p99=50ms, p99.9=1s, max=2s (times from the planned time), rate=1000 (at least so many in a second) or
// errors=10 (at most so many, late and dropped ones included). An operation's name and a colon before it mean another than the first:
// "send to ack:p99=50ms".
func ParseSLO(text string) (SLO, error) {
	s := SLO{text: text}
	rest := text
	if name, after, ok := strings.Cut(text, ":"); ok {
		s.op, rest = strings.TrimSpace(name), after
	}
	what, value, ok := strings.Cut(rest, "=")
	s.what = strings.TrimSpace(what)
	var err error
	switch {
	case !ok:
		err = fmt.Errorf("there is no =")
	case s.what == "rate" || s.what == "errors":
		s.rate, err = strconv.ParseFloat(value, 64)
	case s.what == "max":
		s.most, err = time.ParseDuration(value)
	default:
		if _, err = s.share(); err == nil {
			s.most, err = time.ParseDuration(value)
		}
	}
	if err != nil {
		return SLO{}, fmt.Errorf("%q is no SLO such as p99=50ms, rate=1000 or errors=0: %w", text, err)
	}
	return s, nil
}

// share is the quantile that a name such as p99.9 means.
func (s *SLO) share() (float64, error) {
	number, ok := strings.CutPrefix(s.what, "p")
	percent, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || percent <= 0 || percent >= 100 {
		return 0, fmt.Errorf("%q is none of p50, p99.9, max, rate, errors", s.what)
	}
	return percent / 100, nil
}

// Miss tells how a result misses the SLO, "" where it does not.
func (s *SLO) Miss(r *measure.Result) string {
	o := r.Op(s.op)
	if s.op == "" && len(r.Ops) > 0 {
		o = r.Ops[0]
	}
	if o == nil {
		return fmt.Sprintf("SLO %s: there is no such operation", s.text)
	}
	switch s.what {
	case "rate":
		if got := o.PerSecond(r.Window()); got < s.rate {
			return fmt.Sprintf("SLO %s: it was %.1f", s.text, got)
		}
	case "errors":
		if got := o.Errors + o.Late + o.Dropped; float64(got) > s.rate {
			return fmt.Sprintf("SLO %s: it was %d", s.text, got)
		}
	default:
		got := o.Latency.Max()
		if share, err := s.share(); err == nil {
			got = o.Latency.At(share)
		}
		if got > s.most || o.Latency.Count() == 0 {
			return fmt.Sprintf("SLO %s: it was %s (%d measured)", s.text, got, o.Latency.Count())
		}
	}
	return ""
}
