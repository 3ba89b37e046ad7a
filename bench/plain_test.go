//go:build linux

package bench_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/quorate/quorate/bench"
	"github.com/quorate/quorate/bench/benchtest"
	"github.com/quorate/quorate/bench/scenario"
)

// TestPlain_ServesWhatIdleAsks has the server to compare with welcome everybody.
func TestPlain_ServesWhatIdleAsks(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- bench.Plain(ctx, ln) }()
	res, err := scenario.Run(t.Context(), scenario.Settings{
		Scenario: "idle", Targets: []string{"http://" + ln.Addr().String()}, Connections: 30, Chats: -1, Ramp: 1000, For: 200 * time.Millisecond,
	}, scenario.Access{Token: benchtest.PlainToken})
	if err != nil || res.Ops[0].Done != 30 || res.Ops[0].Errors != 0 {
		t.Errorf("%+v, %v", res, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
