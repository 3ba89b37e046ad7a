package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/bench/check"
	"github.com/quorate/quorate/bench/load"
	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/sequencer/wire"
)

// Access is what a run needs beside its settings, and who is told.
type Access struct {
	Token              func(user string) (string, error) // what a user shows
	Username, Password string                            // for AUTH over RESP
	Version            string                            // of the program, for the result
	Servers            []int                             // processes whose time is counted; nil: those of this machine that listen at the addresses of the run
	Ready              func(ctx context.Context) error   // called when all is prepared, before the first send; nil: nothing
	Progress           func(Progress)                    // called every second, and when a phase begins; nil: nobody
	Marks              <-chan string                     // what happens to the cluster, such as a fault, for the charts; nil: nothing
}

// Progress is where a run stands.
type Progress struct {
	Phase   string        // prepare, warm-up, measure, settle, check
	Elapsed time.Duration // of warm-up and measuring
	Total   time.Duration // of both
	Sent    int64
	Done    int64
	PerS    float64 // in the last second
	Errors  int64
	P99     time.Duration
	Broken  int64
}

// scenario is one kind of run.
type scenario interface {
	// prepare makes what the run needs.
	prepare(ctx context.Context) error
	// drive loads the cluster until the window ends or ctx does, and then waits for what is under way.
	drive(ctx context.Context) error
	// verify looks at what is there afterwards.
	verify(ctx context.Context) error
	close()
}

// kind is what is known of a scenario before it runs.
type kind struct {
	about string
	usual Settings
	flags []string // settings that it looks at, of those that not every scenario does
	make  func(r *run) (scenario, error)
}

// run is what all scenarios share.
type run struct {
	Settings
	access Access
	judge  *check.Judge
	texts  *load.Texts
	result *measure.Result
	window measure.Window
	client *wire.Client // nil without sequencers
	rest   *restClient

	written atomic.Int64 // messages

	mu        sync.Mutex
	phase     string
	recorders []*measure.Recorder
	told      time.Time // the last progress
	last      int64     // done by then
}

const (
	settleTime = 5 * time.Second  // for what is under way at the end
	verifyTime = 10 * time.Minute // to read everything back
	cutTime    = 20 * time.Second // the same after a run that was cut short
)

// Run makes one run. A run that ctx ends is reported as far as it came. The error is about what could not be tried; what was found is in
// the result.
func Run(ctx context.Context, s Settings, a Access) (*measure.Result, error) {
	k, ok := kinds[s.Scenario]
	if !ok {
		return nil, fmt.Errorf("%w: there is no scenario %q", ErrSettings, s.Scenario)
	}
	s.fill(k.usual)
	or(&s.Run, strconv.FormatInt(time.Now().UnixNano(), 36))
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSettings, err)
	}
	r := newRun(s, a)
	defer r.close()
	sc, err := k.make(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSettings, err)
	}
	defer sc.close()
	return r.carryOut(ctx, sc)
}

// ErrSettings is a run that was asked for wrongly: nothing was tried.
var ErrSettings = errors.New("settings")

func newRun(s Settings, a Access) *run {
	settings, _ := json.Marshal(s) // plain fields
	r := &run{
		Settings: s, access: a, judge: check.New(), texts: load.NewTexts(s.Seed, s.Size, s.SizeSkew), rest: newRESTClient(a.Token),
		result: &measure.Result{
			Schema: measure.Schema, Scenario: s.Scenario, Settings: settings, Environment: measure.ThisMachine(a.Version, slices.Concat(s.Targets, s.Sequencers)),
			WarmupS: s.Warmup.Seconds(), Workers: 1,
		},
	}
	if len(s.Sequencers) > 0 {
		r.client = wire.NewClient(wire.ClientConfig{
			Seeds: s.Sequencers, Username: a.Username, Password: a.Password, Name: "quorate-bench", MaxInFlight: maxInFlight, MaxPending: maxInFlight,
		})
	}
	return r
}

func (r *run) close() {
	r.rest.close()
	if r.client != nil {
		_ = r.client.Close() // nobody waits for anything any more
	}
}

func (r *run) carryOut(ctx context.Context, sc scenario) (*measure.Result, error) {
	defer r.tellProgress()()
	defer r.watch()()
	r.enter("prepare")
	if err := sc.prepare(ctx); err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	if r.access.Ready != nil {
		if err := r.access.Ready(ctx); err != nil {
			return nil, err
		}
	}
	cpu := r.begin(ctx)
	if err := sc.drive(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", r.Scenario, err)
	}
	r.end(cpu)
	limit := verifyTime
	if r.result.Cut {
		limit = cutTime
	}
	r.enter("check")
	checking, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	if err := sc.verify(checking); err != nil {
		r.result.Notes = append(r.result.Notes, "not all was checked: "+err.Error())
	}
	r.result.Checks = r.judge.Finish()
	r.collect()
	return r.result, nil
}

// begin opens the window.
func (r *run) begin(ctx context.Context) *cpuMeter {
	r.mu.Lock()
	r.window.Began = time.Now()
	r.window.From = r.window.Began.Add(r.Warmup)
	r.window.To = r.window.From.Add(r.For)
	for _, rec := range r.recorders {
		rec.Open(r.window)
	}
	r.result.Began = r.window.Began
	r.mu.Unlock()
	r.enter("measure")
	return meterCPU(ctx, r.servers(), r.window)
}

// end closes the window, and tells what the processes took in it.
func (r *run) end(cpu *cpuMeter) {
	r.result.CPU = cpu.wait()
	r.result.Cut = cpu.cut
	r.result.WindowS = max(0, cpu.ended.Sub(r.window.From).Seconds())
}

// recorder adds an operation to the result. It counts from the begin of the window.
func (r *run) recorder(name string) *measure.Recorder {
	rec := measure.NewRecorder(name, r.window)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recorders = append(r.recorders, rec)
	return rec
}

// collect puts all that was recorded into the result. Recorders of the same name are one operation.
func (r *run) collect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range r.recorders {
		o := rec.Op()
		if mine := r.result.Op(o.Name); mine != nil {
			mine.Merge(o)
		} else {
			r.result.Ops = append(r.result.Ops, o)
		}
	}
	r.result.Finish()
}

// limited notes why the generator was the limit.
func (r *run) limited(format string, args ...any) {
	r.result.Limits = append(r.result.Limits, fmt.Sprintf(format, args...))
}

// servers are the processes whose time is counted.
func (r *run) servers() []int {
	if r.access.Servers != nil {
		return r.access.Servers
	}
	addrs := slices.Clone(r.Sequencers)
	for _, t := range r.Targets {
		if u, err := url.Parse(t); err == nil {
			addrs = append(addrs, u.Host)
		}
	}
	if r.client != nil {
		for _, g := range r.client.Topology().Groups {
			addrs = append(append(addrs, g.Leader), g.Replicas...)
		}
	}
	return measure.Listeners(addrs)
}

// user and chat give names that no other run has.
func (r *run) user(n int) string { return fmt.Sprintf("b%s-%d-u%d", r.Run, r.Part, n) }
func (r *run) chat(n int) string { return fmt.Sprintf("b%s-%d-c%d", r.Run, r.Part, n) }
