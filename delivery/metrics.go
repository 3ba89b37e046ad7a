package delivery

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorate/quorate/meter"
)

// Collector shows the edge to Prometheus. docs/metrics.md has a line for each metric.
func (s *Server) Collector() prometheus.Collector { return collector{s} }

type collector struct{ srv *Server }

// Describe tells a registry of all metrics.
func (collector) Describe(ch chan<- *prometheus.Desc) { edgeMetrics.Describe(ch) }

// Collect reads all metrics.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	v := edgeSample{srv: c.srv, stats: c.srv.stats}
	v.outboxBytes, v.outboxMost, v.outboxes = c.srv.engine.outboxes()
	edgeMetrics.Collect(ch, v)
}

// edgeSample is an edge at one moment.
type edgeSample struct {
	srv                               *Server
	stats                             *stats
	outboxBytes, outboxMost, outboxes int
}

var edgeMetrics = meter.NewSet(nil,
	meter.Gauge("quorate_delivery_connections", "Open WebSocket connections.",
		func(v edgeSample) float64 { return float64(v.srv.engine.conns()) }),
	meter.Gauge("quorate_edge_bytes_per_connection",
		"Resident memory of the process beyond what it had without connections, for each of them; 0 without any.",
		func(v edgeSample) float64 { return v.srv.memory.perConnection(v.srv.engine.conns()) }),
	meter.Gauge("quorate_delivery_sessions", "Connections that have said hello.",
		func(v edgeSample) float64 { return float64(v.srv.registry.count()) }),
	meter.Counters("quorate_delivery_closes_total", "WebSocket connections that ended, by close code.", []string{"code"}, closesByCode),
	meter.Gauge("quorate_delivery_outbox_bytes", "Bytes queued for clients and not yet taken by their sockets.",
		func(v edgeSample) float64 { return float64(v.outboxBytes) }),
	meter.Gauge("quorate_delivery_outbox_fullest_bytes", "Bytes in the fullest outbox.",
		func(v edgeSample) float64 { return float64(v.outboxMost) }),
	meter.Gauge("quorate_delivery_outboxes_waiting", "Connections whose outbox is not empty.",
		func(v edgeSample) float64 { return float64(v.outboxes) }),
	meter.Counter("quorate_delivery_socket_writes_total", "System calls that wrote to clients.",
		func(v edgeSample) float64 { return float64(v.srv.engine.writes.Load()) }),
	meter.Counters("quorate_delivery_messages_pushed_total", "Messages put into outboxes, by whether the feed or a catch-up brought them.",
		[]string{"road"}, func(v edgeSample, put func(float64, ...string)) {
			put(float64(v.stats.pushedLive.Load()), "live")
			put(float64(v.stats.pushedCaughtUp.Load()), "catchup")
		}),
	meter.Counter("quorate_delivery_archive_pages_total", "Pages of history with messages of the archive.",
		func(v edgeSample) float64 { return float64(v.stats.archivePages.Load()) }),
	meter.Counter("quorate_delivery_archive_failures_total", "Of them, those that could not be read.",
		func(v edgeSample) float64 { return float64(v.stats.archiveFailures.Load()) }),
	meter.Counter("quorate_delivery_archive_corrupt_total", "Of those, the ones whose object is lost, or not what was archived.",
		func(v edgeSample) float64 { return float64(v.stats.archiveCorrupt.Load()) }),
	meter.Distribution("quorate_delivery_archive_seconds", "Time to read a page's messages of the archive.",
		func(v edgeSample) *meter.Histogram { return v.stats.archiveSeconds }),
	meter.Gauge("quorate_delivery_catchup_pages_underway", "Pages of catch-up asked for and not yet answered.",
		func(v edgeSample) float64 { return float64(v.stats.pullsUnderway.Load()) }),
	meter.Counter("quorate_delivery_catchup_pages_total", "Pages of catch-up answered.",
		func(v edgeSample) float64 { return float64(v.stats.pulls.Load()) }),
	meter.Counter("quorate_delivery_catchup_failures_total", "Pages of catch-up that could not be read; they are asked for again.",
		func(v edgeSample) float64 { return float64(v.stats.pullFailures.Load()) }),
	meter.Counters("quorate_delivery_recent_pages_total", "Pages of catch-up looked for in this node's memory, by whether they were there.", []string{"found"},
		func(v edgeSample, put func(float64, ...string)) {
			put(float64(v.srv.recent.hits.Load()), "yes")
			put(float64(v.srv.recent.misses.Load()), "no")
		}),
	meter.Gauge("quorate_delivery_recent_bytes", "Messages of chats that are kept for those who come back.",
		func(v edgeSample) float64 { return float64(v.srv.recent.size()) }),
	meter.Gauge("quorate_delivery_loads_waiting", "Sessions that wait for their chats to be read.",
		func(v edgeSample) float64 { return float64(len(v.srv.loads.queue)) }),
	meter.Gauge("quorate_delivery_loads_limit", "Sessions that may wait so; beyond, clients are sent away.",
		func(v edgeSample) float64 { return float64(cap(v.srv.loads.queue)) }),
	meter.Counter("quorate_delivery_feed_events_total", "Events read from feeds.",
		func(v edgeSample) float64 { return float64(v.stats.feedEvents.Load()) }),
	meter.Distribution("quorate_delivery_feed_delay_seconds",
		"Time from an event's entry to its dispatch here, of the oldest event in each batch; clocks that differ show in it.",
		func(v edgeSample) *meter.Histogram { return v.stats.feedDelay }),
	meter.Gauge("quorate_delivery_feeds_late", "Feeds that cannot be read at present.",
		func(v edgeSample) float64 { return float64(v.stats.feeds.Late.Load()) }),
	meter.Counter("quorate_delivery_feed_failures_total", "Reads of a feed that failed; another replica is asked then.",
		func(v edgeSample) float64 { return float64(v.stats.feeds.Failures.Load()) }),
	meter.Counter("quorate_delivery_feed_silences_total", "Replicas left because their feed stood still while another's went on.",
		func(v edgeSample) float64 { return float64(v.stats.feeds.Silences.Load()) }),
	meter.Counter("quorate_delivery_feed_trims_total", "Feeds that were trimmed beyond this edge's place, so that all sessions caught up.",
		func(v edgeSample) float64 { return float64(v.stats.feedTrims.Load()) }),
	meter.Gauge("quorate_hub_feeds_shared", "Feeds that this node reads for its region.",
		func(v edgeSample) float64 { shared, _, _ := v.srv.hub.counts(); return float64(shared) }),
	meter.Gauge("quorate_hub_feeds_read", "Feeds that this node reads, for its region or for itself.",
		func(v edgeSample) float64 { _, read, _ := v.srv.hub.counts(); return float64(read) }),
	meter.Gauge("quorate_hub_edges", "Other delivery nodes that this hub sends events to.",
		func(v edgeSample) float64 { _, _, edges := v.srv.hub.counts(); return float64(edges) }),
	meter.Gauge("quorate_hub_users", "Users at other edges of the region, each counted at each edge.",
		func(v edgeSample) float64 { return float64(v.srv.hub.directory.count()) }),
	meter.Counter("quorate_hub_gaps_total", "Feeds of which another hub's events did not all come, so that sessions caught up.",
		func(v edgeSample) float64 { return float64(v.stats.hubGaps.Load()) }),
	meter.Counter("quorate_hub_alone_total", "Times that no hub sent a feed's events and this node began to read it for itself.",
		func(v edgeSample) float64 { return float64(v.stats.hubAlone.Load()) }),
	meter.Counter("quorate_hub_edge_drops_total", "Times that too much waited for an edge and was dropped.",
		func(v edgeSample) float64 { return float64(v.stats.edgeDrops.Load()) }),
	meter.Counter("quorate_hub_batches_total", "Batches sent to other edges.",
		func(v edgeSample) float64 { return float64(v.stats.relayBatches.Load()) }),
	meter.Counter("quorate_hub_batch_entries_total", "Things told in them, each for all of an edge's users that it concerns.",
		func(v edgeSample) float64 { return float64(v.stats.relayEntries.Load()) }),
	meter.Gauges("quorate_hub_batch_size", "Events in one batch at most, by target; local is this node itself.", []string{"target"}, batchSizes),
	meter.Gauge("quorate_hub_queue_bytes", "Bytes that wait for other edges.", func(v edgeSample) float64 {
		bytes := 0
		for _, e := range v.srv.hub.attached() {
			bytes += e.waiting()
		}
		return float64(bytes)
	}),
	meter.Counters("quorate_hub_batch_decisions_total", "Decisions on the size of batches.", []string{"decision"}, batchDecisions),
	meter.Distribution("quorate_hub_push_seconds", "Time from a batch's dispatch to the target's word that it is with its clients.",
		func(v edgeSample) *meter.Histogram { return v.stats.batches.latency }),
	meter.Counters("quorate_delivery_fanout_messages_total", "Messages offered to sessions, by the variant of the fan-out.", []string{"variant"},
		func(v edgeSample, put func(float64, ...string)) {
			for i, name := range variantNames {
				put(float64(v.srv.rollout.use[i].messages.Load()), name)
			}
		}),
	meter.Distribution("quorate_delivery_fanout_inline_seconds", "Time to write a batch to its connections.",
		func(v edgeSample) *meter.Histogram { return v.srv.rollout.use[inline].flush }),
	meter.Distribution("quorate_delivery_fanout_spread_seconds", "Time to hand a batch to those who write it to its connections.",
		func(v edgeSample) *meter.Histogram { return v.srv.rollout.use[spread].flush }),
	meter.Distribution("quorate_delivery_fanout_plain_seconds", "Time to write a batch to its connections, with a system call for each.",
		func(v edgeSample) *meter.Histogram { return v.srv.rollout.use[plain].flush }),
	meter.Counter("quorate_delivery_presence_told_total", "Changes of users' presence that others were told of.",
		func(v edgeSample) float64 { return float64(v.stats.presenceTold.Load()) }),
	meter.Counter("quorate_delivery_presence_dropped_total", "Those that nobody was told of, because too many waited.",
		func(v edgeSample) float64 { return float64(v.stats.presenceDropped.Load()) }),
	meter.Counter("quorate_delivery_seen_lost_total", "Times at which users were last seen that could not be written.",
		func(v edgeSample) float64 { return float64(v.stats.seenLost.Load()) }),
	meter.Distribution("quorate_delivery_send_seconds", "Time from a client's send to the sequencer's answer.",
		func(v edgeSample) *meter.Histogram { return v.stats.sends }),
	meter.Counters("quorate_delivery_sends_total", "Sends answered: stored, stored before (replayed), or the code of the refusal.",
		[]string{"outcome"}, sendOutcomes),
	meter.Counters("quorate_delivery_refusals_total", "Requests of any kind that were refused, REST and WebSocket, by code.",
		[]string{"code"}, func(v edgeSample, put func(float64, ...string)) {
			for i, c := range codeNames {
				put(float64(v.stats.refusals[i].Load()), string(c))
			}
		}),
	meter.Gauge("quorate_delivery_request_connections", "TCP connections that are no WebSockets, or not yet.",
		func(v edgeSample) float64 { return float64(v.srv.addresses.requests.Load()) }),
	meter.Gauge("quorate_delivery_addresses", "Client addresses that something is open of, or was done by just now; those without limits are not counted.",
		func(v edgeSample) float64 { return float64(v.srv.addresses.count()) }),
	meter.Counters("quorate_delivery_address_refusals_total", "Clients refused for what their address has or does, by what that is.",
		[]string{"reason"}, func(v edgeSample, put func(float64, ...string)) {
			for i, reason := range addressReasons {
				put(float64(v.srv.addresses.refusals[i].Load()), reason)
			}
		}),
	meter.Counter("quorate_delivery_receipts_total", "Watermarks that clients raised by ack or read without an id.",
		func(v edgeSample) float64 { return float64(v.stats.marks.Load()) }),
	meter.Counter("quorate_delivery_receipts_coalesced_total", "Of those, the ones that were merged into one that waited.",
		func(v edgeSample) float64 { return float64(v.stats.marksMerged.Load()) }),
	meter.Counter("quorate_delivery_receipts_lost_total", "Of those, the ones dropped because too many waited.",
		func(v edgeSample) float64 { return float64(v.stats.marksLost.Load()) }),
	meter.Counter("quorate_delivery_receipt_commands_total", "Commands to the sequencer that wrote them, one per chat and round.",
		func(v edgeSample) float64 { return float64(v.stats.receiptCommands.Load()) }),
)

func closesByCode(v edgeSample, put func(float64, ...string)) {
	for i, code := range closeCodes {
		name := strconv.Itoa(code)
		if code == 0 {
			name = "other"
		}
		put(float64(v.stats.closes[i].Load()), name)
	}
}

func sendOutcomes(v edgeSample, put func(float64, ...string)) {
	put(float64(v.stats.sent[0].Load()), "sent")
	put(float64(v.stats.sent[1].Load()), "replayed")
	for i, c := range codeNames {
		put(float64(v.stats.unsent[i].Load()), string(c))
	}
}

func batchSizes(v edgeSample, put func(float64, ...string)) {
	put(float64(v.srv.hub.sizes.get()), "local")
	for _, e := range v.srv.hub.attached() {
		put(float64(e.size.get()), e.node)
	}
}

func batchDecisions(v edgeSample, put func(float64, ...string)) {
	put(float64(v.stats.batches.grown.Load()), "larger")
	put(float64(v.stats.batches.shrunk.Load()), "smaller")
	put(float64(v.stats.batches.kept.Load()), "same")
}
