//go:build linux

package chaos

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// settle is how long anything may take that is waited for. What passes waits for events, and much less.
const settle = 60 * time.Second

// node is one sequencer or delivery node: a process in a namespace, and a sequencer's data. It can be started again after it has ended.
type node struct {
	host
	id   string
	i    int // its place among those of its kind
	argv []string
	disk *disk // nil: the data is in a plain directory
	data string

	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended and its output is read
	log  tail
}

// The ports of all nodes: each has an address of its own.
const (
	raftPort = 7300
	respPort = 7379
	hubPort  = 7400
	edgePort = 8080
	opsPort  = 9091
)

func (n *node) addr(port int) string { return fmt.Sprintf("%s:%d", n.ip, port) }

func (n *node) respAddr() string { return n.addr(respPort) }
func (n *node) raftAddr() string { return n.addr(raftPort) }

// start runs the node's process. It does not wait for it to serve.
func (n *node) start(t *testing.T) {
	t.Helper()
	n.cmd = exec.Command(n.argv[0], n.argv[1:]...)
	n.cmd.Env = environment()
	n.cmd.Stderr = &n.log
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	fmt.Fprintf(&n.log, "--- %s starts\n", n.id)
	stdout, err := n.cmd.StdoutPipe()
	if err == nil {
		err = within(n.net, n.cmd.Start)
	}
	if err != nil {
		t.Fatalf("start %s: %v", n.id, err)
	}
	n.done = make(chan struct{})
	go n.follow(stdout, n.cmd, n.done)
}

// environment is the test's without what would configure the command.
func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "QUORATE_") {
			env = append(env, v)
		}
	}
	return env
}

// follow reads the output to its end and then waits for the process.
func (n *node) follow(stdout io.Reader, cmd *exec.Cmd, done chan struct{}) {
	defer close(done)
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		fmt.Fprintf(&n.log, "%s\n", lines.Text())
	}
	_ = cmd.Wait() // the exit code is read from ProcessState
}

func (n *node) pid() int { return n.cmd.Process.Pid }

// up reports whether the process runs.
func (n *node) up() bool {
	if n.cmd == nil {
		return false
	}
	select {
	case <-n.done:
		return false
	default:
		return true
	}
}

// signal sends a signal to the node, which must be up.
func (n *node) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		t.Fatalf("signal %s: %v", n.id, err)
	}
}

// kill is kill -9, and waits for the end. A node that is down stays so.
func (n *node) kill() {
	if n.up() {
		_ = n.cmd.Process.Kill() // it may have ended by itself just now
		<-n.done
	}
}

// awaitExit waits for the process to end by itself and gives its exit code.
func (n *node) awaitExit(t *testing.T) int {
	t.Helper()
	select {
	case <-n.done:
	case <-time.After(settle):
		t.Fatalf("%s has not ended by itself", n.id)
	}
	return n.cmd.ProcessState.ExitCode()
}

// tail keeps the last 64 KiB written to it. It is safe for concurrent use.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *tail) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf.Write(p)
	if over := b.buf.Len() - 64<<10; over > 0 {
		b.buf.Next(over)
	}
	return len(p), nil
}

func (b *tail) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// keepLogs writes what the nodes said last where a failed run can be looked at, if CHAOS_LOGS names a directory.
func (n *node) keepLog(t *testing.T) {
	dir := os.Getenv("CHAOS_LOGS")
	if dir == "" {
		t.Logf("last output of %s:\n%s", n.id, n.log.String())
		return
	}
	name := filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "_")+"-"+n.id+".log")
	if err := os.WriteFile(name, []byte(n.log.String()), 0o644); err != nil {
		t.Log(err)
	}
}

// await polls until cond comes true. It is for what no event tells.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	awaitFor(t, settle, what, cond)
}

func awaitFor(t *testing.T, within time.Duration, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for %s", within, what)
		}
	}
}
