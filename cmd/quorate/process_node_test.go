package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// builds are the binaries that the tests of this process have built.
var builds struct {
	sync.Mutex
	dir  string
	made map[string]string // by flags
}

func TestMain(m *testing.M) {
	code := m.Run()
	if builds.dir != "" {
		_ = os.RemoveAll(builds.dir) // it is of no more use
	}
	os.Exit(code)
}

// buildBinary makes the command, once for each choice of flags.
func buildBinary(t *testing.T, flags ...string) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	key := strings.Join(flags, " ")
	if name, ok := builds.made[key]; ok {
		return name
	}
	if builds.dir == "" {
		var err error
		if builds.dir, err = os.MkdirTemp("", "quorate-test-"); err != nil {
			t.Fatal(err)
		}
		builds.made = map[string]string{}
	}
	name := filepath.Join(builds.dir, fmt.Sprint("quorate-", len(builds.made)))
	args := append(append([]string{"build", "-o", name}, flags...), ".")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	builds.made[key] = name
	return name
}

// process is one real process of ours. It may be started again after it ended.
type process struct {
	name string
	argv []string
	dir  string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended and its output is read

	mu  sync.Mutex
	out []string // lines of standard output of this run
	log tailBuffer
}

// newProcess makes a process that is killed, where it still runs, when the test ends, and whose output is printed where
// the test failed.
func newProcess(t *testing.T, name, dir string, argv ...string) *process {
	p := &process{name: name, argv: argv, dir: dir}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("last output of %s:\n%s", p.name, p.log.String())
		}
	})
	return p
}

// start runs the process and waits until it has printed the line ready.
func (p *process) start(t *testing.T, within time.Duration) {
	t.Helper()
	p.launch(t)
	p.awaitReady(t, within)
}

// launch runs the process.
func (p *process) launch(t *testing.T) {
	t.Helper()
	p.cmd = exec.Command(p.argv[0], p.argv[1:]...)
	p.cmd.Dir = p.dir
	p.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, envPrefix) })
	p.cmd.Stderr = &p.log
	p.cmd.SysProcAttr = withParent()
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&p.log, "--- %s starts\n", p.name)
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	p.mu.Lock()
	p.out = nil
	p.mu.Unlock()
	p.done = make(chan struct{})
	go p.follow(stdout, p.cmd, p.done)
}

// follow reads the output to its end and then waits for the process.
func (p *process) follow(stdout io.Reader, cmd *exec.Cmd, done chan struct{}) {
	defer close(done)
	lines := bufio.NewScanner(io.TeeReader(stdout, &p.log))
	for lines.Scan() {
		p.mu.Lock()
		p.out = append(p.out, lines.Text())
		p.mu.Unlock()
	}
	_ = cmd.Wait() // the exit code is read from ProcessState
}

// awaitReady waits for the line ready.
func (p *process) awaitReady(t *testing.T, within time.Duration) {
	t.Helper()
	await(t, within, p.name+" to be ready", func() bool {
		select {
		case <-p.done:
			t.Fatalf("%s ended before it was ready: %v", p.name, p.cmd.ProcessState)
		default:
		}
		return slices.Contains(p.lines(), "ready")
	})
}

// lines gives what the present run has printed on standard output.
func (p *process) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.out)
}

// kill is kill -9, and waits for the end.
func (p *process) kill() {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
}

// signal sends the process a signal.
func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("signal %s: %v", p.name, err)
	}
}

// stop asks the process to end, as an operator does, and gives its exit code.
func (p *process) stop(t *testing.T, within time.Duration) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("signal %s: %v", p.name, err)
	}
	select {
	case <-p.done:
	case <-time.After(within):
		t.Fatalf("%s has not ended %s after SIGTERM", p.name, within)
	}
	return p.cmd.ProcessState.ExitCode()
}

// tailBuffer keeps the last 64 KiB written to it. It is safe for concurrent use.
type tailBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *tailBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf.Write(p)
	if over := b.buf.Len() - 64<<10; over > 0 {
		b.buf.Next(over)
	}
	return len(p), nil
}

func (b *tailBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// await polls until there is what is awaited, and fails the test when that takes too long.
func await(t *testing.T, within time.Duration, what string, there func() bool) {
	t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(within); !there(); <-poll.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s", within, what)
		}
	}
}
