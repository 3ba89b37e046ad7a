package main

import (
	"errors"
	"testing"
	"time"

	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/bench/report"
)

func TestRunVerdict_TheWorstDecides(t *testing.T) {
	slo, err := report.ParseSLO("p99=1us")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, row := range map[string]struct {
		change func(r *measure.Result)
		want   int
	}{
		"an SLO is missed":             {func(*measure.Result) {}, exitError},
		"the generator was the limit":  {func(r *measure.Result) { r.Limits = []string{"busy"} }, exitGenerator},
		"a promise is broken":          {func(r *measure.Result) { r.Checks.Broken = map[string]int64{"lost": 1} }, exitBroken},
		"broken, and by a slow client": {func(r *measure.Result) { r.Checks.Broken, r.Limits = map[string]int64{"gap": 1}, []string{"busy"} }, exitBroken},
	} {
		rec := measure.NewRecorder("x", measure.Window{Began: now, From: now, To: now.Add(time.Minute)})
		rec.Done(now, now, now.Add(time.Millisecond))
		r := &measure.Result{Ops: []*measure.Op{rec.Op()}, WindowS: 1}
		row.change(r)
		var status *exitStatus
		if err := runVerdict(r, []report.SLO{slo}); !errors.As(err, &status) || status.code != row.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := runVerdict(&measure.Result{}, nil); err != nil {
		t.Error(err)
	}
}
