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

	mu sync.Mutex
	op Op
}

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
	r.window = w
}

// Done takes what was planned, begun and ended at these times.
func (r *Recorder) Done(planned, begun, ended time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.op.Series.Done(ended.Sub(r.window.Began), ended.Sub(planned))
	if !r.window.Counts(planned) {
		r.op.Warmup++
		return
	}
	r.op.Done++
	r.op.Latency.Record(ended.Sub(planned))
	r.op.Service.Record(ended.Sub(begun))
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
	return &r.op
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
	return Progress{Sent: r.op.Sent, Done: r.op.Done + r.op.Warmup, Errors: r.op.Errors, P99: r.op.Latency.At(0.99)}
}
