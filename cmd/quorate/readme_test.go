package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// tryBlock is the lines of the README that a newcomer pastes.
var tryBlock = regexp.MustCompile("(?s)```sh try\n(.*?)```")

// TestProcesses_ReadmeLinesAsPasted runs dev as a real process and pastes the README's lines into a shell, twice: the
// second time after a restart on the same data, where everything must still be there. Only the ports are this test's own.
func TestProcesses_ReadmeLinesAsPasted(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := tryBlock.FindSubmatch(readme)
	if block == nil {
		t.Fatal("the README has no block of lines to try")
	}
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(buildBinary(t), filepath.Join(home, "bin", "quorate")); err != nil {
		t.Fatal(err)
	}
	addrs := freeAddrs(t, 5)
	port := func(i int) string { _, p, _ := strings.Cut(addrs[i], ":"); return p }
	script := strings.NewReplacer("127.0.0.1:8080", addrs[0], "-p 7379", "-p "+port(2)).Replace(string(block[1]))
	dev := newProcess(t, "dev", home, "bin/quorate", "dev", "--addr", addrs[0], "--ops-addr", addrs[1], "--resp-addr", addrs[2])

	for _, again := range []bool{false, true} {
		dev.start(t, startTime)
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
