package measure

import (
	"sync"
	"time"
)

// Window says when a run began, and from when to when what was planned counts.
type Window struct {
	Began, From, To time.Time
}

// Counts tells whether what was planned for t counts.
func (w *Window) Counts(t time.Time) bool { return !t.Before(w.From) && t.Before(w.To) }

// Recorder takes the times of one operation, as one worker measures them. It is safe for concurrent use.
type Recorder struct {
	window Window

	mu   sync.Mutex
	op   Op
	same [sameTimes]done // that are not in op yet, by when they were planned
}

// done is n that were planned, begun and ended at the same times, as are the deliveries of one message that a client of many members reads together.
type done struct {
	times
	n int64
}

type times struct{ planned, begun, ended time.Time }

const (
	sameBits  = 6
	sameTimes = 1 << sameBits // of how many messages deliveries may come mixed and still be counted together
)

// lateAfter is how long after its planned time something that was sent counts as late.
const lateAfter = 10 * time.Millisecond

// NewRecorder begins to record an operation.
func NewRecorder(name string, window Window) *Recorder {
	return &Recorder{window: window, op: Op{Name: name}}
}

// Open sets when things count, which a recorder that was made before the run began does not know.
func (r *Recorder) Open(w Window) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.countAll()
	r.window = w
}

// Done takes what was planned, begun and ended at these times.
func (r *Recorder) Done(planned, begun, ended time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := times{planned, begun, ended}
	d := &r.same[uint64(planned.UnixNano())*0x9E3779B97F4A7C15>>(64-sameBits)]
	if d.times != t {
		r.count(d)
		d.times = t
	}
	d.n++
}

// count moves some into op.
func (r *Recorder) count(d *done) {
	n, took := d.n, d.ended.Sub(d.planned)
	if n == 0 {
		return
	}
	d.n = 0
	r.op.Series.Done(d.ended.Sub(r.window.Began), took, n)
	if !r.window.Counts(d.planned) {
		r.op.Warmup += n
		return
	}
	r.op.Done += n
	r.op.Latency.RecordMany(took, n)
	r.op.Service.RecordMany(d.ended.Sub(d.begun), n)
}

// countAll moves all into op. The caller holds mu.
func (r *Recorder) countAll() *Op {
	for i := range r.same {
		r.count(&r.same[i])
	}
	return &r.op
}

// Sent counts so many that were begun.
func (r *Recorder) Sent(planned, begun time.Time, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.window.Counts(planned) {
		return
	}
	r.op.Sent += n
	if begun.Sub(planned) > lateAfter {
		r.op.Late += n
	}
}

// Dropped counts one that was planned and never sent, since too many were under way.
func (r *Recorder) Dropped(planned time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.window.Counts(planned) {
		r.op.Dropped++
	}
}

// Failed counts one that ended with an error. The first few errors are kept.
func (r *Recorder) Failed(planned, now time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.op.Series.Failed(now.Sub(r.window.Began))
	if !r.window.Counts(planned) {
		return
	}
	r.op.Errors++
	if len(r.op.Why) < maxWhy {
		r.op.Why = append(r.op.Why, err.Error())
	}
}

// maxWhy bounds the errors that are kept.
const maxWhy = 5

// Op gives what was recorded. The recorder must not be used any more.
func (r *Recorder) Op() *Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.countAll()
}

// Progress is where an operation stands: for a line on a terminal.
type Progress struct {
	Sent, Done, Errors int64
	P99                time.Duration // of what counts
}

// Progress tells where it stands.
func (r *Recorder) Progress() Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	op := r.countAll()
	return Progress{Sent: op.Sent, Done: op.Done + op.Warmup, Errors: op.Errors, P99: op.Latency.At(0.99)}
}
