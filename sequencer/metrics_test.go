package sequencer_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// scrape gives the values of a node's metrics by "name{label,label…}", the values of the labels in the order of their
// names. A histogram gives its count.
func scrape(t *testing.T, n *sequencer.Node) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(n.Collector())
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			values[family.GetName()+"{"+strings.Join(labels, ",")+"}"] = valueOf(m)
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

func TestMetrics_FollowWhatHappens(t *testing.T) {
	c := sequencertest.Start(t, 3, 1, patient)
	client := c.Client()
	sequencertest.MakeChats(t, client, []string{"a", "b"}, "c")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	leader, follower := c.Node(c.Leader(0)), c.Node((c.Leader(0)+1)%3)
	const appends = 20
	for i := range appends {
		q := wire.AppendRequest{ChatID: "c", SenderID: "a", ClientMessageID: string(rune('a' + i)), Text: "hello"}
		if _, err := client.Append(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.DoNode(ctx, follower.RESPAddr(), "CHAT.APPEND", "c", "a", "x", "hello"); err == nil {
		t.Fatal("a follower took an append")
	}
	if _, err := client.DoNode(ctx, leader.RESPAddr(), "CHAT.APPEND", "c", "stranger", "x", "hello"); err == nil {
		t.Fatal("a stranger's append was taken")
	}
	if _, err := client.DoNode(ctx, leader.RESPAddr(), "FEED.READ", "0", "11"); err != nil {
		t.Fatal(err)
	}
	got, its := scrape(t, leader), scrape(t, follower)
	head := got["quorate_group_feed_head{0}"]
	for name, want := range map[string]float64{
		"quorate_sequencer_commands_total{CHAT.APPEND,ok}":    appends,
		"quorate_sequencer_commands_total{CHAT.APPEND,error}": 1,
		"quorate_sequencer_commands_total{unknown,error}":     0,
		"quorate_sequencer_errors_total{NOTMEMBER}":           1,
		"quorate_sequencer_errors_total{BUSY}":                0,
		"quorate_group_feed_readers{0}":                       1,
		"quorate_group_feed_lag_events{0}":                    head - 11,
		"quorate_group_queue_commands{0}":                     0,
		"quorate_raft_leader{0}":                              1,
		"quorate_raft_serving{0}":                             1,
		"quorate_raft_voters{0}":                              3,
		"quorate_raft_apply_lag_entries{0}":                   0,
		"quorate_raft_storage_failed{0}":                      0,
		"quorate_sequencer_groups{}":                          2,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("leader: %s is %v (%v), want %v", name, value, ok, want)
		}
	}
	for _, name := range []string{
		"quorate_group_ack_seconds{0}", "quorate_group_entry_commands{0}", "quorate_group_entry_size_bytes{0}",
		"quorate_raft_log_write_seconds{0}", "quorate_raft_commit_index{0}", "quorate_wal_write_seconds{}", "quorate_wal_records_total{}", "quorate_raft_append_entries_seconds{0}",
	} {
		if got[name] < appends {
			t.Errorf("leader: %s is %v after %d appends one by one", name, got[name], appends)
		}
	}
	if its["quorate_sequencer_errors_total{MOVED}"] == 0 || its["quorate_raft_leader{0}"] != 0 || its["quorate_group_ack_seconds{0}"] != 0 {
		t.Errorf("follower: %v", its)
	}
}

// TestMetrics_FullQueueIsSeen offers much at once to a queue that has room for one command.
func TestMetrics_FullQueueIsSeen(t *testing.T) {
	c := sequencertest.Start(t, 1, 1, func(_ int, cfg *sequencer.Config) {
		cfg.Limits.QueueBytes, cfg.Limits.InFlight = 1, 1
	})
	client := c.Client()
	sequencertest.MakeChats(t, client, []string{"a", "b"}, "c")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c.Eventually("a refusal", func() bool {
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() { // whether it is refused is what the metrics tell
				_, _ = client.DoNode(ctx, c.Node(0).RESPAddr(), "CHAT.APPEND", "c", "a", strconv.Itoa(i), "hello")
			})
		}
		wg.Wait()
		got := scrape(t, c.Node(0))
		return got["quorate_sequencer_errors_total{BUSY}"] > 0 && got["quorate_sequencer_commands_total{CHAT.APPEND,error}"] > 0
	})
}

func TestMetrics_ScrapeAfterTheEnd(t *testing.T) {
	c := sequencertest.Start(t, 1, 2)
	node := c.Node(0)
	c.Stop(0)
	if got := scrape(t, node); got["quorate_raft_leader{1}"] != 0 || got["quorate_store_disk_bytes{1}"] != 0 {
		t.Errorf("a node that was closed: %v", got)
	}
}

func TestMetrics_PassTheLinter(t *testing.T) {
	c := sequencertest.Start(t, 1, 1)
	problems, err := testutil.CollectAndLint(c.Node(0).Collector())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestMetrics_ReaderThatWentIsForgotten has a slow reader of the feed hang up.
func TestMetrics_ReaderThatWentIsForgotten(t *testing.T) {
	c := sequencertest.Start(t, 1, 1)
	client := c.Client()
	sequencertest.MakeChats(t, client, []string{"a"}, "c", "d")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	feed, err := client.OpenFeed(ctx, c.Node(0).RESPAddr())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := feed.Read(ctx, 0, 1, 1, 0); err != nil {
		t.Fatal(err)
	}
	if got := scrape(t, c.Node(0)); got["quorate_group_feed_lag_events{0}"] == 0 {
		t.Fatalf("a reader at the first event is not behind: %v", got)
	}
	if err := feed.Close(); err != nil {
		t.Fatal(err)
	}
	c.Eventually("the reader to be forgotten", func() bool { return scrape(t, c.Node(0))["quorate_group_feed_readers{0}"] == 0 })
}
