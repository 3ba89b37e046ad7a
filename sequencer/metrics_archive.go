package sequencer

import "github.com/quorate/quorate/meter"

// archiveMetrics are those of the archiver of one group.
var archiveMetrics = meter.NewSet([]string{"group"},
	meter.Gauge("quorate_archive_lag_seconds", "Time since a round left nothing undone, on the node that leads the group; 0 elsewhere and without an archive.",
		(*host).archiveLag),
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
