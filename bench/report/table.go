package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/bench/measure"
)

// Width is how many columns a table has at most.
const Width = 80

// Table writes a result for people to read.
func Table(w io.Writer, r *measure.Result) error {
	var b strings.Builder
	head(&b, r)
	if len(r.Ops) > 0 {
		fmt.Fprintf(&b, "%-16s%9s%9s%9s%9s%9s%9s%10s\n", "ms", "count", "per s", "p50", "p90", "p99", "p99.9", "max")
	}
	for _, o := range r.Ops {
		times(&b, o.Name, fmt.Sprintf("%9s%9s", short(float64(o.Done)), short(o.PerSecond(r.Window()))), &o.Latency)
		if o.Service.Count() > 0 && !same(&o.Latency, &o.Service) {
			times(&b, "  service time", fmt.Sprintf("%18s", ""), &o.Service)
		}
	}
	for _, v := range r.Values {
		fmt.Fprintf(&b, "%-34s %12s %s\n", v.Name, short(v.Value), v.Unit)
	}
	counts(&b, r)
	checked(&b, &r.Checks)
	for _, l := range r.Limits {
		wrap(&b, "THE GENERATOR WAS THE LIMIT: "+l)
	}
	for _, n := range r.Notes {
		wrap(&b, "note: "+n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func head(b *strings.Builder, r *measure.Result) {
	e := r.Environment
	fmt.Fprintf(b, "%s: %s that count, after %s of warm-up", r.Scenario, seconds(r.WindowS), seconds(r.WarmupS))
	if r.Cut {
		b.WriteString(", CUT SHORT")
	}
	if r.Workers > 1 {
		fmt.Fprintf(b, ", %d workers", r.Workers)
	}
	fmt.Fprintf(b, "\n%.50s, %d cores, %.0f GiB\n\n", e.CPU, e.Cores, float64(e.MemoryB)/(1<<30))
}

func times(b *strings.Builder, name, counts string, h *measure.Histogram) {
	fmt.Fprintf(b, "%-16.16s%s", name, counts)
	for _, share := range []float64{0.5, 0.9, 0.99, 0.999} {
		fmt.Fprintf(b, "%9s", millis(h.At(share)))
	}
	fmt.Fprintf(b, "%10s\n", millis(h.Max()))
}

func same(a, b *measure.Histogram) bool {
	return a.At(0.5) == b.At(0.5) && a.At(0.99) == b.At(0.99) && a.Max() == b.Max()
}

func counts(b *strings.Builder, r *measure.Result) {
	for _, o := range r.Ops {
		fmt.Fprintf(b, "%s: %s begun, %s late, %s dropped, %s errors, %s in the warm-up\n", o.Name,
			thousands(o.Sent), thousands(o.Late), thousands(o.Dropped), thousands(o.Errors), thousands(o.Warmup))
		for _, why := range o.Why {
			wrap(b, "  "+why)
		}
	}
	if c := r.CPU; c.ServerSeconds > 0 {
		fmt.Fprintf(b, "CPU: servers %.2f s (%d processes), %.1f s per million; generator %.2f s\n", c.ServerSeconds, len(c.ServerPids), c.PerMillion, c.GeneratorSeconds)
	} else if c.GeneratorSeconds > 0 {
		fmt.Fprintf(b, "CPU: generator %.2f s; no server's can be seen from here\n", c.GeneratorSeconds)
	}
}

func checked(b *strings.Builder, c *measure.Checks) {
	wrap(b, fmt.Sprintf("checked: %s sent, %s acked, %s offered again, %s delivered, %s read back, %s receipts", thousands(c.Sent),
		thousands(c.Acked), thousands(c.Replayed), thousands(c.Delivered), thousands(c.Read), thousands(c.Receipts)))
	if c.Total() == 0 {
		b.WriteString("promises: all kept\n")
		return
	}
	kinds := make([]string, 0, len(c.Broken))
	for kind, n := range c.Broken {
		kinds = append(kinds, fmt.Sprintf("%s %s", thousands(n), kind))
	}
	slices.Sort(kinds)
	wrap(b, "PROMISES BROKEN: "+strings.Join(kinds, ", "))
	for _, f := range c.First {
		wrap(b, fmt.Sprintf("  %s: %s: %s", f.Kind, f.Chat, f.What))
	}
}

// wrap writes a text in lines that are not too long; all but the first are indented.
func wrap(b *strings.Builder, text string) {
	indent := ""
	for {
		room := Width - len(indent)
		if len(text) <= room {
			fmt.Fprintf(b, "%s%s\n", indent, text)
			return
		}
		cut := strings.LastIndexByte(text[:room+1], ' ')
		if cut <= 2 {
			cut = room
		}
		fmt.Fprintf(b, "%s%s\n", indent, strings.TrimRight(text[:cut], " "))
		text, indent = strings.TrimLeft(text[cut:], " "), "    "
	}
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(100 * time.Millisecond).String()
}

// millis writes a time in milliseconds with three digits, or as many as it has.
func millis(d time.Duration) string {
	ms := measure.Ms(d)
	switch {
	case ms < 10:
		return fmt.Sprintf("%.2f", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f", ms)
	default:
		return thousands(int64(ms + 0.5))
	}
}

// thousands writes a number with commas.
func thousands(n int64) string {
	if n < 0 {
		return "-" + thousands(-n)
	}
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// short writes a number so that it fits into eight columns.
func short(x float64) string {
	switch {
	case x != 0 && x < 10 && x > -10:
		return fmt.Sprintf("%.2f", x)
	case x < 1000 && x > -1000:
		return fmt.Sprintf("%.1f", x)
	case x < 1e6 && x > -1e6:
		return thousands(int64(x + 0.5))
	case x < 1e9:
		return fmt.Sprintf("%.2fM", x/1e6)
	default:
		return fmt.Sprintf("%.2fG", x/1e9)
	}
}
