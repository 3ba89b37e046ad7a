// Package benchtest starts what tests of the bench load: a quorum of one and an edge, in process.
package benchtest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/quorate/quorate/delivery"
	"github.com/quorate/quorate/sequencer/sequencertest"
)

// Cluster is where a cluster answers.
type Cluster struct {
	Target string   // of the edge, http://HOST:PORT; it lets in whoever shows PlainToken
	RESP   []string // of the sequencer
}

// Start starts a cluster of so many groups, whose users may send as much as they like. It ends with the test.
func Start(t *testing.T, groups int, options ...sequencertest.Option) Cluster {
	t.Helper()
	c := sequencertest.Start(t, 1, groups, options...)
	cfg := delivery.Config{Addr: "127.0.0.1:0", Sequencers: c.Addrs(), NoAuth: true, Logger: slog.New(slog.DiscardHandler)}
	cfg.Limits.SendsPerSecond, cfg.Limits.SendBurst = 1e6, 1e6
	edge, err := delivery.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(func() {
		defer cancel()
		if err := edge.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := edge.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return Cluster{Target: "http://" + edge.Addr(), RESP: c.Addrs()}
}

// PlainToken is what a user shows to such an edge.
func PlainToken(user string) (string, error) { return "user:" + user, nil }
