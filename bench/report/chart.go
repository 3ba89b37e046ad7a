package report

import (
	"fmt"
	"math"
	"strings"
)

// The size of a chart, in units of its view box, and of the room around its plot.
const (
	chartWidth   = 560.0
	chartHeight  = 250.0
	marginLeft   = 58.0
	marginRight  = 14.0
	marginTop    = 12.0
	marginBottom = 40.0
)

// chart is what the template draws.
type chart struct {
	Title, XName, YName string
	Width, Height       float64
	Left, Right         float64 // of the plot
	Top, Bottom         float64
	XTicks, YTicks      []tick
	Lines               []line
	Marks               []mark
	About               string // the same in words, for who does not see it
}

type tick struct {
	At    float64
	Label string
}

// line is one curve; Class selects its colour and dash.
type line struct {
	Name, Class, Points string
}

// mark is something that happened.
type mark struct {
	At    float64
	Label string
	Y     float64 // of the label
}

// curve is a line before it has a place.
type curve struct {
	name string
	x, y []float64
}

// scale says where values are.
type scale struct {
	low, high float64
	log       bool
}

func (s scale) place(v float64) float64 {
	low, high := s.low, s.high
	if s.log {
		v, low, high = math.Log10(max(v, s.low)), math.Log10(s.low), math.Log10(s.high)
	}
	if high <= low {
		return 0
	}
	return min(max((v-low)/(high-low), 0), 1)
}

// newChart draws curves; x and y are their scales.
func newChart(title, xName, yName string, x, y scale, curves []curve) *chart {
	c := &chart{
		Title: title, XName: xName, YName: yName, Width: chartWidth, Height: chartHeight, Left: marginLeft, Right: chartWidth - marginRight,
		Top: marginTop, Bottom: chartHeight - marginBottom,
	}
	for i, k := range curves {
		var b strings.Builder
		for p := range k.x {
			fmt.Fprintf(&b, "%.1f,%.1f ", c.x(x, k.x[p]), c.y(y, k.y[p]))
		}
		c.Lines = append(c.Lines, line{Name: k.name, Class: fmt.Sprintf("s%d", i%len(seriesClasses)), Points: b.String()})
	}
	for _, v := range y.ticks() {
		c.YTicks = append(c.YTicks, tick{c.y(y, v), label(v)})
	}
	return c
}

// seriesClasses are the styles that the page has for lines.
var seriesClasses = []string{"s0", "s1", "s2", "s3"}

func (c *chart) x(s scale, v float64) float64 { return c.Left + s.place(v)*(c.Right-c.Left) }
func (c *chart) y(s scale, v float64) float64 { return c.Bottom - s.place(v)*(c.Bottom-c.Top) }

// ticks gives round values over the scale: the powers of ten, or 1, 2 or 5 times one, about five of them.
func (s scale) ticks() (values []float64) {
	if s.log {
		for v := math.Pow(10, math.Ceil(math.Log10(s.low)-1e-9)); v <= s.high*1.0001; v *= 10 {
			values = append(values, v)
		}
		return values
	}
	step := math.Pow(10, math.Floor(math.Log10(max(s.high-s.low, 1e-9)/4)))
	for _, m := range []float64{1, 2, 5, 10} {
		if (s.high-s.low)/(step*m) <= 5.5 {
			step *= m
			break
		}
	}
	for v := math.Ceil(s.low/step) * step; v <= s.high*1.0001; v += step {
		values = append(values, v)
	}
	return values
}

// span gives the scale that holds all values: from 0, or logarithmic from the power of ten below them.
func span(log bool, lists ...[]float64) scale {
	low, high := math.Inf(1), 0.0
	for _, list := range lists {
		for _, v := range list {
			if v > 0 {
				low = min(low, v)
			}
			high = max(high, v)
		}
	}
	switch {
	case high == 0:
		return scale{low: map[bool]float64{true: 0.1}[log], high: 1, log: log}
	case log:
		return scale{math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Ceil(math.Log10(high)+1e-9)), true}
	}
	return scale{0, high * 1.08, false}
}

func label(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 1e6:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", v/1e6), ".0") + "M"
	case v >= 1000:
		return thousands(int64(v + 0.5))
	default:
		return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.3f", v), "0"), ".")
	}
}
