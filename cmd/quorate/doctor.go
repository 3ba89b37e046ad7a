package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// verdict is what one of doctor's checks came to. Its number is the exit code.
type verdict int

const (
	verdictPass verdict = iota
	verdictWarn
	verdictFail
)

// String gives the word.
func (v verdict) String() string { return [...]string{"PASS", "WARN", "FAIL"}[v] }

// MarshalText gives the word.
func (v verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// diagnosis is what doctor found out about one thing.
type diagnosis struct {
	Check   string  `json:"check"`
	Verdict verdict `json:"verdict"`
	Found   string  `json:"found"`
	Remedy  string  `json:"remedy,omitempty"` // "" where all is well
}

// pass, warn and fail make a diagnosis.
func pass(check, format string, args ...any) *diagnosis {
	return &diagnosis{Check: check, Found: fmt.Sprintf(format, args...)}
}

func warn(check, remedy, format string, args ...any) *diagnosis {
	return &diagnosis{Check: check, Verdict: verdictWarn, Remedy: remedy, Found: fmt.Sprintf(format, args...)}
}

func fail(check, remedy, format string, args ...any) *diagnosis {
	return &diagnosis{Check: check, Verdict: verdictFail, Remedy: remedy, Found: fmt.Sprintf(format, args...)}
}

func (a *app) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Tell whether this machine suits Quorate, and what to do where it does not",
		Args: func(cmd *cobra.Command, args []string) error { return unknown(exactly(0)(cmd, args)) },
		Long: "Tell whether this machine suits Quorate: disk, file limits, ports, clock, memory, CPU and kernel. What cannot be found\n" +
			"out here is left out. Writes a file of less than 1 MiB into --data for a moment.\n" +
			"Exit code: 0 all passed, 1 a warning, 2 a failure, 3 it was asked wrongly.",
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return unknown(a.load(cmd)) },
		RunE:              func(cmd *cobra.Command, _ []string) error { return unknown(a.runDoctor(cmd)) },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return unknown(usagef("%w", err)) })
	a.bind(cmd.Flags(), "doctor")
	return cmd
}

func (c *DoctorConfig) check() error {
	for flag, addrs := range map[string][]string{"--listen": c.Listen, "--peers": c.Peers} {
		for _, addr := range addrs {
			if _, _, err := splitAddr(addr); err != nil {
				return usagef("%s: %w", flag, err)
			}
		}
	}
	if c.Fsyncs < 10 || c.Fsyncs > maxFsyncs {
		return usagef("--fsyncs must be 10 to %d, not %d", maxFsyncs, c.Fsyncs)
	}
	if c.Connections < 0 {
		return usagef("--connections must not be below 0")
	}
	return nil
}

// maxFsyncs keeps the file that doctor writes small, and doctor short.
const maxFsyncs = 10_000

func (a *app) runDoctor(cmd *cobra.Command) error {
	c := &a.config.Doctor
	if err := c.check(); err != nil {
		return err
	}
	found := diagnose(cmd.Context(), c, thisMachine())
	if err := cmd.Context().Err(); err != nil {
		return err
	}
	worst, rows := verdictPass, make([][]string, len(found))
	for i, d := range found {
		worst = max(worst, d.Verdict)
		rows[i] = []string{d.Verdict.String(), d.Check, d.Found, d.Remedy}
	}
	if err := a.print(cmd.OutOrStdout(), found, []string{"VERDICT", "CHECK", "FOUND", "REMEDY"}, rows); err != nil {
		return err
	}
	if worst == verdictPass {
		return nil
	}
	return &exitStatus{code: int(worst)}
}

// machine is what doctor asks of the machine it runs on; a test gives other answers. A nil error with a zero answer means
// just that; an error means that it cannot be known here.
type machine struct {
	fsyncs     func(dir string, n int) ([]time.Duration, error) // the times of n small writes with their fsync
	disk       func(dir string) (diskSpace, error)
	fileLimit  func() (uint64, error)            // of open files of a process
	file       func(name string) (string, error) // of /proc or /sys, or any other, trimmed
	listen     func(addr string) error           // takes a port, and leaves it again
	dial       func(ctx context.Context, addr string) (time.Duration, error)
	cpus       func() (cpus, procs int)            // of the machine, and that Go uses
	drift      func(d time.Duration) time.Duration // of the wall clock against the monotonic one, over d
	clockState func() (clockState, error)
}

// diskSpace is the file system under a directory.
type diskSpace struct {
	FreeBytes, TotalBytes uint64
	FreeInodes            uint64 // 0 with TotalInodes 0: the file system has no bound
	TotalInodes           uint64
	Type                  string // "" where it is none of those that matter
}

// clockState is what the kernel knows of the clock's quality.
type clockState struct {
	Synchronised bool
	MaxError     time.Duration
}

// diagnose runs all checks, in the order in which one would look.
func diagnose(ctx context.Context, c *DoctorConfig, m machine) []*diagnosis {
	var found []*diagnosis
	for _, check := range []func(context.Context, *DoctorConfig, machine) []*diagnosis{
		checkFsync, checkDisk, checkMemory, checkCPU, checkMonitor, checkFiles, checkListen, checkPeers, checkPortRange, checkClock, checkKernel,
	} {
		if ctx.Err() != nil {
			break
		}
		for _, d := range check(ctx, c, m) {
			if d != nil {
				found = append(found, d)
			}
		}
	}
	return found
}

// number reads a file that begins with a number.
func (m machine) number(name string) (n uint64, ok bool) {
	text, err := m.file(name)
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return 0, false
	}
	_, err = fmt.Sscan(fields[0], &n)
	return n, err == nil
}

// size is a number of bytes for people.
func size(n uint64) string {
	const step = 1024
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	value, i := float64(n), 0
	for ; value >= step && i < len(units)-1; i++ {
		value /= step
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[i])
}
