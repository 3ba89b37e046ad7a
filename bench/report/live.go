package report

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Moment is where a run stands.
type Moment struct {
	Phase          string
	Elapsed, Total time.Duration
	PerSecond      float64
	P99            time.Duration
	Errors, Broken int64
}

// Line shows where a run stands: on a terminal one line that is written over, elsewhere a plain line now and then.
type Line struct {
	w        io.Writer
	terminal bool
	told     time.Time
	phase    string
	written  int
}

// plainEvery is how often a plain line is written.
const plainEvery = 5 * time.Second

// NewLine shows on w.
func NewLine(w io.Writer, terminal bool) *Line { return &Line{w: w, terminal: terminal} }

// Show shows a moment.
func (l *Line) Show(m Moment) {
	text := m.text(l.terminal)
	if l.terminal {
		_, _ = fmt.Fprintf(l.w, "\r%s%s", text, strings.Repeat(" ", max(0, l.written-len([]rune(text)))))
		l.written = len([]rune(text))
		return
	}
	if m.Phase == l.phase && time.Since(l.told) < plainEvery-plainEvery/10 {
		return
	}
	l.phase, l.told = m.Phase, time.Now()
	_, _ = fmt.Fprintln(l.w, text)
}

// End ends the line, so that what comes after it begins a new one.
func (l *Line) End() {
	if l.terminal && l.written > 0 {
		_, _ = fmt.Fprintf(l.w, "\r%s\r", strings.Repeat(" ", l.written))
	}
	l.written = 0
}

func (m *Moment) text(bar bool) string {
	if m.Elapsed == 0 && m.PerSecond == 0 {
		return m.Phase
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s", m.Phase)
	if bar && m.Total > 0 {
		const cells = 16
		full := int(cells * m.Elapsed / m.Total)
		b.WriteString(" " + strings.Repeat("█", full) + strings.Repeat("░", cells-full))
	}
	left := (m.Total - m.Elapsed).Round(time.Second)
	fmt.Fprintf(&b, " %s left  %s/s  p99 %s ms", left, thousands(int64(m.PerSecond+0.5)), millis(m.P99))
	if m.Errors > 0 {
		fmt.Fprintf(&b, "  %s errors", thousands(m.Errors))
	}
	if m.Broken > 0 {
		fmt.Fprintf(&b, "  %s BROKEN", thousands(m.Broken))
	}
	return b.String()
}
