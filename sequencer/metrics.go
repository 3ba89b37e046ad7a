package sequencer

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorate/quorate/meter"
	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// Collector shows the node to Prometheus. Its series say nothing of which node they are of. docs/metrics.md has a line for
// each of them.
func (n *Node) Collector() prometheus.Collector { return collector{n} }

type collector struct{ node *Node }

// Describe tells a registry of all metrics.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	serverMetrics.Describe(ch)
	groupMetrics.Describe(ch)
	archiveMetrics.Describe(ch)
	backupMetrics.Describe(ch)
	raftMetrics.Describe(ch)
	storeMetrics.Describe(ch)
	walMetrics.Describe(ch)
}

// Collect reads all metrics.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	serverMetrics.Collect(ch, c.node.server)
	if log := c.node.wal; log != nil {
		walMetrics.Collect(ch, walSample{log, log.Stats()})
	}
	for _, h := range c.node.replicas().held() {
		id := groupLabel(h.id)
		groupMetrics.Collect(ch, sampleOf(h), id)
		archiveMetrics.Collect(ch, h, id)
		backupMetrics.Collect(ch, h, id)
		raftMetrics.Collect(ch, raftSample{h.raft.Status(), h.raft.Stats(), h.raft}, id)
		storeMetrics.Collect(ch, h.store().Stats(), id)
	}
}

// groupLabel is a group's number, or "meta".
func groupLabel(id wire.GroupID) string {
	if id == wire.MetaGroup {
		return "meta"
	}
	return strconv.Itoa(int(id))
}

// serverMetrics are those of the RESP server, and of the node as a whole.
var serverMetrics = meter.NewSet(nil,
	meter.Gauge("quorate_sequencer_connections", "Open RESP connections.",
		func(s *server) float64 { return float64(s.connections()) }),
	meter.Counter("quorate_sequencer_connections_accepted_total", "RESP connections accepted.",
		func(s *server) float64 { return float64(s.counts.accepted.Load()) }),
	meter.Counter("quorate_sequencer_connections_rejected_total", "RESP connections refused because there were too many.",
		func(s *server) float64 { return float64(s.counts.rejected.Load()) }),
	meter.Counter("quorate_sequencer_protocol_errors_total", "RESP connections closed because of what they sent.",
		func(s *server) float64 { return float64(s.counts.hostile.Load()) }),
	meter.Counter("quorate_sequencer_auth_failures_total", "AUTH and HELLO with a wrong password.",
		func(s *server) float64 { return float64(s.counts.wrongPass.Load()) }),
	meter.Counter("quorate_sequencer_tls_failures_total", "TLS handshakes that failed: no certificate, or one that does not fit.",
		func(s *server) float64 { return float64(s.counts.strangers.Load()) }),
	meter.Counter("quorate_sequencer_connections_pushed_total", "Connections closed for others before they proved who they are.",
		func(s *server) float64 { return float64(s.counts.pushed.Load()) }),
	meter.Counter("quorate_sequencer_panics_total", "Panics that ended a connection; each is a bug.",
		func(s *server) float64 { return float64(s.counts.panics.Load()) }),
	meter.Counters("quorate_sequencer_commands_total", "RESP commands answered, by name and by whether the answer was an error.",
		[]string{"command", "outcome"}, commandOutcomes),
	meter.Counters("quorate_sequencer_errors_total", "RESP answers that were errors, by their first word.",
		[]string{"reason"}, refusedByReason),
	meter.Gauge("quorate_sequencer_feed_reads_waiting", "FEED.READ calls that wait for an event.",
		func(s *server) float64 { return float64(len(s.waiting)) }),
	meter.Gauge("quorate_sequencer_groups", "Groups this node has a replica of, the meta group included.",
		func(s *server) float64 { return float64(len(s.node.replicas().held())) }),
	meter.Gauge("quorate_sequencer_entries_in_flight", "Entries of all groups proposed and not yet applied.",
		func(s *server) float64 { return float64(len(s.node.inFlight)) }),
	meter.Gauge("quorate_sequencer_entries_in_flight_limit", "Entries of all groups that may be in flight at one time.",
		func(s *server) float64 { return float64(cap(s.node.inFlight)) }),
)

func (s *server) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.guards)
}

func commandOutcomes(s *server, put func(float64, ...string)) {
	for i := range s.counts.outcomes {
		name := "unknown"
		if i > 0 {
			name = table[i-1].name
		}
		put(float64(s.counts.outcomes[i].answered.Load()), name, "ok")
		put(float64(s.counts.outcomes[i].refused.Load()), name, "error")
	}
}

func refusedByReason(s *server, put func(float64, ...string)) {
	for i, reason := range reasons {
		put(float64(s.counts.refused[i].Load()), reason)
	}
}

// groupSample is the road into one group's log at one moment.
type groupSample struct {
	host                     *host
	queueCommands, queueSize int
	feedHead                 uint64
	feedReaders              int
	feedLag                  uint64
}

func sampleOf(h *host) (s groupSample) {
	s.host = h
	s.queueCommands, s.queueSize = h.queue.waiting()
	next, _ := h.store().FeedHead()
	s.feedHead = uint64(next)
	s.feedReaders, s.feedLag = h.stats.readers.behind(next)
	return s
}

// groupMetrics are those of the way from clients into a group's log, and of its feed.
var groupMetrics = meter.NewSet([]string{"group"},
	meter.Distribution("quorate_group_ack_seconds", "Time from a command's place in the queue to its answer, of commands that were stored.",
		func(g groupSample) *meter.Histogram { return g.host.stats.acks }),
	meter.Gauge("quorate_group_queue_commands", "Commands that wait to be put into an entry.",
		func(g groupSample) float64 { return float64(g.queueCommands) }),
	meter.Gauge("quorate_group_queue_bytes", "Bytes of the commands that wait to be put into an entry.",
		func(g groupSample) float64 { return float64(g.queueSize) }),
	meter.Gauge("quorate_group_entries_in_flight", "Entries proposed and not yet applied.",
		func(g groupSample) float64 { return float64(len(g.host.inFlight)) }),
	meter.Distribution("quorate_group_entry_commands", "Commands in one entry.",
		func(g groupSample) *meter.Histogram { return g.host.stats.entryCommands }),
	meter.Distribution("quorate_group_entry_size_bytes", "Bytes of one entry.",
		func(g groupSample) *meter.Histogram { return g.host.stats.entryBytes }),
	meter.Gauge("quorate_group_feed_head", "Offset that the next event of the feed will get.",
		func(g groupSample) float64 { return float64(g.feedHead) }),
	meter.Gauge("quorate_group_feed_readers", "Connections that have read the feed here in the last two minutes.",
		func(g groupSample) float64 { return float64(g.feedReaders) }),
	meter.Gauge("quorate_group_feed_lag_events", "Events that the slowest of those readers has not asked for yet.",
		func(g groupSample) float64 { return float64(g.feedLag) }),
	meter.Gauge("quorate_group_outbox_pending", "Changes of chat lists not yet acknowledged by the users' groups.",
		func(g groupSample) float64 { return float64(g.host.store().OutboxPending()) }),
)

// raftSample is a replica at one moment, and its counts.
type raftSample struct {
	status raftfsm.Status
	stats  *raftfsm.Stats
	group  *raftfsm.Group
}
