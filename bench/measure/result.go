package measure

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"time"
)

// Schema names the form of Result. A change that old readers would misread is another number.
const Schema = "quorate.bench/1"

// Op is one thing that was done over and over, such as a send until its ack. What was planned in the warm-up is in Series and in
// Warmup, and in nothing else.
type Op struct {
	Name    string    `json:"name"`
	Sent    int64     `json:"sent"`    // begun
	Done    int64     `json:"done"`    // ended well
	Errors  int64     `json:"errors"`  // ended otherwise
	Late    int64     `json:"late"`    // begun over 10 ms after the planned time
	Dropped int64     `json:"dropped"` // planned and never begun
	Warmup  int64     `json:"warmup"`  // ended well and did not count
	Latency Histogram `json:"latency"` // from the planned time
	Service Histogram `json:"service"` // from the time it was begun
	Series  Series    `json:"series"`
	Why     []string  `json:"why,omitempty"` // the first errors
}

// PerSecond is how many of those that count ended well in a second.
func (o *Op) PerSecond(window time.Duration) float64 {
	return float64(o.Done) / max(window.Seconds(), 1e-9)
}

// Merge adds what another worker did.
func (o *Op) Merge(other *Op) {
	o.Sent += other.Sent
	o.Done += other.Done
	o.Errors += other.Errors
	o.Late += other.Late
	o.Dropped += other.Dropped
	o.Warmup += other.Warmup
	o.Latency.Merge(&other.Latency)
	o.Service.Merge(&other.Service)
	o.Series.Merge(&other.Series)
	o.Why = append(o.Why, other.Why[:min(len(other.Why), maxWhy-min(maxWhy, len(o.Why)))]...)
}

// Value is a number that is no time of an operation, such as bytes per connection.
type Value struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Sum   bool    `json:"sum,omitempty"` // of several workers it is the sum; else the greatest
}

// Mark is something that happened at a time of the run, such as a fault.
type Mark struct {
	AtSeconds float64 `json:"atSeconds"` // since the run began
	What      string  `json:"what"`
}

// Fault is a broken promise, with all that is known of it.
type Fault struct {
	Kind string `json:"kind"`
	Chat string `json:"chat,omitempty"`
	What string `json:"what"`
}

// Checks is what was checked, and what was found.
type Checks struct {
	Sent      int64            `json:"sent"`      // messages offered
	Acked     int64            `json:"acked"`     // of these acknowledged
	Delivered int64            `json:"delivered"` // messages shown to members
	Read      int64            `json:"read"`      // messages read back from the logs
	Replayed  int64            `json:"replayed"`  // messages offered again, to see that they are there once
	Receipts  int64            `json:"receipts"`
	Broken    map[string]int64 `json:"broken"` // by kind
	First     []Fault          `json:"first"`  // the first few, in full
}

// Total is how many promises were found broken.
func (c *Checks) Total() (n int64) {
	for _, k := range c.Broken {
		n += k
	}
	return n
}

// MaxFaults bounds the faults that are kept in full.
const MaxFaults = 10

// Merge adds what another worker checked.
func (c *Checks) Merge(other *Checks) {
	c.Sent += other.Sent
	c.Acked += other.Acked
	c.Delivered += other.Delivered
	c.Read += other.Read
	c.Replayed += other.Replayed
	c.Receipts += other.Receipts
	for kind, n := range other.Broken {
		if c.Broken == nil {
			c.Broken = map[string]int64{}
		}
		c.Broken[kind] += n
	}
	for _, f := range other.First {
		if len(c.First) < MaxFaults {
			c.First = append(c.First, f)
		}
	}
}

// CPU is what a run cost, where that can be seen: of processes on this machine.
type CPU struct {
	ServerSeconds    float64 `json:"serverSeconds"` // 0 where no server is here
	ServerPids       []int   `json:"serverPids,omitempty"`
	GeneratorSeconds float64 `json:"generatorSeconds"`
	PerMillion       float64 `json:"serverSecondsPerMillion"` // server seconds for each million of the first operation
}

