//go:build linux

package chaos

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// gaps collects how long something stood still under one kind of fault: groups or users that it hit, and the others. refused counts
// the calls of the load that came back without an ack meanwhile.
type gaps struct {
	fault       string
	runs        int
	hit, others []time.Duration
	refused     int
}

// gapTable is what all tests of the process measured, printed by the last of them.
type gapTable struct {
	title, of string
	mu        sync.Mutex
	rows      []*gaps
}

var (
	writeGaps = gapTable{title: "Write gaps in ms, by group", of: "groups"}
	shownGaps = gapTable{title: "How long a user was shown nothing, in ms; hit is who was at the node that the fault hit", of: "users"}
)

// rowOf gives the row of a fault in the table of write gaps.
func rowOf(fault string) *gaps { return writeGaps.row(fault) }

// row gives the row of a fault, made where there is none.
func (table *gapTable) row(fault string) *gaps {
	table.mu.Lock()
	defer table.mu.Unlock()
	for _, row := range table.rows {
		if row.fault == fault {
			return row
		}
	}
	row := &gaps{fault: fault}
	table.rows = append(table.rows, row)
	return row
}

// note adds a run that began at a time and is over: the gap of each group, and whether the fault hit it.
func (r *gaps) note(c *cluster, l *load, from time.Duration, hit func(group int) bool) {
	r.runs++
	for g := range c.setup.groups {
		gap, _ := l.gap(g, from, l.now())
		if hit(g) {
			r.hit = append(r.hit, gap)
		} else {
			r.others = append(r.others, gap)
		}
	}
}

// print writes the table, with the machine's load, to standard output.
func (table *gapTable) print() {
	table.mu.Lock()
	defer table.mu.Unlock()
	if len(table.rows) == 0 {
		return
	}
	loads, _ := os.ReadFile("/proc/loadavg") // without it the table is only harder to judge
	fmt.Printf("\n%s; load of the machine now %s\n\n", table.title, strings.TrimSpace(string(loads)))
	fmt.Printf("| fault | runs | %s hit | p50 | p99 | max | other %[1]s | p50 | p99 | max | calls refused |\n", table.of)
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|")
	for _, r := range table.rows {
		fmt.Printf("| %s | %d | %s | %s | %d |\n", r.fault, r.runs, columns(r.hit), columns(r.others), r.refused)
	}
	fmt.Println()
}

func columns(gaps []time.Duration) string {
	if len(gaps) == 0 {
		return "0 | | | "
	}
	slices.Sort(gaps)
	ms := func(p int) int64 { return percentile(gaps, p).Milliseconds() }
	return fmt.Sprintf("%d | %d | %d | %d", len(gaps), ms(50), ms(99), ms(100))
}

// percentile gives the p-th percentile of ascending values: the smallest that p in a hundred are not above.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

func TestPercentile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for _, c := range []struct {
		of   []time.Duration
		p    int
		want time.Duration
	}{{hundred, 50, 50}, {hundred, 99, 99}, {hundred, 100, 100}, {hundred[:1], 50, 1}, {hundred[:3], 50, 2}, {hundred[:3], 99, 3}} {
		if got := percentile(c.of, c.p); got != c.want {
			t.Errorf("p%d of %d values is %d, want %d", c.p, len(c.of), got, c.want)
		}
	}
}

func TestLongestGap(t *testing.T) {
	acks := []time.Duration{10, 20, 30, 100, 110, 400}
	for _, c := range []struct{ from, to, want time.Duration }{
		{0, 25, 10},      // before the first and between
		{25, 105, 70},    // an ack before the fault counts
		{35, 105, 70},    // the fault came late in the gap
		{105, 200, 290},  // the gap ends after the time that is looked at
		{405, 1000, 600}, // nothing comes any more
		{100, 100, 10},
	} {
		if got, _ := longestGap(acks, c.from, c.to); got != c.want {
			t.Errorf("from %d to %d: %d, want %d", c.from, c.to, got, c.want)
		}
	}
}
