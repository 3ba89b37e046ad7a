package sequencer

import "github.com/quorate/quorate/meter"

// archiveMetrics are those of the archiver of one group.
var archiveMetrics = meter.NewSet([]string{"group"},
	meter.Gauge("quorate_archive_lag_seconds", "Time since a round left nothing undone, on the node that leads the group; 0 elsewhere and without an archive.",
		(*host).archiveLag),
	meter.Gauge("quorate_archive_hot_alarm", "1 while the hot store takes more room than it should, on the node that leads the group.",
		func(h *host) float64 {
			if h.archiver.hot.on.Load() {
				return 1
			}
			return 0
		}),
	meter.Gauge("quorate_archive_broken_objects", "Objects that this node found lost, or other than they were written, since it began to serve the group.",
		func(h *host) float64 { return float64(h.archiver.broken.count()) }),
	meter.Counter("quorate_archive_objects_total", "Objects written, verified and committed.",
		func(h *host) float64 { return float64(h.archiver.stats.objects.Load()) }),
	meter.Counter("quorate_archive_messages_total", "Messages in them.",
		func(h *host) float64 { return float64(h.archiver.stats.messages.Load()) }),
	meter.Counter("quorate_archive_written_bytes_total", "Bytes of them.",
		func(h *host) float64 { return float64(h.archiver.stats.bytes.Load()) }),
	meter.Counter("quorate_archive_merged_total", "Objects whose messages were written anew into others.",
		func(h *host) float64 { return float64(h.archiver.stats.merged.Load()) }),
	meter.Counter("quorate_archive_removed_total", "Objects removed because no index referred to them for a day.",
		func(h *host) float64 { return float64(h.archiver.stats.removed.Load()) }),
	meter.Counter("quorate_archive_failures_total", "Rounds that failed.",
		func(h *host) float64 { return float64(h.archiver.stats.failures.Load()) }),
)
