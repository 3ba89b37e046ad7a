//go:build linux

package scenario

import (
	"testing"
	"time"

	"github.com/quorate/quorate/bench/benchtest"
	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/sequencer/sequencertest"
)

// rig is a quorum of one and an edge.
type rig struct {
	target string
	resp   []string
}

func startRig(t *testing.T, options ...sequencertest.Option) *rig {
	t.Helper()
	c := benchtest.Start(t, 2, options...)
	return &rig{target: c.Target, resp: c.RESP}
}

// run makes a short run.
func (g *rig) run(t *testing.T, s Settings) *measure.Result {
	t.Helper()
	s.Targets = []string{g.target}
	if s.Protocol == "resp" {
		s.Sequencers = g.resp
	}
	or(&s.Warmup, 100*time.Millisecond)
	or(&s.For, 500*time.Millisecond)
	res, err := Run(t.Context(), s, Access{Token: benchtest.PlainToken})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// good looks that a run did something, all of it well.
func good(t *testing.T, res *measure.Result) {
	t.Helper()
	o := res.Ops[0]
	if o.Done == 0 || o.Errors != 0 || o.Dropped != 0 || o.Latency.Count() != o.Done || o.Latency.At(0.5) <= 0 {
		t.Errorf("%s: %+v", o.Name, o)
	}
	if o.Done != o.Sent {
		t.Errorf("%s: %d sent and %d done", o.Name, o.Sent, o.Done)
	}
	if res.Checks.Total() != 0 || res.Checks.Acked == 0 || res.Checks.Acked != res.Checks.Sent || len(res.Notes) != 0 {
		t.Errorf("%+v %v", res.Checks, res.Notes)
	}
}
