package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// fullStore is a store that takes nothing while it is full.
type fullStore struct {
	archive.Store
	full atomic.Bool
}

func (s *fullStore) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	if s.full.Load() {
		return errors.New("the store is full")
	}
	return s.Store.Put(ctx, key, body, size)
}

// TestCheckArchive_WhatIsWrong has an archive that is well, one that takes nothing, one that is behind, and one that has lost an object.
func TestCheckArchive_WhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	url := "file://" + dir
	inner, err := openArchive(url)
	if err != nil {
		t.Fatal(err)
	}
	store := &fullStore{Store: inner}
	c := sequencertest.Start(t, 1, 2, func(_ int, cfg *sequencer.Config) {
		cfg.Archive, cfg.ArchiveAfter, cfg.FeedRetention, cfg.ArchiveEvery = store, time.Millisecond, time.Millisecond, time.Hour
	})
	client, chats := c.Client(), sequencertest.Names("chat", 8)
	sequencertest.MakeChats(t, client, []string{"ann"}, chats...)
	say := func(id string) {
		for _, chat := range chats {
			if _, err := client.Append(t.Context(), wire.AppendRequest{ChatID: chat, SenderID: "ann", ClientMessageID: id, Text: "text"}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Millisecond) // older than the window
	}
	run := func() (failed bool) {
		for _, g := range []string{"0", "1"} {
			_, err := client.DoNode(t.Context(), c.Addrs()[0], "ARCHIVE", "RUN", g)
			failed = failed || err != nil
		}
		return failed
	}
	say("m1")
	say("m2")
	c.Eventually("a round", func() bool { return !run() })
	is := func(when string, want severity, check string, more ...string) {
		t.Helper()
		code, report := checked(t, "archive", c.Addrs(), more...)
		found := check == ""
		for _, f := range report.Findings {
			found = found || f.Check == check
		}
		if code != int(want) || !found {
			t.Errorf("%s: code %d, %+v", when, code, report)
		}
	}
	is("well", severityOK, "", "--archive", url)
	is("behind", severityCritical, "lag", "--archive-lag-critical", "1ns")

	say("m3")
	store.full.Store(true)
	run()
	is("full", severityWarning, "store")
	store.full.Store(false)
	run()
	is("well again", severityOK, "", "--archive", url)

	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".parquet") {
			err = os.Remove(path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	is("objects are lost", severityCritical, "objects", "--archive", url)
	is("no store here", severityCritical, "objects", "--archive", "file:///nowhere/at/all")
}

func TestCheckArchive_NoneIsUnknown(t *testing.T) {
	c := sequencertest.Start(t, 1, 1)
	c.Eventually("the word that there is none", func() bool {
		code, report := checked(t, "archive", c.Addrs())
		return code == int(severityUnknown) && len(report.Findings) == 1
	})
}

func TestCheckEdge_OneThatIsReadyAndOneThatIsAway(t *testing.T) {
	ops := "http://" + smallDev(t).ops.Addr()
	for _, c := range []struct {
		edges string
		want  severity
	}{
		{ops, severityOK}, {ops + ",http://127.0.0.1:1", severityWarning}, {"http://127.0.0.1:1", severityCritical},
	} {
		if code, report := checked(t, "edge", []string{"127.0.0.1:1"}, "--edges", c.edges); code != int(c.want) {
			t.Errorf("%s: code %d, %+v", c.edges, code, report)
		}
	}
	for _, bad := range []string{"", "127.0.0.1:9091", "ftp://127.0.0.1:1", "http://127.0.0.1:1/x"} {
		if code, _, stderr := quorate(t, nil, "check", "edge", "--edges", bad); code != int(severityUnknown) || !strings.Contains(stderr, "--edges") {
			t.Errorf("%q: code %d, %q", bad, code, stderr)
		}
	}
}

// TestCheckEdge_WhatIsWrong judges what edges may show.
func TestCheckEdge_WhatIsWrong(t *testing.T) {
	well := edgeReport{URL: "http://e", Answers: true, Ready: true, WaitLimit: 100}
	with := func(change func(*edgeReport)) edgeReport { e := well; change(&e); return e }
	for what, c := range map[string]struct {
		edges []edgeReport
		want  severity
	}{
		"well":              {[]edgeReport{well}, severityOK},
		"one of two drains": {[]edgeReport{well, with(func(e *edgeReport) { e.Ready, e.Reasons = false, []string{"draining"} })}, severityWarning},
		"the only one":      {[]edgeReport{with(func(e *edgeReport) { e.Ready = false })}, severityCritical},
		"a feed is late":    {[]edgeReport{with(func(e *edgeReport) { e.FeedsLate = 1 })}, severityCritical},
		"a storm":           {[]edgeReport{with(func(e *edgeReport) { e.Waiting = 81 })}, severityWarning},
		"broken objects":    {[]edgeReport{with(func(e *edgeReport) { e.Corrupt = 1 })}, severityWarning},
	} {
		if got := judgeEdges(c.edges); got.Severity != c.want {
			t.Errorf("%s: %s, %+v", what, got.Severity, got.Findings)
		}
	}
}

// badArchive and badEdges have something of everything.
func badArchive() *checkReport {
	return judgeArchive(healthyView(), []archiveReport{
		{Group: "0", Node: "n1", Archive: true, LagMs: 90_000_000, HotBytes: 5 << 20, HotLimit: 4 << 20, HotAlarm: true, Broken: 2, Trouble: "put x: no answer"},
		{Group: "1", Node: "n1", HotBytes: 1 << 20},
	}, archiveLimits{time.Hour, 24 * time.Hour})
}

func badEdges() *checkReport {
	return judgeEdges([]edgeReport{
		{URL: "http://e1:9091", Answers: true, Ready: true, Reasons: []string{}, Connections: 7, FeedsRead: 4, HubEdges: 1, OutboxBytes: 90, WaitLimit: 100},
		{URL: "http://e2:9091", Error: "connection refused", Reasons: []string{}},
		{URL: "http://e3:9091", Answers: true, Reasons: []string{"draining"}, FeedsLate: 2, Waiting: 90, WaitLimit: 100, Corrupt: 3},
	})
}
