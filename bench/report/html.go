package report

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"os"
	"strings"
	"time"

	"github.com/quorate/quorate/bench/measure"
)

//go:embed page.tmpl
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is what the template is given.
type page struct {
	Title, Subtitle string
	Verdict         string
	Bad             bool
	Facts           [][2]string
	Sections        []section
	Faults          []measure.Fault
	Settings        string
}

// section is a chart and the same as a table.
type section struct {
	Heading string
	Chart   *chart
	Columns []string
	Rows    [][]string
}

// WriteHTML writes a result as one page that needs nothing else.
func WriteHTML(name string, r *measure.Result) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := HTML(f, r); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// HTML writes the page.
func HTML(w io.Writer, r *measure.Result) error {
	p := page{Title: "quorate bench " + r.Scenario, Subtitle: r.Label, Faults: r.Checks.First}
	p.Verdict, p.Bad = verdictOf(r)
	p.facts(r)
	for _, o := range r.Ops {
		if o.Latency.Count() > 0 {
			p.Sections = append(p.Sections, percentiles(o), cumulative(o))
		}
	}
	for _, o := range r.Ops {
		p.Sections = append(p.Sections, seriesOf(o, r)...)
	}
	var settings map[string]any
	if err := json.Unmarshal(r.Settings, &settings); err == nil {
		text, _ := json.MarshalIndent(settings, "", "  ") // it was JSON
		p.Settings = string(text)
	}
	return pageTemplate.Execute(w, p)
}

func verdictOf(r *measure.Result) (text string, bad bool) {
	switch n := r.Checks.Total(); {
	case n > 0:
		return fmt.Sprintf("%s promises were found broken", thousands(n)), true
	case len(r.Limits) > 0:
		return "The generator was the limit: " + r.Limits[0], true
	case r.Cut:
		return "All promises kept; the run was cut short", false
	}
	return "All promises kept", false
}

func (p *page) facts(r *measure.Result) {
	add := func(name, format string, args ...any) {
		p.Facts = append(p.Facts, [2]string{name, fmt.Sprintf(format, args...)})
	}
	e := r.Environment
	add("Began", "%s", r.Began.UTC().Format(time.RFC3339))
	add("Time", "%s that count, after %s of warm-up", seconds(r.WindowS), seconds(r.WarmupS))
	add("Machine", "%s, %d cores, %.0f GiB, %s %s, %s", e.CPU, e.Cores, float64(e.MemoryB)/(1<<30), e.OS, e.Kernel, e.Go)
	add("Version", "%s", e.Version)
	add("Targets", "%s", strings.Join(e.Targets, " "))
	if r.Workers > 1 {
		add("Workers", "%d", r.Workers)
	}
	for _, o := range r.Ops {
		add(o.Name, "%s done, %.1f per second, %s late, %s dropped, %s errors", thousands(o.Done), o.PerSecond(r.Window()), thousands(o.Late),
			thousands(o.Dropped), thousands(o.Errors))
	}
	for _, v := range r.Values {
		add(v.Name, "%s %s", short(v.Value), v.Unit)
	}
	c := r.Checks
	add("Checked", "%s sent, %s acked, %s offered again, %s delivered, %s read back, %s receipts", thousands(c.Sent), thousands(c.Acked),
		thousands(c.Replayed), thousands(c.Delivered), thousands(c.Read), thousands(c.Receipts))
	if r.CPU.ServerSeconds > 0 {
		add("CPU of servers", "%.2f s, %.1f s per million", r.CPU.ServerSeconds, r.CPU.PerMillion)
	}
	for _, n := range r.Notes {
		add("Note", "%s", n)
	}
}

