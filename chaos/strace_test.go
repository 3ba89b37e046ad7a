//go:build linux

package chaos

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// exitStorage is the status of a process whose disk failed it; raftfsm.Exit says so.
const exitStorage = 70

// tracer is an strace that stands between a process and the kernel.
type tracer struct {
	cmd *exec.Cmd
	out string
}

// inject attaches to a running node and does something to each of its fsyncs from the when-th of a thread on.
func inject(t *testing.T, n *node, what, when string) *tracer {
	t.Helper()
	tr := &tracer{out: filepath.Join(t.TempDir(), "strace-"+n.id)}
	tr.cmd = exec.Command("strace", "-f", "-q", "-p", strconv.Itoa(n.pid()), "-o", tr.out,
		"-e", "trace=fsync,fdatasync,exit_group", "-e", "inject=fsync,fdatasync:"+what+":when="+when)
	tr.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := tr.cmd.StderrPipe()
	if err == nil {
		err = tr.cmd.Start()
	}
	if err != nil {
		t.Fatalf("strace: %v", err)
	}
	go func() { // ends with strace
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			continue
		}
	}()
	t.Cleanup(tr.detach)
	return tr
}

// detach lets the process go. It may be called again.
func (tr *tracer) detach() {
	_ = tr.cmd.Process.Signal(syscall.SIGINT) // it may have ended with the process
	_ = tr.cmd.Wait()                         // says that it was interrupted
}

// injected counts the calls that were tampered with.
func (tr *tracer) injected(t *testing.T) int {
	t.Helper()
	log, err := os.ReadFile(tr.out)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(log), "(INJECTED)") + strings.Count(string(log), "(DELAYED)")
}

// TestFsyncError has one fsync of a leader fail. What became of the data is not known then, and a later fsync that
// succeeds says nothing about it: the process must end, and what it has on disk when it starts again is the truth.
func TestFsyncError(t *testing.T) {
	needs(t, modeShort)
	c := start(t, setup{nodes: 3, groups: 2})
	l := startLoad(c)
	for range 2 {
		c.spread()
		l.awaitRate()
		at, _ := c.leaders()
		victim := c.nodes[at[0]]
		from := l.now()
		tr := inject(t, victim, "error=EIO", "3")
		if code := victim.awaitExit(t); code != exitStorage {
			t.Errorf("the process ended with status %d, not %d", code, exitStorage)
		}
		tr.detach()
		if tr.injected(t) == 0 {
			t.Error("no fsync failed: the fault did not happen")
		}
		l.awaitAll(5)
		victim.start(t)
		c.awaitCaughtUp(victim.i)
		l.awaitAll(5)
		rowOf("fsync of the leader fails").note(c, l, from, func(g int) bool { return at[g] == victim.i })
		c.verify(l)
		l.resume()
	}
}

// TestSlowFsync has every fsync of a leader take long, but not so long that it counts as failed. That is slow, and no
// more.
func TestSlowFsync(t *testing.T) {
	needs(t, modeShort)
	c := start(t, setup{nodes: 3, groups: 2})
	l := startLoad(c)
	c.spread()
	l.awaitRate()
	at, before := c.leaders()
	victim := c.nodes[at[0]]
	from := l.now()
	tr := inject(t, victim, "delay_enter=100000", "1+")
	time.Sleep(5 * time.Second) // the fault itself
	tr.detach()
	if tr.injected(t) < 10 {
		t.Error("next to no fsync was slow: the fault did not happen")
	}
	if !victim.up() {
		t.Errorf("the process ended with status %d for a slow disk", victim.cmd.ProcessState.ExitCode())
	}
	l.awaitAll(5)
	_, after := c.leaders()
	t.Logf("terms %v -> %v", before, after)
	rowOf("fsync of the leader takes 100 ms").note(c, l, from, func(g int) bool { return at[g] == victim.i })
	c.verify(l)
}
