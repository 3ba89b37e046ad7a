//go:build linux

package bench

import (
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/delivery"
)

func TestJudge_FindsWhatIsBroken(t *testing.T) {
	for name, row := range map[string]struct {
		shown []int // seqs, all to member 0 after member 1 got them in order
		fault string
	}{
		"in order":  {[]int{1, 2, 3}, ""},
		"gap":       {[]int{1, 3}, "in place of"},
		"repeat":    {[]int{1, 2, 2}, "again"},
		"reordered": {[]int{2, 1, 3}, "in place of"},
	} {
		j := judge{next: []int{1, 1}}
		for seq := 1; seq <= 3; seq++ {
			if fault := j.shown(1, seq, strings.Repeat("a", seq)); fault != "" {
				t.Fatalf("%s: the first member: %s", name, fault)
			}
		}
		var faults []string
		for _, seq := range row.shown {
			if fault := j.shown(0, seq, strings.Repeat("a", seq)); fault != "" {
				faults = append(faults, fault)
			}
		}
		if (row.fault == "") != (len(faults) == 0) || row.fault != "" && !strings.Contains(faults[0], row.fault) {
			t.Errorf("%s: %v", name, faults)
		}
	}
	j := judge{next: []int{1, 1}}
	j.shown(0, 1, "one")
	if fault := j.shown(1, 1, "two"); !strings.Contains(fault, "another") {
		t.Errorf("two texts under one number: %q", fault)
	}
}

func TestLive_ClosedAndOpenLoop(t *testing.T) {
	target := startEdge(t, func(cfg *delivery.Config) { cfg.Limits.SendsPerSecond, cfg.Limits.SendBurst = 1e6, 1e6 })
	for name, cfg := range map[string]LiveConfig{
		"closed": {Chats: 1, Members: 8, InFlight: 4},
		"open":   {Chats: 5, Members: 2, Rate: 200, Ack: true},
	} {
		cfg.Targets, cfg.Token, cfg.Size, cfg.Warmup, cfg.For = []string{target}, plainToken, 100, 100*time.Millisecond, 500*time.Millisecond
		res, err := Live(t.Context(), cfg)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if res.Sent == 0 || res.Delivered != res.Sent*cfg.Members || res.Missing != 0 || res.BrokenAll != 0 || res.Latency.P50 <= 0 {
			t.Errorf("%s: %+v", name, res)
		}
	}
}
