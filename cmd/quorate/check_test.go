package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
)

// checked runs a check over the given nodes and gives its code and what it reports.
func checked(t *testing.T, what string, addrs []string, more ...string) (code int, report checkReportJSON) {
	t.Helper()
	args := append([]string{"check", what, "--format", "json", "--interval", "50ms", "--sequencers", strings.Join(addrs, ",")}, more...)
	code, stdout, stderr := quorate(t, nil, args...)
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || stderr != "" {
		t.Fatalf("%v: %q, %q", err, stdout, stderr)
	}
	return code, report
}

// checkReportJSON is what the JSON of a report holds.
type checkReportJSON struct {
	Severity, Summary string
	Nodes             []struct {
		NodeID, Version string
		Answers         bool
	}
	Groups []struct {
		Group, Severity, Leader string
		VotersReachable         int
	}
	Findings []struct{ Severity, Check, NodeID string }
}

func TestCheck_ClusterThatLosesNodes(t *testing.T) {
	c := sequencertest.Start(t, 3, 2)
	leader := c.Leader(0)
	one := c.Addrs()[leader : leader+1] // one seed is enough
	var code int
	var report checkReportJSON
	c.Eventually("all to be well", func() bool { // a node may have yet to hear of the election that was just now
		code, report = checked(t, "cluster", one)
		return code == 0
	})
	if report.Severity != "ok" || len(report.Nodes) != 3 || len(report.Groups) != 3 || len(report.Findings) != 0 {
		t.Errorf("code %d: %+v", code, report)
	}
	lost := (leader + 1) % 3
	c.Kill(lost)
	c.Leader(0)
	c.Leader(1)
	c.Eventually("a warning about the lost node alone", func() bool {
		code, report = checked(t, "cluster", c.Addrs())
		return code == int(severityWarning) && strings.Contains(report.Summary, "2 of 3 nodes")
	})
	for _, g := range report.Groups {
		if g.VotersReachable != 2 || g.Leader == "" {
			t.Errorf("%+v", g)
		}
	}
	c.Kill((leader + 2) % 3)
	for _, what := range []string{"cluster", "raft"} {
		c.Eventually("the last node to give up its lead", func() bool {
			code, report = checked(t, what, one)
			for _, g := range report.Groups {
				if g.Leader != "" {
					return false
				}
			}
			return len(report.Groups) == 3 // two of chats, and the meta group
		})
		if code != int(severityCritical) || report.Severity != "critical" {
			t.Errorf("check %s without a majority: code %d, %+v", what, code, report)
		}
	}
	c.Kill(leader)
	if code, report := checked(t, "raft", c.Addrs()); code != int(severityCritical) || len(report.Nodes) != 3 {
		t.Errorf("no node left: code %d, %+v", code, report)
	}
}

func TestCheck_WrongPasswordIsUnknown(t *testing.T) {
	c := sequencertest.Start(t, 1, 1, func(_ int, cfg *sequencer.Config) { cfg.Password = "right" })
	for name, more := range map[string][]string{
		"none":  nil,
		"wrong": {"--password-file", write(t, "password", "wrong")},
	} {
		if code, report := checked(t, "cluster", c.Addrs(), more...); code != int(severityUnknown) {
			t.Errorf("%s: code %d, %+v", name, code, report)
		}
	}
	c.Eventually("the right password to pass", func() bool {
		code, _ := checked(t, "cluster", c.Addrs(), "--password-file", write(t, "password", "right"))
		return code == 0
	})
}

// TestCheck_MistakesAreUnknown: a monitor must not raise an alarm for its own configuration.
func TestCheck_MistakesAreUnknown(t *testing.T) {
	for _, args := range [][]string{
		{"check", "cluster", "--format", "xml"},
		{"check", "cluster", "--sequencers", "nowhere"},
		{"check", "raft", "--timeout", "-1s"},
		{"check", "raft", "--no-such-flag"},
		{"check", "raft", "--config", "nothing.yaml"},
		{"check", "raft", "--password-file", "nothing"},
		{"check", "raft", "7"},
		{"check", "nothing"},
	} {
		code, stdout, stderr := quorate(t, nil, args...)
		if code != int(severityUnknown) || stdout != "" || !strings.HasPrefix(stderr, "quorate: ") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: code %d, %q, %q", args, code, stdout, stderr)
		}
	}
}

// badReport has something of everything.
func badReport(what string) *checkReport {
	view := healthyView()
	lose(view, "n3")
	view.Nodes[1].Version = "v2"
	view.Slots = 8192
	view.Groups[1].Replicas[0].State = "Follower"
	view.Groups[0].Replicas[1].Applied, view.Groups[0].Replicas[1].Later = 400, 410
	return judge(what, view, lagLimits{warning: 50, critical: 5000})
}

func TestCheck_Formats(t *testing.T) {
	for what, bad := range map[string]*checkReport{
		"cluster": badReport("cluster"), "raft": badReport("raft"), "archive": badArchive(), "edge": badEdges(),
	} {
		for _, format := range checkFormats {
			var b strings.Builder
			if err := bad.write(&b, format); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "check-"+what+"."+format)
			if os.Getenv("QUORATE_UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if b.String() != string(want) {
				t.Errorf("%s is now\n%s", golden, b.String())
			}
		}
	}
}

func TestCheck_PrometheusFormatPassesTheLinter(t *testing.T) {
	var b strings.Builder
	for _, bad := range []*checkReport{badReport("cluster"), badArchive(), badEdges()} {
		b.Reset()
		bad.prometheus(&b)
		lintPrometheus(t, b.String())
	}
}

func lintPrometheus(t *testing.T, text string) {
	t.Helper()
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) != 0 {
		t.Errorf("%v: %+v", err, problems)
	}
}

// TestCheck_FindingStaysOnItsLine: what a node says must not pass for another line, or for Nagios's numbers.
func TestCheck_FindingStaysOnItsLine(t *testing.T) {
	view := healthyView()
	view.Nodes[2].Version = "v1 | up=1\nOK\x1b[2J"
	var b strings.Builder
	judge("cluster", view, lagLimits{}).nagios(&b)
	if lines := strings.Split(strings.TrimSpace(b.String()), "\n"); len(lines) != 2 || strings.ContainsAny(lines[1], "|\x1b") {
		t.Errorf("%q", b.String())
	}
}
