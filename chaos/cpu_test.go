//go:build linux

package chaos

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var squeeze = flag.Duration("squeeze", time.Minute, "how long TestCPUSqueeze holds the nodes back")

const (
	cgroupCPU   = "/sys/fs/cgroup/cpu" // version 1
	quotaPeriod = 100 * time.Millisecond
	manyShares  = 64 << 10 // it is the quota that holds a node back, and nothing else that runs on the machine
)

// cpuGroup is a control group that nodes share or have alone.
type cpuGroup string

// newCPUGroup makes one that is gone with the test. It skips the test where the machine has no such groups.
func newCPUGroup(t *testing.T, name string) cpuGroup {
	t.Helper()
	if _, err := os.Stat(filepath.Join(cgroupCPU, "cpu.cfs_quota_us")); err != nil {
		t.Skipf("no CPU quota in control groups of version 1 here: %v", err)
	}
	g := cpuGroup(filepath.Join(cgroupCPU, fmt.Sprintf("quorate-chaos-%d-%s", os.Getpid(), name)))
	if err := os.Mkdir(string(g), 0o755); err != nil {
		t.Skipf("no control group can be made here: %v", err)
	}
	t.Cleanup(func() {
		await(t, "the control group to be empty", func() bool {
			return !errors.Is(syscall.Rmdir(string(g)), syscall.EBUSY)
		})
	})
	return g
}

func (g cpuGroup) write(t *testing.T, file string, value int64) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(string(g), file), []byte(strconv.FormatInt(value, 10)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// limit gives the group that much of one CPU, in percent.
func (g cpuGroup) limit(t *testing.T, percent int64) {
	t.Helper()
	g.write(t, "cpu.shares", manyShares)
	g.write(t, "cpu.cfs_period_us", quotaPeriod.Microseconds())
	g.write(t, "cpu.cfs_quota_us", quotaPeriod.Microseconds()*percent/100)
}

// throttled gives the time that the group was kept from running, and the number of periods in which that happened.
func (g cpuGroup) throttled(t *testing.T) (time.Duration, int) {
	t.Helper()
	stat, err := os.ReadFile(filepath.Join(string(g), "cpu.stat"))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]int64{}
	for line := range strings.Lines(string(stat)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		values[name], _ = strconv.ParseInt(value, 10, 64) // 0 for what is no number
	}
	return time.Duration(values["throttled_time"]), int(values["nr_throttled"])
}

// TestCPUSqueeze gives each node a fifth of a CPU for a minute. A slow node is no dead one: nobody may be elected.
func TestCPUSqueeze(t *testing.T) {
	needs(t, modeAll)
	for _, w := range chosenTimings(t) {
		t.Run(w.String(), func(t *testing.T) { squeezed(t, w) })
	}
}

func squeezed(t *testing.T, w timing) {
	groups := []cpuGroup{newCPUGroup(t, "n1"), newCPUGroup(t, "n2"), newCPUGroup(t, "n3")}
	c := start(t, setup{nodes: 3, groups: 4, flags: w.flags()})
	l := startLoad(c)
	c.spread()
	l.awaitRate()
	_, before := c.leaders()
	from, refused := l.now(), l.refused()
	for i, g := range groups {
		g.limit(t, 20)
		g.write(t, "cgroup.procs", int64(c.nodes[i].pid()))
	}
	time.Sleep(*squeeze) // the fault itself
	_, after := c.leaders()
	elections := 0
	for g := range after {
		elections += int(after[g] - before[g])
	}
	for i, g := range groups {
		time, periods := g.throttled(t)
		t.Logf("%s stood still for %v in %d periods of %v", c.nodes[i].id, time, periods, quotaPeriod)
		g.write(t, "cpu.cfs_quota_us", -1)
	}
	name := "CPU 20 %, " + w.String()
	row := rowOf(name)
	row.note(c, l, from, func(int) bool { return true })
	row.refused = l.refused() - refused
	t.Logf("%s: %d elections in %v", name, elections, *squeeze)
	if elections > 0 && w == (timing{}) {
		t.Errorf("%d elections in %v of little CPU", elections, *squeeze)
	}
	c.verify(l)
}
