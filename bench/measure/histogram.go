package measure

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A histogram holds times from a microsecond to ten minutes, with three digits each: 0.1 % is how wrong a quantile can be. What is
// longer counts as ten minutes. The seconds of a series are many, so theirs are coarse, which are right to 1 %.
const (
	longest      = 10 * time.Minute
	digits       = 3
	coarseDigits = 2
)

// Histogram is a distribution of times. It is not safe for concurrent use: each goroutine has its own, and they are merged. The zero
// value is empty.
type Histogram struct {
	hdr    *hdrhistogram.Histogram // nil while it is empty
	sum    time.Duration
	coarse bool
}

func (h *Histogram) open() *hdrhistogram.Histogram {
	if h.hdr == nil {
		n := digits
		if h.coarse {
			n = coarseDigits
		}
		h.hdr = hdrhistogram.New(1, longest.Microseconds(), n)
	}
	return h.hdr
}

// Record adds a time.
func (h *Histogram) Record(d time.Duration) { h.RecordMany(d, 1) }

// RecordMany adds a time n times.
func (h *Histogram) RecordMany(d time.Duration, n int64) {
	d = min(max(d, time.Microsecond), longest)
	_ = h.open().RecordValues((d + 500*time.Nanosecond).Microseconds(), n) // it is in range
	h.sum += d * time.Duration(n)
}

// Merge adds all of another histogram.
func (h *Histogram) Merge(other *Histogram) {
	if other.Count() == 0 {
		return
	}
	h.open().Merge(other.hdr)
	h.sum += other.sum
}

// Reset empties it and keeps its memory.
func (h *Histogram) Reset() {
	if h.hdr != nil {
		h.hdr.Reset()
	}
	h.sum = 0
}

// Count is how many times it holds.
func (h *Histogram) Count() int64 {
	if h.hdr == nil {
		return 0
	}
	return h.hdr.TotalCount()
}

// At gives the time that a share of all, 0 to 1, does not exceed; 0 of an empty one.
func (h *Histogram) At(share float64) time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(h.hdr.ValueAtPercentile(share*100)) * time.Microsecond
}

// Max is the longest time.
func (h *Histogram) Max() time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(h.hdr.Max()) * time.Microsecond
}

// Min is the shortest time.
func (h *Histogram) Min() time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(h.hdr.Min()) * time.Microsecond
}

// Mean is the average.
func (h *Histogram) Mean() time.Duration {
	if n := h.Count(); n > 0 {
		return h.sum / time.Duration(n)
	}
	return 0
}

// Point is a place on the curve of a distribution: this share of all, 0 to 1, took at most this long.
type Point struct {
	Share float64
	Time  time.Duration
}

// Curve gives the distribution as points, from few to all, denser the nearer they are to all.
func (h *Histogram) Curve() (points []Point) {
	if h.Count() == 0 {
		return nil
	}
	for _, b := range h.hdr.CumulativeDistributionWithTicks(10) {
		points = append(points, Point{b.Quantile / 100, time.Duration(b.ValueAt) * time.Microsecond})
	}
	return points
}

// histogramJSON is the written form: some quantiles for people and scripts, and all of it for those who go on with it.
type histogramJSON struct {
	Count  int64   `json:"count"`
	MinMs  float64 `json:"minMs"`
	MeanMs float64 `json:"meanMs"`
	P50Ms  float64 `json:"p50Ms"`
	P90Ms  float64 `json:"p90Ms"`
	P99Ms  float64 `json:"p99Ms"`
	P999Ms float64 `json:"p999Ms"`
	MaxMs  float64 `json:"maxMs"`
	HDR    string  `json:"hdr,omitempty"` // HdrHistogram V2, compressed, base64; microseconds
}

// MarshalJSON writes quantiles and the whole.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	j := histogramJSON{
		Count: h.Count(), MinMs: Ms(h.Min()), MeanMs: Ms(h.Mean()), P50Ms: Ms(h.At(0.5)), P90Ms: Ms(h.At(0.9)), P99Ms: Ms(h.At(0.99)),
		P999Ms: Ms(h.At(0.999)), MaxMs: Ms(h.Max()),
	}
	if j.Count > 0 {
		b, err := h.hdr.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
		if err != nil {
			return nil, fmt.Errorf("encode a histogram: %w", err)
		}
		j.HDR = string(b)
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (h *Histogram) UnmarshalJSON(b []byte) error {
	var j histogramJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*h = Histogram{}
	if j.Count == 0 {
		return nil
	}
	hdr, err := hdrhistogram.Decode([]byte(j.HDR))
	if err != nil {
		return fmt.Errorf("decode a histogram: %w", err)
	}
	if hdr.TotalCount() != j.Count {
		return fmt.Errorf("decode a histogram: it holds %d times and says %d", hdr.TotalCount(), j.Count)
	}
	h.coarse = hdr.SignificantFigures() < digits
	h.open().Merge(hdr)
	h.sum = time.Duration(j.MeanMs * float64(time.Millisecond) * float64(j.Count))
	return nil
}

// Ms is a time in milliseconds.
func Ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
