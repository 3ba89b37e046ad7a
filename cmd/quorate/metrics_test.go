package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scrapedDev gives what a scrape of a small cluster shows.
func scrapedDev(t *testing.T) (text string) {
	t.Helper()
	status, text := get(t, "http://"+smallDev(t).ops.Addr()+"/metrics")
	if status != 200 {
		t.Fatalf("a scrape answers %d: %s", status, text)
	}
	return text
}

// smallDev starts a cluster of one node with its edge in this process.
func smallDev(t *testing.T) *dev {
	t.Helper()
	c, push := defaultConfig().Dev, defaultConfig().Push
	push.WebhookHosts = []string{"hooks.example.com"} // so that there is a notifier
	c.Data, c.Nodes, c.Groups = t.TempDir(), 1, 2
	c.Addr, c.OpsAddr, c.RESPAddr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	state, unlock, err := openDevData(&c)
	if err != nil {
		t.Fatal(err)
	}
	d, err := startDev(&c, &push, state, []byte(strings.Repeat("s", 32)), slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
		if err := unlock(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := d.edge.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return d
}

// metricLine is what a scrape or the document says of a metric.
func metricLine(name, kind string, labels []string, help string) string {
	slices.Sort(labels)
	return fmt.Sprintf("%s | %s | %s | %s", name, kind, strings.Join(slices.Compact(labels), ", "), help)
}

func labelsOf(family *dto.MetricFamily) (names []string) {
	for _, label := range family.GetMetric()[0].GetLabel() {
		names = append(names, label.GetName())
	}
	return names
}

// TestMetrics_DocumentAndScrapeAgree demands that docs/metrics.md has a line for each metric of ours, with its type, its
// labels and its help text, and for no other.
func TestMetrics_DocumentAndScrapeAgree(t *testing.T) {
	text := scrapedDev(t)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var scraped []string
	for name, f := range families {
		if strings.HasPrefix(name, "quorate_") {
			scraped = append(scraped, metricLine(name, strings.ToLower(f.GetType().String()), labelsOf(f), f.GetHelp()))
		}
	}
	for _, foreign := range []string{"go_goroutines", "process_open_fds"} {
		if families[foreign] == nil {
			t.Errorf("the scrape has no %s", foreign)
		}
	}
	document, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	row := regexp.MustCompile("(?m)^\\| `(quorate_[a-z0-9_]+)` \\| (\\w+) \\| ([^|]*) \\| ([^|]*) \\| ([^|]*) \\| ([^|]*) \\|$")
	for _, m := range row.FindAllStringSubmatch(string(document), -1) {
		labels := regexp.MustCompile(`\w+`).FindAllString(m[4], -1)
		told = append(told, metricLine(m[1], m[2], labels, m[5]))
		if unit := m[3]; strings.Contains(m[1], "_seconds") != (unit == "s") || strings.Contains(m[1], "_bytes") != (unit == "bytes") {
			t.Errorf("%s in %q", m[1], unit)
		}
	}
	slices.Sort(scraped)
	slices.Sort(told)
	for _, line := range scraped {
		if !slices.Contains(told, line) {
			t.Errorf("not in docs/metrics.md: %s", line)
		}
	}
	for _, line := range told {
		if !slices.Contains(scraped, line) {
			t.Errorf("in docs/metrics.md, not in the scrape: %s", line)
		}
	}
	if n := len(slices.Compact(told)); n != len(told) || n < 100 {
		t.Errorf("the document has %d lines, %d of them different", len(told), n)
	}
}

func TestMetrics_ScrapePassesTheLinter(t *testing.T) {
	problems, err := promlint.New(strings.NewReader(scrapedDev(t))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "quorate_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}
