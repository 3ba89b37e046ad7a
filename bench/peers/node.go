package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// node is one node of a peer.
type node struct {
	kind   string
	dir    string
	number int
	ports  []int // client and peer port of each node
}

const (
	replicas  = 3 // nodes of a peer that has replicas
	startTime = 30 * time.Second
	endTime   = 10 * time.Second
)

// nodes is how many nodes a peer has.
func nodes(kind string) int {
	if kind == "centrifuge" {
		return 1
	}
	return replicas
}

func (n *node) clientPort(i int) int { return n.ports[2*i] }
func (n *node) peerPort(i int) int   { return n.ports[2*i+1] }

// fleet is the processes of a peer's nodes.
type fleet struct {
	ports []int
	cmds  []*exec.Cmd
}

// startFleet starts the nodes as processes of this program and waits until all are ready.
func startFleet(ctx context.Context, kind, dir string) (*fleet, error) {
	f := &fleet{}
	for range 2 * nodes(kind) {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		f.ports = append(f.ports, port)
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ready := make(chan error, nodes(kind))
	for i := range nodes(kind) {
		cmd := exec.Command(program, "node", "-peer", kind, "-dir", filepath.Join(dir, fmt.Sprint(i)), "-number", fmt.Sprint(i),
			"-ports", strings.Trim(strings.ReplaceAll(fmt.Sprint(f.ports), " ", ","), "[]"))
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			f.stop()
			return nil, err
		}
		f.cmds = append(f.cmds, cmd)
		go func() {
			for lines := bufio.NewScanner(out); lines.Scan(); {
				if lines.Text() == "ready" {
					ready <- nil
					return
				}
			}
			ready <- errors.New("a node ended")
		}()
	}
	for range nodes(kind) {
		select {
		case err = <-ready:
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(startTime):
			err = errors.New("the nodes did not get ready")
		}
		if err != nil {
			f.stop()
			return nil, err
		}
	}
	return f, nil
}

func (f *fleet) pids() (pids []int) {
	for _, cmd := range f.cmds {
		pids = append(pids, cmd.Process.Pid)
	}
	return pids
}

func (f *fleet) stop() {
	for _, cmd := range f.cmds {
		_ = cmd.Process.Kill() // nothing of it is needed any more
	}
	for _, cmd := range f.cmds {
		_ = cmd.Wait() // it was killed
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close() //nolint:errcheck // nobody came
	return l.Addr().(*net.TCPAddr).Port, nil
}
