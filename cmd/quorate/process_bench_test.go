package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/bench/measure"
)

// runBench runs the bench as a process, against a cluster of its own, and gives its exit code and result.
func runBench(t *testing.T, program, fault string, args ...string) (code int, res *measure.Result) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "result.json")
	cmd := exec.CommandContext(t.Context(), program, append([]string{"bench"}, append(args, "--json", file)...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(os.Environ(), "PLANTED_FAULT="+fault)
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if res, err = measure.Read(file); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if t.Log(out.String()); exit != nil {
		code = exit.ExitCode()
	}
	return code, res
}

// TestBench_FindsWhatIsPlanted runs the bench against servers that break one promise in so many messages. Without a fault the same
// program must be found good, or the finding says nothing.
func TestBench_FindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	program := buildBinary(t, "-tags", "quorate_planted")
	send := []string{"send", "--rate", "4000", "--senders", "64", "--chats", "16", "--warmup", "100ms", "--for", "1s", "--size", "50"}
	live := []string{"live", "--rate", "1000", "--chats", "20", "--members", "4", "--warmup", "100ms", "--for", "1s", "--size", "50"}
	fanout := []string{"fanout", "--rate", "500", "--warmup", "100ms", "--for", "1s", "--size", "50"} // 127,500 deliveries
	for _, row := range []struct {
		fault, kind string
		args        []string
	}{
		{"", "", append(live, "--slo", "max=1us")},
		{"lose:500", "lost", send},
		{"repeat:500", "duplicate", send},
		{"forget:20", "dedup", send},
		{"drop:100000", "gap", fanout},
		{"swap:100000", "reordered", fanout},
	} {
		code, res := runBench(t, program, row.fault, row.args...)
		switch {
		case row.fault == "" && (code != exitError && code != exitGenerator || res.Checks.Total() != 0): // the SLO is out of reach
			t.Errorf("%v with nothing planted: exit %d, %+v", row.args[0], code, res.Checks)
		case row.fault != "" && (code != exitBroken || res.Checks.Broken[row.kind] == 0):
			t.Errorf("%v with %s planted: exit %d, %+v", row.args[0], row.fault, code, res.Checks)
		case row.fault != "" && (len(res.Checks.First) == 0 || !strings.Contains(res.Checks.First[0].Chat, "b")):
			t.Errorf("%v with %s planted: no case in full", row.args[0], row.fault)
		}
	}
}
