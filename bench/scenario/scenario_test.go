//go:build linux

package scenario

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/bench/benchtest"
	"github.com/quorate/quorate/bench/measure"
)

func TestSend_EveryProtocol_OpenAndClosed(t *testing.T) {
	g := startRig(t)
	for _, protocol := range []string{"resp", "ws", "rest"} {
		for _, closed := range []bool{false, true} {
			s := Settings{Scenario: "send", Protocol: protocol, Rate: 300, Senders: 8, Chats: 3, Replay: 10, Closed: closed, Size: 50, SizeSkew: 1}
			if closed {
				s.InFlight = 1
			}
			res := g.run(t, s)
			good(t, res)
			if res.Checks.Read != res.Checks.Sent || res.Checks.Replayed == 0 {
				t.Errorf("%s: %+v", protocol, res.Checks)
			}
		}
	}
}

func TestLive_OpenAndClosed(t *testing.T) {
	g := startRig(t)
	for name, s := range map[string]Settings{
		"one to one": {Scenario: "live", Chats: 5, Rate: 200},
		"group":      {Scenario: "fanout", Members: 8, Rate: 100},
		"closed":     {Scenario: "fanout", Members: 8, Closed: true, InFlight: 4},
	} {
		t.Run(name, func(t *testing.T) { good(t, g.run(t, s)) })
	}
}

func TestReceipts_SendersAreTold(t *testing.T) {
	g := startRig(t)
	res := g.run(t, Settings{Scenario: "receipts", Chats: 4, Members: 3, Rate: 60})
	good(t, res)
	if res.Checks.Receipts == 0 {
		t.Errorf("%+v", res.Checks)
	}
}

func TestMixed_ADayInSmall(t *testing.T) {
	g := startRig(t)
	s := Settings{Scenario: "mixed", Connections: 24, Chats: 20, Members: 16, Rate: 150, Warmup: 100 * time.Millisecond, For: time.Second}
	res := g.run(t, s)
	if res.Checks.Total() != 0 || res.Checks.Receipts == 0 || res.Ops[0].Done == 0 || len(res.Notes) != 0 {
		t.Errorf("%+v %v", res.Checks, res.Notes)
	}
	if drops, _ := res.Value("connections dropped and resumed"); drops == 0 {
		t.Error("nobody lost his connection")
	}
}

func TestReconnect_AllComeBackAndHaveAll(t *testing.T) {
	g := startRig(t)
	res := g.run(t, Settings{Scenario: "reconnect", Connections: 40, Members: 8, Rate: 100, For: time.Second})
	good(t, res)
	if o := res.Op("drop to caught up"); o.Done != 40 {
		t.Errorf("%d of 40 came back: %+v", o.Done, res.Values)
	}
}

func TestCatchupAndHistory_Hot(t *testing.T) {
	g := startRig(t)
	res := g.run(t, Settings{Scenario: "catchup", Chats: 2, Members: 2, Behind: 600, Rate: 8})
	good(t, res)
	if o := res.Ops[0]; res.Checks.Delivered != 600*(o.Done+o.Warmup) {
		t.Errorf("%d caught up, %d messages delivered", o.Done, res.Checks.Delivered)
	}
	for _, protocol := range []string{"rest", "resp", "ws"} {
		good(t, g.run(t, Settings{Scenario: "history", Protocol: protocol, Chats: 2, Members: 2, Behind: 300, Page: 20, Rate: 100}))
	}
}

func TestIdle_ConnectionsAreWelcomed(t *testing.T) {
	g := startRig(t)
	res := g.run(t, Settings{Scenario: "idle", Connections: 60, Ramp: 200, Chats: 3, Members: 20})
	if o := res.Ops[0]; o.Done != 60 || o.Errors != 0 || o.Latency.At(0.5) <= 0 {
		t.Errorf("%+v", o)
	}
	if got := value(res, "chats in each welcome, at least"); got != 3 {
		t.Errorf("%v chats in a welcome", got)
	}
	bad := Access{Token: func(string) (string, error) { return "no token", nil }}
	s := Settings{Scenario: "idle", Connections: 5, Ramp: 100, Chats: -1, Targets: []string{g.target}, For: 300 * time.Millisecond}
	if _, err := Run(t.Context(), s, bad); err == nil {
		t.Error("connections that nobody lets in are no result")
	}
}