// percentiles is the curve of a distribution over 1/(1-p), where each step to the right is ten times as rare.
func percentiles(o *measure.Op) section {
	var curves []curve
	high := 10.0
	for _, h := range []struct {
		name string
		of   *measure.Histogram
	}{{"from the planned time", &o.Latency}, {"service time", &o.Service}} {
		k := curve{name: h.name}
		for _, pt := range h.of.Curve() {
			if pt.Share >= 1 {
				continue
			}
			k.x, k.y = append(k.x, 1/(1-pt.Share)), append(k.y, measure.Ms(pt.Time))
			high = max(high, 1/(1-pt.Share))
		}
		if h.of.Count() > 0 {
			k.x, k.y = append(k.x, max(float64(h.of.Count()), 10)), append(k.y, measure.Ms(h.of.Max()))
			high = max(high, float64(h.of.Count()))
			curves = append(curves, k)
		}
	}
	x := scale{1, high, true}
	c := newChart("Latency by percentile", "percentile, at 1/(1−p)", "ms", x, span(true, ys(curves)...), curves)
	s := section{Heading: o.Name + ": percentiles", Chart: c, Columns: []string{"percentile", "latency ms", "service ms"}}
	for _, share := range []float64{0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999} {
		if inverse := 1 / (1 - share); inverse <= high*1.0001 {
			text := strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.3f", share*100), "0"), ".") + "%"
			c.XTicks = append(c.XTicks, tick{c.x(x, inverse), text})
			s.Rows = append(s.Rows, []string{text, millis(o.Latency.At(share)), millis(o.Service.At(share))})
		}
	}
	s.Rows = append(s.Rows, []string{"max", millis(o.Latency.Max()), millis(o.Service.Max())})
	c.About = fmt.Sprintf("half within %s ms, 99%% within %s ms, the longest %s ms", millis(o.Latency.At(0.5)), millis(o.Latency.At(0.99)), millis(o.Latency.Max()))
	return s
}

func ys(curves []curve) (lists [][]float64) {
	for _, k := range curves {
		lists = append(lists, k.y)
	}
	return lists
}

// cumulative is the share of all that took at most so long.
func cumulative(o *measure.Op) section {
	k := curve{name: "from the planned time"}
	for _, pt := range o.Latency.Curve() {
		k.x, k.y = append(k.x, measure.Ms(pt.Time)), append(k.y, pt.Share*100)
	}
	x := span(true, k.x)
	c := newChart("Cumulative distribution", "ms", "% of all", x, scale{0, 100, false}, []curve{k})
	s := section{Heading: o.Name + ": cumulative distribution", Chart: c, Columns: []string{"at most ms", "share"}}
	for _, v := range x.ticks() {
		c.XTicks = append(c.XTicks, tick{c.x(x, v), label(v)})
	}
	for _, share := range []float64{0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1} {
		s.Rows = append(s.Rows, []string{millis(o.Latency.At(share)), fmt.Sprintf("%.0f%%", share*100)})
	}
	c.About = fmt.Sprintf("10%% within %s ms, 90%% within %s ms", millis(o.Latency.At(0.1)), millis(o.Latency.At(0.9)))
	return s
}

// maxRows bounds the rows of a table of seconds; beyond it each row is of several.
const maxRows = 30

// seriesOf is a run over its time: rate, p99 and errors.
func seriesOf(o *measure.Op, r *measure.Result) (all []section) {
	seconds := o.Series.Seconds
	if len(seconds) < 2 {
		return nil
	}
	x := scale{0, float64(len(seconds)), false}
	names := []string{"per second", "p99 ms", "errors"}
	curves := make([]curve, 3)
	for i := range seconds {
		sec := &seconds[i]
		for k, v := range []float64{float64(sec.Count), measure.Ms(sec.Latency.At(0.99)), float64(sec.Errors)} {
			curves[k].name, curves[k].x, curves[k].y = names[k], append(curves[k].x, float64(sec.T)+0.5), append(curves[k].y, v)
		}
	}
	for k, title := range []string{"Rate", "p99 by the second", "Errors"} {
		c := newChart(title, "seconds", names[k], x, span(false, curves[k].y), curves[k:k+1])
		for _, v := range x.ticks() {
			c.XTicks = append(c.XTicks, tick{c.x(x, v), label(v)})
		}
		marks := append([]measure.Mark{{AtSeconds: r.WarmupS, What: "warm-up ends"}}, r.Marks...)
		for i, m := range marks {
			c.Marks = append(c.Marks, mark{c.x(x, m.AtSeconds), m.What, c.Top + 10 + float64(i%6)*11})
		}
		c.About = fmt.Sprintf("%s over %d seconds", names[k], len(seconds))
		s := section{Heading: fmt.Sprintf("%s: %s", o.Name, title), Chart: c, Columns: []string{"second", names[k]}}
		step := (len(seconds) + maxRows - 1) / maxRows
		for i := 0; i < len(seconds); i += step {
			s.Rows = append(s.Rows, []string{fmt.Sprint(seconds[i].T), label(curves[k].y[i])})
		}
		all = append(all, s)
	}
	return all
}
