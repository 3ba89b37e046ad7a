package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/bench/measure"
)

// result is a run of ten seconds in which each operation took about so long, one in a hundred ten times as long.
func result(took time.Duration, perSecond int) *measure.Result {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := measure.Window{Began: began, From: began.Add(2 * time.Second), To: began.Add(12 * time.Second)}
	r := measure.NewRecorder("send to ack", w)
	for i := range 12 * perSecond {
		at := began.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
		d := took + took*time.Duration(i%17)/100
		if i%100 == 7 {
			d *= 10
		}
		r.Sent(at, at, 1)
		r.Done(at, at.Add(took/10), at.Add(d))
	}
	r.Failed(began.Add(5*time.Second), began.Add(5*time.Second), errors.New("a <b>refusal</b>"))
	return &measure.Result{
		Schema: measure.Schema, Scenario: "send", Label: "a test & more", Settings: json.RawMessage(`{"rate":100}`), Began: began, WarmupS: 2, WindowS: 10, Workers: 1,
		Environment: measure.Environment{Version: "v", CPU: "a processor with a name that is longer than any table is wide, by far", Cores: 2, MemoryB: 24 << 30},
		Ops:         []*measure.Op{r.Op()}, CPU: measure.CPU{ServerSeconds: 1.5, ServerPids: []int{1, 2, 3}, PerMillion: 75.4},
		Values: []measure.Value{{Name: "bytes per connection", Value: 4321, Unit: "bytes"}},
		Marks:  []measure.Mark{{AtSeconds: 6, What: "kill -9 of the <leader>"}},
		Checks: measure.Checks{Sent: 1200, Acked: 1200},
	}
}

func broken() *measure.Result {
	r := result(3*time.Millisecond, 100)
	r.Checks.Broken = map[string]int64{"lost": 2, "gap": 1}
	r.Checks.First = []measure.Fault{{Kind: "lost", Chat: "c1", What: "alice/m1 was acknowledged as 7 and is not there; " + strings.Repeat("and more ", 20)}}
	r.Limits = []string{"the goroutine of the clients was busy for 97 % of the time"}
	return r
}

func TestTable_FitsEightyColumnsAndTellsAll(t *testing.T) {
	for _, r := range []*measure.Result{result(3*time.Millisecond, 100), result(9*time.Second, 3), result(20*time.Microsecond, 3000), broken()} {
		var b bytes.Buffer
		if err := Table(&b, r); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > Width {
				t.Errorf("%d columns: %q", n, line)
			}
		}
		for _, want := range []string{"send to ack", "service time", "p99.9", "75.4 s per million", "2s of warm-up", "4,321 bytes", "1 errors"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%q is not in:\n%s", want, b.String())
			}
		}
	}
	var b bytes.Buffer
	_ = Table(&b, broken())
	for _, want := range []string{"PROMISES BROKEN: 1 gap, 2 lost", "alice/m1", "THE GENERATOR WAS THE LIMIT"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in:\n%s", want, b.String())
		}
	}
}

func TestHTML_IsOnePageThatIsWellFormedAndNeedsNothing(t *testing.T) {
	var b bytes.Buffer
	if err := HTML(&b, broken()); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, bad := range []string{"<script", "http://", "https://", "NaN", "Inf", "<leader>", "<b>refusal", "ZgotmplZ"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	for _, want := range []string{"99.9%", "kill -9 of the &lt;leader&gt;", "Cumulative distribution", "p99 by the second", "alice/m1", "warm-up ends", "<polyline"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not hold %q", want)
		}
	}
	if charts, tables := strings.Count(text, `role="img"`), strings.Count(text, "<thead>"); charts != 5 || tables != charts {
		t.Errorf("%d charts, %d tables beside them", charts, tables)
	}
	d := xml.NewDecoder(strings.NewReader(strings.Replace(text, "<!DOCTYPE html>", "", 1)))
	d.Strict, d.AutoClose, d.Entity = true, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
	}
}

func TestSLO(t *testing.T) {
	r := result(3*time.Millisecond, 100)
	for text, missed := range map[string]bool{
		"p50=5ms": false, "p50=1ms": true, "p99.9=1s": false, "max=1ms": true, "max=1s": false, "rate=90": false, "rate=101": true, "errors=1": false,
		"errors=0": true, "send to ack:p50=5ms": false, "other:p50=5ms": true,
	} {
		slo, err := ParseSLO(text)
		if err != nil {
			t.Fatal(err)
		}
		if miss := slo.Miss(r); (miss != "") != missed {
			t.Errorf("%s: %q", text, miss)
		}
	}
	for _, text := range []string{"", "p99", "p99=soon", "q99=5ms", "p100=5ms", "rate=fast"} {
		if _, err := ParseSLO(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestCompare_ChangeAgainstNoise(t *testing.T) {
	stands := func(a, b *measure.Result) map[string]bool {
		m := map[string]bool{}
		changes, _ := Compare(a, b)
		for _, c := range changes {
			m[c.What] = c.Stands
		}
		return m
	}
	if same := stands(result(3*time.Millisecond, 100), result(3*time.Millisecond, 100)); same["p50"] || same["rate"] || same["p99"] {
		t.Errorf("the same twice: %v", same)
	}
	if slower := stands(result(3*time.Millisecond, 100), result(4*time.Millisecond, 100)); !slower["p50"] || slower["rate"] {
		t.Errorf("a third slower: %v", slower)
	}
	a, b := result(3*time.Millisecond, 100), result(3*time.Millisecond, 100)
	b.Environment.Cores = 64
	b.Settings = json.RawMessage(`{"rate":200}`)
	if _, warnings := Compare(a, b); len(warnings) != 2 {
		t.Errorf("%v", warnings)
	}
	var text bytes.Buffer
	if err := WriteCompare(&text, a, b); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text.String()) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > Width {
			t.Errorf("%d columns: %q", n, line)
		}
	}
}

func TestLine_PlainAndOnATerminal(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		m := Moment{Phase: "measure", Elapsed: 5 * time.Second, Total: 20 * time.Second, PerSecond: 1234, P99: 3 * time.Millisecond}
		var b bytes.Buffer
		l := NewLine(&b, terminal)
		l.Show(Moment{Phase: "prepare"})
		l.Show(m)
		m.Elapsed = 6 * time.Second
		l.Show(m)
		l.End()
		if got := strings.Count(b.String(), "\n"); terminal && got != 0 || !terminal && got != 2 {
			t.Errorf("terminal %v: %q", terminal, b.String())
		}
		if !strings.Contains(b.String(), "1,234/s") || !strings.Contains(b.String(), "15s left") {
			t.Errorf("%q", b.String())
		}
	}
}
