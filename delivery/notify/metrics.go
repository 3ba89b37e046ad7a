package notify

import (
	"maps"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorate/quorate/meter"
	"github.com/quorate/quorate/sequencer/wire"
)

// Collector shows the notifier to Prometheus. docs/metrics.md has a line for each metric.
func (n *Notifier) Collector() prometheus.Collector { return collector{n.shared.stats} }

type collector struct{ stats *stats }

// Describe tells a registry of all metrics.
func (collector) Describe(ch chan<- *prometheus.Desc) { metrics.Describe(ch) }

// Collect reads all metrics.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	v := sample{stats: c.stats}
	v.groups, v.behind, v.age = c.stats.lag(time.Now())
	c.stats.mu.Lock()
	v.accepted, v.removals, v.failures = maps.Clone(c.stats.accepted), maps.Clone(c.stats.removals), maps.Clone(c.stats.failures)
	c.stats.mu.Unlock()
	metrics.Collect(ch, v)
}

// sample is a notifier at one moment.
type sample struct {
	*stats
	groups             int
	behind             uint64
	age                time.Duration
	accepted, removals map[wire.Platform]uint64
	failures           map[failure]uint64
}

var metrics = meter.NewSet(nil,
	meter.Distribution("quorate_push_seconds",
		"Time from a message's ack to the acceptance of a notification of it by a device's provider, of the oldest message that it is about; clocks that differ show in it.",
		func(v sample) *meter.Histogram { return v.seconds }),
	meter.Counters("quorate_push_sent_total", "Notifications that providers accepted.", []string{"platform"},
		func(v sample, put func(float64, ...string)) { putPlatforms(v.accepted, put) }),
	meter.Counters("quorate_push_failed_total",
		"Notifications that providers did not accept, by why: retry and unavailable are tried again, gone removes the device, rejected is the end.",
		[]string{"platform", "reason"}, func(v sample, put func(float64, ...string)) {
			for _, p := range platforms {
				for _, reason := range reasons {
					put(float64(v.failures[failure{p, reason}]), string(p), reason)
				}
			}
		}),
	meter.Counters("quorate_push_devices_removed_total", "Devices that were forgotten because their provider said that they are gone.", []string{"platform"},
		func(v sample, put func(float64, ...string)) { putPlatforms(v.removals, put) }),
	meter.Counter("quorate_push_given_up_total", "Notifications that nobody accepted for too long, and messages that were too old when they were read.",
		func(v sample) float64 { return float64(v.gaveUp.Load()) }),
	meter.Gauge("quorate_push_groups", "Groups whose messages this node looks after.", func(v sample) float64 { return float64(v.groups) }),
	meter.Gauge("quorate_push_lag_seconds", "Age of the oldest message that is not done with; the grace is part of it.",
		func(v sample) float64 { return v.age.Seconds() }),
	meter.Gauge("quorate_push_lag_events", "Events from the first that is not done with to the last that was read.",
		func(v sample) float64 { return float64(v.behind) }),
	meter.Gauge("quorate_push_chats_waiting", "Chats with messages that nobody has looked after yet, or with notifications under way.",
		func(v sample) float64 { return float64(v.chats.Load()) }),
	meter.Gauge("quorate_push_notices", "Notifications under way, or to be tried again, one for each user and chat.",
		func(v sample) float64 { return float64(v.notices.Load()) }),
	meter.Counter("quorate_push_events_total", "Events read from feeds.", func(v sample) float64 { return float64(v.stats.events.Load()) }),
	meter.Counter("quorate_push_looks_total", "Chats whose watermarks were read, because the feed alone did not tell that all members had their messages.",
		func(v sample) float64 { return float64(v.looks.Load()) }),
	meter.Counter("quorate_push_look_failures_total", "Look-ups at the sequencers that failed; they are done again.",
		func(v sample) float64 { return float64(v.lookFailures.Load()) }),
	meter.Counter("quorate_push_feed_failures_total", "Reads of a feed that failed; another replica is asked then.",
		func(v sample) float64 { return float64(v.feeds.Failures.Load()) }),
	meter.Counter("quorate_push_feed_trims_total", "Feeds that no longer held what was to be read next.",
		func(v sample) float64 { return float64(v.trims.Load()) }),
)

// platforms and reasons are the labels that there are.
var (
	platforms = []wire.Platform{wire.WebPush, wire.APNs, wire.FCM, wire.Webhook}
	reasons   = []string{"gone", "rejected", "retry", "unavailable", "canceled", unsupported}
)

// unsupported is the reason where this node has no provider for a device.
const unsupported = "unsupported"

func putPlatforms(counts map[wire.Platform]uint64, put func(float64, ...string)) {
	for _, p := range platforms {
		put(float64(counts[p]), string(p))
	}
}