// Result is all that came of a run.
type Result struct {
	Schema      string          `json:"schema"`
	Scenario    string          `json:"scenario"`
	Label       string          `json:"label,omitempty"` // what its maker calls it
	Settings    json.RawMessage `json:"settings"`
	Environment Environment     `json:"environment"`
	Began       time.Time       `json:"began"`
	WarmupS     float64         `json:"warmupSeconds"`
	WindowS     float64         `json:"windowSeconds"` // that count
	Workers     int             `json:"workers"`
	Cut         bool            `json:"cut,omitempty"` // it was ended before its time
	Ops         []*Op           `json:"ops"`
	Values      []Value         `json:"values,omitempty"`
	Marks       []Mark          `json:"marks,omitempty"`
	Checks      Checks          `json:"checks"`
	CPU         CPU             `json:"cpu"`
	Limits      []string        `json:"limits,omitempty"` // why the generator was the limit
	Notes       []string        `json:"notes,omitempty"`  // what a reader must know
}

// Window is the time that counts.
func (r *Result) Window() time.Duration { return time.Duration(r.WindowS * float64(time.Second)) }

// Op gives an operation by name, nil where there is none.
func (r *Result) Op(name string) *Op {
	for _, o := range r.Ops {
		if o.Name == name {
			return o
		}
	}
	return nil
}

// Value gives a number by name.
func (r *Result) Value(name string) (float64, bool) {
	for _, v := range r.Values {
		if v.Name == name {
			return v.Value, true
		}
	}
	return 0, false
}

// Tell adds a number.
func (r *Result) Tell(name string, value float64, unit string) {
	r.Values = append(r.Values, Value{Name: name, Value: value, Unit: unit})
}

// Merge adds what another worker measured in the same run.
func (r *Result) Merge(other *Result) {
	r.Workers += other.Workers
	r.Cut = r.Cut || other.Cut
	r.WindowS = max(r.WindowS, other.WindowS)
	for _, o := range other.Ops {
		if mine := r.Op(o.Name); mine != nil {
			mine.Merge(o)
		} else {
			r.Ops = append(r.Ops, o)
		}
	}
	for _, v := range other.Values {
		i := slices.IndexFunc(r.Values, func(mine Value) bool { return mine.Name == v.Name })
		switch {
		case i < 0:
			r.Values = append(r.Values, v)
		case v.Sum:
			r.Values[i].Value += v.Value
		default:
			r.Values[i].Value = max(r.Values[i].Value, v.Value)
		}
	}
	r.mergeMarks(other.Marks)
	r.Checks.Merge(&other.Checks)
	r.CPU.merge(&other.CPU)
	r.Limits = append(r.Limits, other.Limits...)
	for _, n := range other.Notes {
		if !slices.Contains(r.Notes, n) {
			r.Notes = append(r.Notes, n)
		}
	}
	r.Finish()
}

// merge adds the generators; a server is counted by one of those that see it.
func (c *CPU) merge(other *CPU) {
	c.GeneratorSeconds += other.GeneratorSeconds
	if other.ServerSeconds > c.ServerSeconds {
		c.ServerSeconds, c.ServerPids = other.ServerSeconds, other.ServerPids
	}
}

// Finish fills in what follows from the rest.
func (r *Result) Finish() {
	if len(r.Ops) > 0 && r.Ops[0].Done > 0 {
		r.CPU.PerMillion = r.CPU.ServerSeconds / float64(r.Ops[0].Done) * 1e6
	}
}

// Write writes the result to a file.
func (r *Result) Write(name string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("result: %w", err)
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}

// Read reads a result from a file.
func Read(name string) (*Result, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var r Result
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("%s: its schema is %q, this is a reader of %q", name, r.Schema, Schema)
	}
	return &r, nil
}

// sameMark is how far apart workers see the same thing, in seconds, at most.
const sameMark = 2.0

// mergeMarks adds what another worker marked, but what this one saw too.
func (r *Result) mergeMarks(others []Mark) {
	for _, m := range others {
		if !slices.ContainsFunc(r.Marks, func(mine Mark) bool { return mine.What == m.What && math.Abs(mine.AtSeconds-m.AtSeconds) < sameMark }) {
			r.Marks = append(r.Marks, m)
		}
	}
}
