package delivery

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/quorate/quorate/sequencer/wire"
)

// scrape gives the values of an edge's metrics by "name" or "name{label}". A histogram gives its count.
func (e *edge) scrape() map[string]float64 {
	e.t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(e.Collector())
	families, err := registry.Gather()
	if err != nil {
		e.t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, l := range m.GetLabel() {
				name += "{" + l.GetValue() + "}"
			}
			values[name] = valueOf(m)
		}
	}
	return values
}

func valueOf(m *dto.Metric) float64 {
	switch {
	case m.Histogram != nil:
		return float64(m.Histogram.GetSampleCount())
	case m.Counter != nil:
		return m.Counter.GetValue()
	}
	return m.Gauge.GetValue()
}

// demand fails the test for every metric that has not the value it should have.
func (e *edge) demand(want map[string]float64) {
	e.t.Helper()
	got := e.scrape()
	for name, value := range want {
		if v, ok := got[name]; !ok || v != value {
			e.t.Errorf("%s is %v (%v), want %v", name, v, ok, value)
		}
	}
}

func TestMetrics_FollowWhatHappens(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	alice, bob := fresh("alice"), fresh("bob")
	id := e.group(alice, bob)
	for range 5 {
		e.post(alice, id, "before bob came")
	}
	a := e.dial(alice)
	a.awaitSeqs(id, 1, 5)
	b := e.dialPath(bob, "/stream")
	b.hello("phone", `{"`+id+`":1}`)
	b.awaitSeqs(id, 1, 5)
	a.send(`{"type":"send","id":1,"chatId":"` + id + `","clientMessageId":"m","text":"live"}`)
	b.awaitSeqs(id, 6, 6)
	a.awaitType("sent")
	a.send(`{"type":"send","id":2,"chatId":"` + id + `","clientMessageId":"m","text":"live"}`)
	a.awaitType("sent")
	a.send(`{"type":"send","id":3,"chatId":"` + id + `","clientMessageId":"m","text":"other"}`)
	a.awaitType("error")
	b.send(`{"type":"ack","chatId":"` + id + `","seq":6}`)
	a.awaitType("receipt")
	b.send(`{"type":"ack","chatId":"` + id + `","seq":6,"id":"x"}`) // answered, so the page of catch-up is counted too
	b.awaitType("receipt")
	eventually(t, "the pushes to be counted", func() bool { return e.scrape()["quorate_delivery_messages_pushed_total{live}"] >= 2 })
	e.demand(map[string]float64{
		"quorate_delivery_connections":                    2,
		"quorate_delivery_sessions":                       2,
		"quorate_delivery_messages_pushed_total{catchup}": 10,
		"quorate_delivery_messages_pushed_total{live}":    2,
		"quorate_delivery_catchup_pages_underway":         0,
		"quorate_delivery_catchup_failures_total":         0,
		"quorate_delivery_sends_total{sent}":              6,
		"quorate_delivery_sends_total{replayed}":          1,
		"quorate_delivery_sends_total{conflict}":          1,
		"quorate_delivery_send_seconds":                   8,
		"quorate_delivery_refusals_total{conflict}":       1,
		"quorate_delivery_refusals_total{internal}":       0,
		"quorate_delivery_receipts_total":                 1,
		"quorate_delivery_receipt_commands_total":         1,
		"quorate_delivery_feeds_late":                     0,
		"quorate_delivery_closes_total{1000}":             0,
	})
	if got := e.scrape(); got["quorate_delivery_feed_events_total"] < 6 || got["quorate_delivery_feed_delay_seconds"] == 0 {
		t.Errorf("%v events in %v batches", got["quorate_delivery_feed_events_total"], got["quorate_delivery_feed_delay_seconds"])
	}
	b2 := e.dialPath(bob, "/stream")
	b2.hello("phone", `{}`) // the same device: the older connection goes
	b.awaitClose()
	eventually(t, "the close to be counted", func() bool { return e.scrape()["quorate_delivery_closes_total{4504}"] == 1 })
}

// TestMetrics_WaitingOutboxIsSeen fills the socket of one client that does not read, beside one that has nothing to read.
func TestMetrics_WaitingOutboxIsSeen(t *testing.T) {
	rig := newEngineRig(t, engineConfig{OutboxBytes: 256 << 10})
	_, p := rig.open()
	rig.open()
	fill(t, p.c, 0)
	// Nobody reads, so what is in the outbox stays there.
	if bytes, most, waiting := rig.e.outboxes(); bytes != p.c.buffered() || most != bytes || waiting != 1 || bytes < 128<<10 {
		t.Fatalf("%d bytes, %d in the fullest, %d outboxes; the client's has %d", bytes, most, waiting, p.c.buffered())
	}
}

// TestMetrics_ReceiptsAreMerged counts marks that meet one that waits, and one for which there is no room.
func TestMetrics_ReceiptsAreMerged(t *testing.T) {
	w := &receiptWriter{stats: newStats(), most: 2, pending: map[string]*waitingMarks{}, full: make(chan struct{}, 1)}
	for _, user := range []string{"a", "b", "a", "a", "c"} {
		_ = w.add("chat", wire.Mark{UserID: user, Read: 1}) // the last is refused, as the counts tell
	}
	if n := w.stats; n.marks.Load() != 5 || n.marksMerged.Load() != 2 || n.marksLost.Load() != 1 {
		t.Fatalf("%d marks, %d merged, %d lost", n.marks.Load(), n.marksMerged.Load(), n.marksLost.Load())
	}
}

func TestMetrics_PassTheLinter(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	problems, err := testutil.CollectAndLint(e.Collector())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// What connections cost is counted from what the process had without them.
func TestMemoryMeter(t *testing.T) {
	m := newMemoryMeter()
	if m.resident() == 0 {
		t.Skip("this system does not tell how much memory a process has")
	}
	if got := m.perConnection(0); got != 0 {
		t.Errorf("%g bytes for no connection", got)
	}
	m.base.Add(-1 << 20)
	if got := m.perConnection(1 << 10); got < 512 {
		t.Errorf("%g bytes for each of 1024 connections that have a MiB and more", got)
	}
	m.base.Add(1 << 40)
	if got := m.perConnection(1); got != 0 {
		t.Errorf("%g bytes", got)
	}
}
