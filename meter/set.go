package meter

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Family is one metric: its name, its help text, and how its value is read off a T. Its labels are those
// of its Set and then its own.
type Family[T any] struct {
	name, help string
	kind       prometheus.ValueType // 0 for a histogram
	each       []string             // labels of the family's own
	value      func(T) float64
	values     func(T, func(value float64, labels ...string))
	counts     func(T) *Histogram
}

// Counter is a family that only rises, from the start of the process. The name ends in _total.
func Counter[T any](name, help string, value func(T) float64) Family[T] {
	return Family[T]{name: name, help: help, kind: prometheus.CounterValue, value: value}
}

// Gauge is a family that rises and falls.
func Gauge[T any](name, help string, value func(T) float64) Family[T] {
	return Family[T]{name: name, help: help, kind: prometheus.GaugeValue, value: value}
}

// Counters is a family of counters that labels tell apart. values calls put for each of them, always the same ones, so that
// no series comes and goes.
func Counters[T any](name, help string, labels []string, values func(v T, put func(value float64, labels ...string))) Family[T] {
	return Family[T]{name: name, help: help, kind: prometheus.CounterValue, each: labels, values: values}
}

// Gauges is Counters for what rises and falls.
func Gauges[T any](name, help string, labels []string, values func(v T, put func(value float64, labels ...string))) Family[T] {
	return Family[T]{name: name, help: help, kind: prometheus.GaugeValue, each: labels, values: values}
}

// Distribution is a histogram.
func Distribution[T any](name, help string, counts func(T) *Histogram) Family[T] {
	return Family[T]{name: name, help: help, counts: counts}
}

// Set is the families that are read off one kind of thing, such as a group. All its series have the labels of the set.
type Set[T any] struct {
	families []Family[T]
	descs    []*prometheus.Desc
}

// NewSet makes a set. labels name what tells one T from another.
func NewSet[T any](labels []string, families ...Family[T]) *Set[T] {
	s := &Set[T]{families: families}
	for _, f := range families {
		s.descs = append(s.descs, prometheus.NewDesc(f.name, f.help, slices.Concat(labels, f.each), nil))
	}
	return s
}

// Describe tells a registry of the families.
func (s *Set[T]) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range s.descs {
		ch <- d
	}
}

// Collect reads all families off v. labels are the values of the set's labels.
func (s *Set[T]) Collect(ch chan<- prometheus.Metric, v T, labels ...string) {
	for i, f := range s.families {
		switch desc := s.descs[i]; {
		case f.counts != nil:
			c := f.counts(v).Counts()
			ch <- prometheus.MustNewConstHistogram(desc, c.Count, c.Sum, c.Buckets, labels...)
		case f.values != nil:
			f.values(v, func(value float64, own ...string) {
				ch <- prometheus.MustNewConstMetric(desc, f.kind, value, slices.Concat(labels, own)...)
			})
		default:
			ch <- prometheus.MustNewConstMetric(desc, f.kind, f.value(v), labels...)
		}
	}
}

// Bool is 1 for true.
func Bool(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
