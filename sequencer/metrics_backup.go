package sequencer

import "github.com/quorate/quorate/meter"

// backupMetrics are those of the saver of one group.
var backupMetrics = meter.NewSet([]string{"group"},
	meter.Gauge("quorate_backup_last_seconds", "Unix time at which this node last had the group saved in a backup whole; 0 for never.",
		func(h *host) float64 { return float64(h.saver.done.Load()) / 1000 }),
	meter.Counter("quorate_backup_begun_total", "Times that saving the group was begun.",
		func(h *host) float64 { return float64(h.saver.begun.Load()) }),
	meter.Counter("quorate_backup_failures_total", "Times that it failed.",
		func(h *host) float64 { return float64(h.saver.failed.Load()) }),
	meter.Counter("quorate_backup_sent_bytes_total", "Bytes sent to the store of backups; what was there already is not sent.",
		func(h *host) float64 { return float64(h.saver.sent.Load()) }),
)
