package meter_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/quorate/quorate/meter"
)

func TestHistogram_ValueOnABoundIsInItsBucket(t *testing.T) {
	for name, bounds := range map[string]meter.Bounds{"few": {1, 2, 4}, "many": append(meter.Bounds{1, 2, 4}, meter.Powers(8, 2, 20)...)} {
		h := meter.NewHistogram(bounds)
		for _, v := range []float64{0, 1, 1.5, 2, 4, 1e9} {
			h.Observe(v)
		}
		c := h.Counts()
		if c.Buckets[1] != 2 || c.Buckets[2] != 4 || c.Buckets[4] != 5 || c.Count != 6 || c.Sum != 8.5+1e9 {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// TestHistogram_NothingIsLostUnderLoad counts from many goroutines at once, one by one and by tally.
func TestHistogram_NothingIsLostUnderLoad(t *testing.T) {
	const workers, each = 8, 2000
	h := meter.NewHistogram(meter.Bounds{0.5, 1})
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			tally := meter.NewTally(h)
			for i := range each {
				if w%2 == 0 {
					h.Observe(1)
					continue
				}
				if tally.Add(1); i%7 == 0 {
					tally.Flush()
				}
			}
			tally.Flush()
			tally.Flush() // empty now: it must add nothing
		})
	}
	wg.Wait()
	if c := h.Counts(); c.Count != workers*each || c.Sum != workers*each || c.Buckets[1] != workers*each || c.Buckets[0.5] != 0 {
		t.Fatalf("%+v", c)
	}
}

func TestHistogram_ObserveAllocatesNothing(t *testing.T) {
	h := meter.NewHistogram(meter.Latency)
	tally := meter.NewTally(h)
	if n := testing.AllocsPerRun(100, func() { h.Observe(0.01); tally.Add(0.02); tally.Flush() }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

type tank struct {
	level float64
	flow  *meter.Histogram
}

type tanks struct {
	set *meter.Set[*tank]
	all map[string]*tank
}

func (c tanks) Describe(ch chan<- *prometheus.Desc) { c.set.Describe(ch) }

func (c tanks) Collect(ch chan<- prometheus.Metric) {
	for name, v := range c.all {
		c.set.Collect(ch, v, name)
	}
}

func TestSet_ScrapeShowsEveryFamily(t *testing.T) {
	set := meter.NewSet([]string{"tank"},
		meter.Gauge("tank_level_meters", "How full.", func(v *tank) float64 { return v.level }),
		meter.Counter("tank_refills_total", "How often refilled.", func(*tank) float64 { return 3 }),
		meter.Counters("tank_leaks_total", "Leaks by side.", []string{"side"}, func(_ *tank, put func(float64, ...string)) {
			put(1, "left")
			put(0, "right")
		}),
		meter.Distribution("tank_flow_seconds", "How long it flows.", func(v *tank) *meter.Histogram { return v.flow }),
	)
	flow := meter.NewHistogram(meter.Bounds{1, 2})
	flow.Observe(1.5)
	c := tanks{set, map[string]*tank{"a": {2.5, flow}}}
	want := `
# HELP tank_flow_seconds How long it flows.
# TYPE tank_flow_seconds histogram
tank_flow_seconds_bucket{tank="a",le="1"} 0
tank_flow_seconds_bucket{tank="a",le="2"} 1
tank_flow_seconds_bucket{tank="a",le="+Inf"} 1
tank_flow_seconds_sum{tank="a"} 1.5
tank_flow_seconds_count{tank="a"} 1
# HELP tank_leaks_total Leaks by side.
# TYPE tank_leaks_total counter
tank_leaks_total{side="left",tank="a"} 1
tank_leaks_total{side="right",tank="a"} 0
# HELP tank_level_meters How full.
# TYPE tank_level_meters gauge
tank_level_meters{tank="a"} 2.5
# HELP tank_refills_total How often refilled.
# TYPE tank_refills_total counter
tank_refills_total{tank="a"} 3
`
	if err := testutil.CollectAndCompare(c, strings.NewReader(want)); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkHistogram(b *testing.B) {
	h := meter.NewHistogram(meter.Latency)
	b.Run("observe", func(b *testing.B) {
		for b.Loop() {
			h.Observe(0.004)
		}
	})
	b.Run("tally", func(b *testing.B) {
		tally := meter.NewTally(h)
		for b.Loop() {
			tally.Add(0.004)
		}
		tally.Flush()
	})
}
