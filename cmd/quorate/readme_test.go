package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// What the README says a newcomer sees, and the lines that a newcomer pastes.
var (
	seenBlock = regexp.MustCompile("(?s)```text\n(Quorate .*?)```")
	tryBlock  = regexp.MustCompile("(?s)```sh try\n(.*?)```")
)

// TestProcesses_ReadmeLinesAsPasted runs dev as a real process and pastes the README's lines into a shell, twice: the
// second time after a restart on the same data, where everything must still be there. Only the ports are this test's own.
func TestProcesses_ReadmeLinesAsPasted(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	seen, block := seenBlock.FindSubmatch(readme), tryBlock.FindSubmatch(readme)
	if seen == nil || block == nil {
		t.Fatal("the README does not show what dev prints, or has no lines to try")
	}
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(buildBinary(t), filepath.Join(home, "bin", "quorate")); err != nil {
		t.Fatal(err)
	}
	addrs := freeAddrs(t, 5)
	port := func(i int) string { _, p, _ := strings.Cut(addrs[i], ":"); return p }
	script := strings.NewReplacer("127.0.0.1:8080", addrs[0], "-p 7379", "-p "+port(2)).Replace(string(block[1]))
	dev := newProcess(t, "dev", home, "bin/quorate", "dev", "--addr", addrs[0], "--ops-addr", addrs[1], "--resp-addr", addrs[2])

	for _, again := range []bool{false, true} {
		dev.start(t, startTime)
		if got, want := firstWords(dev.lines()), firstWords(strings.Split(string(seen[1]), "\n")); !slices.Equal(got, want) {
			t.Errorf("dev prints lines that begin with\n%q, the README shows\n%q", got, want)
		}
		out := paste(t, home, script, addrs[0], addrs[2])
		for _, want := range []string{`"chatId":"tea"`, `"sequenceNumber":1`, `"text":"hello"`, "good morning"} {
			if !strings.Contains(out, want) {
				t.Errorf("pasted (again %v), the lines do not give %s:\n%s", again, want, out)
			}
		}
		for _, line := range dev.lines() { // what dev itself says to paste
			if strings.HasPrefix(line, "curl ") || strings.HasPrefix(line, "redis-cli ") {
				if out := paste(t, home, line, addrs[0], addrs[2]); !strings.Contains(out, "bob") && !strings.Contains(out, "direct") {
					t.Errorf("%s\ngives %s", line, out)
				}
			}
		}
		if code := dev.stop(t, 10*time.Second); code != exitOK {
			t.Errorf("dev ended with %d on SIGTERM", code)
		}
	}
}

// firstWords gives the first word of every line that has one.
func firstWords(lines []string) []string {
	var words []string
	for _, line := range lines {
		if fields := strings.Fields(line); len(fields) > 0 {
			words = append(words, fields[0])
		}
	}
	return words
}

// paste runs lines in a shell as a person would. A line that fails ends the test.
func paste(t *testing.T, dir, script, edge, resp string) string {
	t.Helper()
	cmd := exec.Command("bash", "-e", "-o", "pipefail", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "QUORATE_CHAT__URL=http://"+edge, "QUORATE_RAFT__RESP_ADDR="+resp)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v\n%s", script, err, out)
	}
	return string(out)
}
