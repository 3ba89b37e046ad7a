package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"
)

// Bounds of memory for one node with its default of groups.
const (
	memoryLow    = 4 << 30
	memoryTooLow = 1 << 30
)

// checkMemory looks at the memory that there is for this process, and at what makes it slow.
func checkMemory(_ context.Context, c *DoctorConfig, m machine) []*diagnosis {
	return []*diagnosis{memory(c, m), swap(m), hugePages(m)}
}

// connectionBytes is what an idle client takes on a delivery node's machine: 2 KiB of the process, 3.2 KB of the kernel's, and some room.
const connectionBytes = 6 << 10

func memory(c *DoctorConfig, m machine) *diagnosis {
	total, ok := memInfo(m, "MemTotal")
	if !ok {
		return nil
	}
	whose := "on this machine"
	if limit, ok := m.number("/sys/fs/cgroup/memory.max"); ok && limit < total {
		total, whose = limit, "by the limit of the control group"
	}
	found, args := "%s %s", []any{size(total), whose}
	need := uint64(c.Connections)*connectionBytes + memoryTooLow
	switch {
	case total > memoryTooLow && total < need:
		remedy := "give it " + size(need) + ": an idle connection takes 6 KiB, the kernel's part included"
		return warn("memory", remedy, found+", for %d connections", append(args, c.Connections)...)
	case total < memoryTooLow:
		return fail("memory", "give it 4 GiB or more: each group has a cache of 128 MiB", found, args...)
	case total < memoryLow:
		return warn("memory", "give it 4 GiB or more, or run fewer groups: each has a cache of 128 MiB", found, args...)
	}
	return pass("memory", found, args...)
}

// memInfo gives a line of /proc/meminfo in bytes.
func memInfo(m machine, name string) (bytes uint64, ok bool) {
	text, err := m.file("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(text) {
		var kib uint64
		if _, err := fmt.Sscanf(line, name+": %d kB", &kib); err == nil {
			return kib << 10, true
		}
	}
	return 0, false
}

func swap(m machine) *diagnosis {
	total, ok := memInfo(m, "SwapTotal")
	if !ok {
		return nil
	}
	swappiness, known := m.number("/proc/sys/vm/swappiness")
	switch {
	case total == 0:
		return pass("swap", "none")
	case known && swappiness <= 1:
		return pass("swap", "%s, used only at need (vm.swappiness %d)", size(total), swappiness)
	}
	return warn("swap", "swapoff -a, or sysctl vm.swappiness=1: a leader that is swapped out loses its office", "%s, vm.swappiness %d", size(total), swappiness)
}

func hugePages(m machine) *diagnosis {
	const check = "transparent huge pages"
	text, err := m.file("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil {
		return nil
	}
	_, text, _ = strings.Cut(text, "[")
	mode, _, _ := strings.Cut(text, "]")
	if mode == "always" {
		return warn(check, "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled: memory grows and stalls without it", "always")
	}
	return pass(check, "%s", mode)
}

// checkCPU looks at how many CPUs there are, and whether Go uses as many as it may.
func checkCPU(_ context.Context, _ *DoctorConfig, m machine) []*diagnosis {
	const check = "CPU"
	cpus, procs := m.cpus()
	quota, limited := cpuQuota(m)
	found := fmt.Sprintf("%d CPUs, GOMAXPROCS %d", cpus, procs)
	if limited {
		found += fmt.Sprintf(", quota of the control group %.2f CPUs", quota)
	}
	most := float64(cpus)
	if limited {
		most = min(most, quota)
	}
	switch {
	case most < 1:
		return []*diagnosis{fail(check, "give it a whole CPU at least: a leader that waits for its next share loses its office", "%s", found)}
	case float64(procs) > math.Ceil(most)+0.5:
		remedy := fmt.Sprintf("set GOMAXPROCS=%d or raise the quota: with more threads than that, all of them are stopped at times", int(math.Ceil(most)))
		return []*diagnosis{warn(check, remedy, "%s", found)}
	case most < 2:
		return []*diagnosis{warn(check, "give it two CPUs or more", "%s", found)}
	}
	return []*diagnosis{pass(check, "%s", found)}
}

// capSysNice is the bit of CAP_SYS_NICE in a set of capabilities.
const capSysNice = 1 << 23

// checkMonitor looks whether the process may have the Go runtime's monitor rest.
func checkMonitor(_ context.Context, _ *DoctorConfig, m machine) []*diagnosis {
	const check = "runtime monitor"
	text, err := m.file("/proc/self/status")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(text) {
		var set uint64
		if _, err := fmt.Sscanf(line, "CapEff: %x", &set); err != nil {
			continue
		}
		if set&capSysNice == 0 {
			return []*diagnosis{warn(check, "AmbientCapabilities=CAP_SYS_NICE in its unit: without, a busy node takes some 10 % more CPU", "may not rest")}
		}
		return []*diagnosis{pass(check, "may rest")}
	}
	return nil
}

// cpuQuota gives how many CPUs the control group may use; false where there is no bound.
func cpuQuota(m machine) (cpus float64, limited bool) {
	text, err := m.file("/sys/fs/cgroup/cpu.max")
	if err != nil {
		return 0, false
	}
	var quota, period float64
	if _, err := fmt.Sscan(text, &quota, &period); err != nil || period == 0 { // "max 100000"
		return 0, false
	}
	return quota / period, true
}

// Bounds of clocks.
const (
	driftTime = 300 * time.Millisecond
	driftMost = 2 * time.Millisecond
	errorMost = time.Second
)

// checkClock looks at the clocks. Nothing that Quorate promises depends on them; the times of messages do.
func checkClock(_ context.Context, _ *DoctorConfig, m machine) []*diagnosis {
	var found []*diagnosis
	if drift := m.drift(driftTime); drift.Abs() > driftMost {
		found = append(found, warn("wall clock", "find out who sets the clock: times of messages jump with it", "moved by %s within %s", drift.Round(time.Microsecond), driftTime))
	} else {
		found = append(found, pass("wall clock", "goes with the monotonic clock (%s apart after %s)", drift.Round(time.Microsecond), driftTime))
	}
	if state, err := m.clockState(); err == nil {
		switch {
		case !state.Synchronised:
			found = append(found, warn("NTP", "run chrony or systemd-timesyncd: the times of messages come from this clock", "the kernel's clock is not synchronised"))
		case state.MaxError > errorMost:
			found = append(found, warn("NTP", "look at the time server: chronyc tracking", "synchronised, but may be %s off", state.MaxError))
		default:
			found = append(found, pass("NTP", "synchronised, at most %s off", state.MaxError))
		}
	}
	if source, err := m.file("/sys/devices/system/clocksource/clocksource0/current_clocksource"); err == nil {
		switch source {
		case "hpet", "acpi_pm", "jiffies", "pit":
			found = append(found, warn("clock source", "boot with clocksource=tsc, or ask for it: every look at this clock is a slow call", "%s", source))
		default:
			found = append(found, pass("clock source", "%s", source))
		}
	}
	return found
}
