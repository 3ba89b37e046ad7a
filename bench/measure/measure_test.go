package measure

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestHistogram_RightToADigitInAThousandAndTheSameWhenReadAgain(t *testing.T) {
	var a, b Histogram
	for i := 1; i <= 1000; i++ {
		h := &a
		if i%2 == 0 {
			h = &b
		}
		h.Record(time.Duration(i) * time.Millisecond)
	}
	a.Merge(&b)
	for share, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second} {
		if got := a.At(share); got < want-want/500 || got > want+want/500 {
			t.Errorf("%v: %v, want %v", share, got, want)
		}
	}
	raw, err := json.Marshal(&a)
	if err != nil {
		t.Fatal(err)
	}
	var again Histogram
	if err := json.Unmarshal(raw, &again); err != nil {
		t.Fatal(err)
	}
	if again.Count() != 1000 || again.At(0.9) != a.At(0.9) || again.Max() != a.Max() {
		t.Errorf("read again: %d, %v, %v", again.Count(), again.At(0.9), again.Max())
	}
	curve := a.Curve()
	if len(curve) < 10 || curve[len(curve)-1].Share != 1 {
		t.Errorf("curve %v", curve)
	}
}

func TestRecorder_WarmupCountsInTheSeriesAlone(t *testing.T) {
	began := time.Now()
	w := Window{Began: began, From: began.Add(time.Second), To: began.Add(3 * time.Second)}
	r := NewRecorder("x", w)
	at := func(s float64) time.Time { return began.Add(time.Duration(s * float64(time.Second))) }
	r.Sent(at(0.5), at(0.5), 1)
	r.Done(at(0.5), at(0.5), at(1.5))
	r.Sent(at(1.5), at(1.52), 1)
	r.Done(at(1.5), at(1.52), at(2.5))
	r.Dropped(at(2))
	r.Dropped(at(0.2))
	r.Failed(at(2.5), at(2.6), errors.New("no"))
	r.Sent(at(3.5), at(3.5), 1)
	o := r.Op()
	if o.Sent != 1 || o.Done != 1 || o.Late != 1 || o.Dropped != 1 || o.Errors != 1 || o.Warmup != 1 {
		t.Errorf("%+v", o)
	}
	if o.Latency.Max() <= o.Service.Max() {
		t.Errorf("latency %v, service %v: a late begin belongs to the latency", o.Latency.Max(), o.Service.Max())
	}
	if s := o.Series.Seconds; len(s) != 3 || s[1].Count != 1 || s[2].Count != 1 || s[2].Errors != 1 {
		t.Errorf("series %+v", s)
	}
}

func TestResult_WorkersAreMergedAndWrittenAndRead(t *testing.T) {
	part := func(ms int) *Result {
		now := time.Now()
		r := NewRecorder("send to ack", Window{Began: now, From: now, To: now.Add(time.Minute)})
		r.Sent(now, now, 1)
		r.Done(now, now, now.Add(time.Duration(ms)*time.Millisecond))
		res := &Result{Schema: Schema, Scenario: "send", Workers: 1, WindowS: 10, Ops: []*Op{r.Op()}}
		res.Values = []Value{{Name: "sum", Value: 2, Sum: true}, {Name: "most", Value: float64(ms)}}
		res.Checks = Checks{Sent: 1, Broken: map[string]int64{"lost": 1}, First: []Fault{{Kind: "lost"}}}
		res.CPU = CPU{ServerSeconds: 2, GeneratorSeconds: 1}
		return res
	}
	a := part(10)
	a.Merge(part(20))
	if o := a.Ops[0]; a.Workers != 2 || o.Done != 2 || o.Latency.Max() < 19*time.Millisecond || o.Series.Seconds[0].Count != 2 {
		t.Errorf("%+v", a)
	}
	if sum, _ := a.Value("sum"); sum != 4 {
		t.Errorf("sum %v", sum)
	}
	if most, _ := a.Value("most"); most != 20 {
		t.Errorf("most %v", most)
	}
	if a.Checks.Total() != 2 || a.CPU.ServerSeconds != 2 || a.CPU.GeneratorSeconds != 2 || a.CPU.PerMillion != 1e6 {
		t.Errorf("%+v %+v", a.Checks, a.CPU)
	}
	name := filepath.Join(t.TempDir(), "r.json")
	if err := a.Write(name); err != nil {
		t.Fatal(err)
	}
	b, err := Read(name)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := json.Marshal(a)
	second, _ := json.Marshal(b)
	if !reflect.DeepEqual(first, second) {
		t.Errorf("written:\n%s\nread:\n%s", first, second)
	}
	b.Schema = "quorate.bench/999"
	if err := b.Write(name); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(name); err == nil {
		t.Error("a file of another schema was read")
	}
}

// TestRecorder_CountsTogetherWhatCameTogether: whatever order things end in, and whoever asks meanwhile, the numbers are as if each were counted by itself.
func TestRecorder_CountsTogetherWhatCameTogether(t *testing.T) {
	began := time.Now()
	w := Window{Began: began, From: began.Add(time.Second), To: began.Add(time.Hour)}
	r, rng := NewRecorder("x", w), rand.New(rand.NewPCG(1, 1))
	var latency, service Histogram
	var warmup int64
	const all = 20_000
	for i := range all {
		read := time.Duration(i/500) * 50 * time.Millisecond // as many as are read at once
		planned := began.Add(read - time.Duration(rng.IntN(200))*time.Millisecond)
		begun, ended := planned.Add(time.Duration(rng.IntN(2))*time.Millisecond), began.Add(read)
		r.Done(planned, begun, ended)
		if !w.Counts(planned) {
			warmup++
			continue
		}
		latency.Record(ended.Sub(planned))
		service.Record(ended.Sub(begun))
		if got := latency.Count() + warmup; i%777 == 0 && r.Progress().Done != got {
			t.Fatalf("%d are done, want %d", r.Progress().Done, got)
		}
	}
	o := r.Op()
	var seconds int64
	for i := range o.Series.Seconds {
		seconds += o.Series.Seconds[i].Latency.Count()
	}
	if o.Done != latency.Count() || o.Warmup != warmup || seconds != all || warmup == 0 {
		t.Errorf("%d done, %d in the warm-up, %d in seconds; want %d, %d and %d", o.Done, o.Warmup, seconds, latency.Count(), warmup, all)
	}
	if !reflect.DeepEqual(o.Latency.Curve(), latency.Curve()) || !reflect.DeepEqual(o.Service.Curve(), service.Curve()) || o.Latency.Mean() != latency.Mean() {
		t.Error("the distribution is another one")
	}
}
