package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/quorate/quorate/bench/measure"
)

// Change is one number of two runs.
type Change struct {
	Op, What string
	A, B     float64
	Percent  float64 // from A to B
	Noise    float64 // percent that the two differ by chance, about
	Stands   bool    // it is more than chance
	Unit     string
}

// Compare holds two runs of the same scenario against each other. How far a number moves by chance is told by the run itself: each
// is cut into slices of its seconds, and the spread of the number between slices says how far its mean may be off.
func Compare(a, b *measure.Result) (changes []Change, warnings []string) {
	if a.Scenario != b.Scenario {
		warnings = append(warnings, fmt.Sprintf("they are runs of %s and of %s", a.Scenario, b.Scenario))
	}
	if string(a.Settings) != string(b.Settings) && differ(a, b) {
		warnings = append(warnings, "their settings differ")
	}
	ea, eb := a.Environment, b.Environment
	if ea.CPU != eb.CPU || ea.Cores != eb.Cores || ea.Kernel != eb.Kernel {
		warnings = append(warnings, "they were made on different machines")
	}
	for _, o := range a.Ops {
		other := b.Op(o.Name)
		if other == nil {
			continue
		}
		changes = append(changes, change(o.Name, "rate", "/s", o.PerSecond(a.Window()), other.PerSecond(b.Window()),
			sliced(o, a, rateOf), sliced(other, b, rateOf)))
		for _, q := range []struct {
			name  string
			share float64
		}{{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}} {
			at := func(h *measure.Histogram, _ int64) float64 { return measure.Ms(h.At(q.share)) }
			changes = append(changes, change(o.Name, q.name, "ms", measure.Ms(o.Latency.At(q.share)), measure.Ms(other.Latency.At(q.share)),
				sliced(o, a, at), sliced(other, b, at)))
		}
	}
	if a.CPU.PerMillion > 0 && b.CPU.PerMillion > 0 {
		changes = append(changes, change("servers", "CPU", "s/million", a.CPU.PerMillion, b.CPU.PerMillion, nil, nil))
	}
	return changes, warnings
}

func rateOf(_ *measure.Histogram, count int64) float64 { return float64(count) }

// differ tells whether the settings do, but for the names of the runs.
func differ(a, b *measure.Result) bool {
	strip := func(r *measure.Result) string {
		text := string(r.Settings)
		for _, key := range []string{`"run":`, `"targets":`, `"sequencers":`} {
			if i := strings.Index(text, key); i >= 0 {
				end := strings.IndexAny(text[i+len(key):], "]}")
				if key == `"run":` {
					end = strings.IndexAny(text[i+len(key):], ",}")
				}
				if end >= 0 {
					text = text[:i] + text[i+len(key)+end:]
				}
			}
		}
		return text
	}
	return strip(a) != strip(b)
}

// maxSlices is how many slices a run is cut into at most; fewer than minSlices tell nothing of chance.
const (
	maxSlices = 10
	minSlices = 4
)

// sliced gives a number for each of some equal slices of the time that counts.
func sliced(o *measure.Op, r *measure.Result, of func(h *measure.Histogram, count int64) float64) (values []float64) {
	first, all := int(math.Ceil(r.WarmupS)), o.Series.Seconds
	last := min(len(all), int(r.WarmupS+r.WindowS))
	n := min(maxSlices, last-first)
	for i := range n {
		var h measure.Histogram
		var count int64
		from, to := first+i*(last-first)/n, first+(i+1)*(last-first)/n
		for k := from; k < to; k++ {
			h.Merge(&all[k].Latency)
			count += all[k].Count
		}
		values = append(values, of(&h, count/int64(max(1, to-from))))
	}
	return values
}

// noiseFactor is how many standard errors of the difference count as chance: about one in a hundred differs by more.
const noiseFactor = 2.6

// unknownNoise is what a number is taken to move by chance where the run does not tell: percent.
const unknownNoise = 5

func change(op, what, unit string, a, b float64, sa, sb []float64) Change {
	c := Change{Op: op, What: what, Unit: unit, A: a, B: b, Noise: unknownNoise}
	if a == 0 {
		return c
	}
	c.Percent = (b - a) / a * 100
	if len(sa) >= minSlices && len(sb) >= minSlices {
		c.Noise = noiseFactor * math.Sqrt(variance(sa)/float64(len(sa))+variance(sb)/float64(len(sb))) / a * 100
	}
	c.Stands = math.Abs(c.Percent) > c.Noise
	return c
}

func variance(values []float64) float64 {
	mean, sum := 0.0, 0.0
	for _, v := range values {
		mean += v / float64(len(values))
	}
	for _, v := range values {
		sum += (v - mean) * (v - mean)
	}
	return sum / float64(max(1, len(values)-1))
}

// WriteCompare writes a comparison for people to read.
func WriteCompare(w io.Writer, a, b *measure.Result) error {
	changes, warnings := Compare(a, b)
	var t strings.Builder
	name := func(r *measure.Result) string {
		text := r.Scenario
		if r.Label != "" {
			text += " " + r.Label
		}
		return fmt.Sprintf("%s of %s, version %s", text, r.Began.UTC().Format(time.DateTime), r.Environment.Version)
	}
	fmt.Fprintf(&t, "A: %.76s\nB: %.76s\n\n", name(a), name(b))
	for _, warning := range warnings {
		wrap(&t, "CAREFUL: "+warning)
	}
	fmt.Fprintf(&t, "%-18s%-6s%11s%11s %-9s%9s%8s\n", "", "", "A", "B", "", "change", "noise")
	for _, c := range changes {
		verdict := "  ~"
		if c.Stands {
			verdict = "  *"
		}
		fmt.Fprintf(&t, "%-18.18s%-6s%11s%11s %-9s%+8.1f%%%7.1f%%%s\n", c.Op, c.What, short(c.A), short(c.B), c.Unit, c.Percent, c.Noise, verdict)
	}
	t.WriteString("* stands out of the noise, ~ does not\n")
	for _, r := range []*measure.Result{a, b} {
		if n := r.Checks.Total(); n > 0 {
			wrap(&t, fmt.Sprintf("%s: %d promises were found broken", name(r), n))
		}
	}
	_, err := io.WriteString(w, t.String())
	return err
}
