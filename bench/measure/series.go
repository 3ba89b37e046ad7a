package measure

import "time"

// maxSeconds bounds a series: what happens later is not in it. It is more than a day.
const maxSeconds = 100_000

// Second is what ended in one second of a run.
type Second struct {
	T       int       `json:"t"` // seconds since the run began, warm-up included
	Count   int64     `json:"count"`
	Errors  int64     `json:"errors,omitempty"`
	Latency Histogram `json:"latency"`
}

// Series is a run by the second. Time in it only goes on. It is not safe for concurrent use.
type Series struct {
	Seconds []Second `json:"seconds"`
}

// at gives the second that holds t, nil where that is beyond all bounds.
func (s *Series) at(t time.Duration) *Second {
	i := int(t / time.Second)
	if i < 0 || i >= maxSeconds {
		return nil
	}
	for len(s.Seconds) <= i {
		s.Seconds = append(s.Seconds, Second{T: len(s.Seconds), Latency: Histogram{coarse: true}})
	}
	return &s.Seconds[i]
}

// Done counts n that ended at t and took so long.
func (s *Series) Done(t, took time.Duration, n int64) {
	if sec := s.at(t); sec != nil {
		sec.Count += n
		sec.Latency.RecordMany(took, n)
	}
}

// Failed counts an error at t.
func (s *Series) Failed(t time.Duration) {
	if sec := s.at(t); sec != nil {
		sec.Errors++
	}
}

// Merge adds another series, second by second.
func (s *Series) Merge(other *Series) {
	for i := range other.Seconds {
		o := &other.Seconds[i]
		sec := s.at(time.Duration(o.T) * time.Second)
		if sec == nil {
			return
		}
		sec.Count += o.Count
		sec.Errors += o.Errors
		sec.Latency.Merge(&o.Latency)
	}
}
