package sequencer

import (
	"github.com/quorate/quorate/meter"
	"github.com/quorate/quorate/raftfsm/wal"
)

// walSample is the log that the replicas of a node share, at one moment.
type walSample struct {
	log   *wal.Log
	stats wal.Stats
}

// walMetrics are those of the shared log. A node whose replicas have a log each has none of them.
var walMetrics = meter.NewSet(nil,
	meter.Distribution("quorate_wal_write_seconds", "Time of one write to the log that all groups share, fdatasync included.",
		func(w walSample) *meter.Histogram { return w.log.Writes() }),
	meter.Counter("quorate_wal_records_total", "Entries and cuts in those writes; with their count, how many share one.",
		func(w walSample) float64 { return float64(w.stats.Records) }),
	meter.Gauge("quorate_wal_segments", "Files of the log.",
		func(w walSample) float64 { return float64(w.stats.Segments) }),
	meter.Gauge("quorate_wal_disk_bytes", "Bytes of those files.",
		func(w walSample) float64 { return float64(w.stats.FileBytes) }),
	meter.Gauge("quorate_wal_live_bytes", "Bytes of entries in them that snapshots have not made superfluous.",
		func(w walSample) float64 { return float64(w.stats.LiveBytes) }),
)
