//go:build linux

package bench

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/delivery"
	"github.com/quorate/quorate/sequencer/sequencertest"
)

// startEdge runs a quorum of one and an edge, and gives the edge's address.
func startEdge(t *testing.T, change func(*delivery.Config)) string {
	t.Helper()
	c := sequencertest.Start(t, 1, 2)
	cfg := delivery.Config{Addr: "127.0.0.1:0", Sequencers: c.Addrs(), NoAuth: true, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
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
	return "http://" + edge.Addr()
}

func plainToken(user string) (string, error) { return "user:" + user, nil }

func TestIdle_ConnectionsAreWelcomedAndAnswerPings(t *testing.T) {
	target := startEdge(t, nil)
	var progress bytes.Buffer
	res, err := Idle(t.Context(), IdleConfig{
		Target: target, Connections: 60, Chats: 3, Members: 20, Rate: 500, Hold: 100 * time.Millisecond, Token: plainToken, Progress: &progress,
	})
	if err != nil {
		t.Fatal(err)
	}
	if res.Connections != 60 || res.Failed != 0 || res.WelcomeP50 <= 0 || res.WelcomeP99 < res.WelcomeP50 {
		t.Errorf("%+v", res)
	}
	// Again: the chats are there already.
	if res, err = Idle(t.Context(), IdleConfig{
		Target: target, Connections: 60, Chats: 3, Members: 20, Rate: 500, Token: plainToken,
	}); err != nil || res.Connections != 60 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestIdle_TellsWhyNobodyIsWelcomed(t *testing.T) {
	target := startEdge(t, nil)
	bad := func(string) (string, error) { return "no token", nil }
	if res, err := Idle(t.Context(), IdleConfig{Target: target, Connections: 5, Rate: 100, Token: bad}); err == nil {
		t.Errorf("%+v", res)
	}
	for name, cfg := range map[string]IdleConfig{
		"no connections": {Target: target, Rate: 1, Token: plainToken},
		"few users":      {Target: target, Connections: 5, Chats: 1, Members: 10, Rate: 1, Token: plainToken},
		"large chats":    {Target: target, Connections: 500, Chats: 1, Members: 257, Rate: 1, Token: plainToken},
		"no token":       {Target: target, Connections: 5, Rate: 1},
		"no target":      {Target: "here", Connections: 5, Rate: 1, Token: plainToken},
	} {
		if _, err := Idle(t.Context(), cfg); err == nil || !strings.HasPrefix(err.Error(), "bench: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPlain_ServesWhatIdleAsks has the server to compare with welcome everybody.
func TestPlain_ServesWhatIdleAsks(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Plain(ctx, ln) }()
	res, err := Idle(t.Context(), IdleConfig{Target: "http://" + ln.Addr().String(), Connections: 30, Rate: 1000, Token: plainToken})
	if err != nil || res.Connections != 30 || res.Failed != 0 {
		t.Errorf("%+v, %v", res, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestIdle_UsersOfSeveralRuns makes the chats first, and then has users with a connection in each of two runs.
func TestIdle_UsersOfSeveralRuns(t *testing.T) {
	target := startEdge(t, nil)
	cfg := IdleConfig{Target: target, Users: 40, Chats: 3, Members: 20, Rate: 500, Token: plainToken}
	if _, err := Idle(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	cfg.Chats, cfg.Connections = 0, 30
	for _, first := range []int{0, 25} { // the second run's last users are the first's
		cfg.FirstUser = first
		if res, err := Idle(t.Context(), cfg); err != nil || res.Connections != 30 || res.Chats < 3 {
			t.Errorf("from user %d: %+v, %v", first, res, err)
		}
	}
}