// TestIdle_RunsThatShareTheirPeople makes the chats first, and then has people with a connection in each of two runs.
func TestIdle_RunsThatShareTheirPeople(t *testing.T) {
	g := startRig(t)
	s := Settings{Scenario: "idle", Run: "shared", Connections: -1, Users: 40, Chats: 3, Members: 20, Ramp: 200}
	g.run(t, s)
	s.Chats, s.Connections = -1, 30
	for _, first := range []int{0, 25} { // the second run's last people are the first's
		s.First = first
		res := g.run(t, s)
		if got := value(res, "chats in each welcome, at least"); res.Ops[0].Done != 30 || got != 3 {
			t.Errorf("from number %d: %d welcomed, %v chats: %+v", first, res.Ops[0].Done, got, res.Ops[0])
		}
	}
}

func TestRun_MarksWhatHappensOutside(t *testing.T) {
	g := startRig(t)
	marks := make(chan string, 1)
	breaks := sync.OnceFunc(func() { marks <- "a node is killed" }) // progress may be told twice in the warm-up
	res, err := Run(t.Context(), Settings{
		Scenario: "live", Targets: []string{g.target}, Chats: 2, Rate: 50, Warmup: 100 * time.Millisecond, For: 500 * time.Millisecond,
	}, Access{Token: benchtest.PlainToken, Marks: marks, Progress: func(p Progress) {
		if p.Total > 0 && p.Phase == "warm-up" {
			breaks()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Marks) != 1 || res.Marks[0].What != "a node is killed" || res.Marks[0].AtSeconds < 0 || res.Marks[0].AtSeconds > 0.6 {
		t.Errorf("%+v", res.Marks)
	}
}

// value finds a number of a result, -1 where there is none.
func value(res *measure.Result, name string) float64 {
	for _, v := range res.Values {
		if v.Name == name {
			return v.Value
		}
	}
	return -1
}

func TestRun_WrongSettings(t *testing.T) {
	for name, s := range map[string]Settings{
		"no such scenario": {Scenario: "none"},
		"no target":        {Scenario: "send", Protocol: "rest", For: time.Second},
		"a strange target": {Scenario: "send", Protocol: "rest", For: time.Second, Targets: []string{"here"}},
		"no protocol":      {Scenario: "send", Protocol: "smtp", For: time.Second, Targets: []string{"http://127.0.0.1:1"}},
		"no sequencers":    {Scenario: "send", For: time.Second, Targets: []string{"http://127.0.0.1:1"}},
		"no time":          {Scenario: "live", Targets: []string{"http://127.0.0.1:1"}},
		"nobody":           {Scenario: "idle", Connections: -1, For: time.Second, Targets: []string{"http://127.0.0.1:1"}},
		"no connections":   {Scenario: "reconnect", Connections: -1, For: time.Second, Targets: []string{"http://127.0.0.1:1"}},
		"a strange name":   {Scenario: "live", Run: "a b", For: time.Second, Targets: []string{"http://127.0.0.1:1"}},
		"large chats":      {Scenario: "live", Members: 257, For: time.Second, Targets: []string{"http://127.0.0.1:1"}},
		"large texts":      {Scenario: "live", Size: 20 << 10, For: time.Second, Targets: []string{"http://127.0.0.1:1"}},
		"few for a chat":   {Scenario: "idle", Connections: 5, Members: 10, For: time.Second, Targets: []string{"http://127.0.0.1:1"}},
	} {
		if _, err := Run(t.Context(), s, Access{Token: benchtest.PlainToken}); !errors.Is(err, ErrSettings) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRun_CutShortIsReported(t *testing.T) {
	g := startRig(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	s := Settings{Scenario: "live", Chats: 2, Rate: 100, For: time.Minute, Targets: []string{g.target}}
	res, err := Run(ctx, s, Access{Token: benchtest.PlainToken})
	if err != nil || !res.Cut || res.Ops[0].Done == 0 || res.WindowS > 2 || res.Checks.Total() != 0 {
		t.Errorf("%v %+v", err, res)
	}
}
