package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// benchProcess is a process of this program that the bench has started, and ends.
type benchProcess struct {
	cmd    *exec.Cmd
	output bytes.Buffer  // of standard error
	lines  []string      // of standard output, up to the line ready
	ended  chan struct{} // closed when it has ended
}

const benchEndTime = 20 * time.Second

// startBenchProcess starts one and waits until it serves.
func startBenchProcess(ctx context.Context, program string, args ...string) (*benchProcess, error) {
	p := &benchProcess{cmd: exec.Command(program, args...), ended: make(chan struct{})}
	p.cmd.Stderr = &p.output
	p.cmd.SysProcAttr = apart()
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan error, 1)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if lines.Text() == "ready" {
				ready <- nil
				break
			}
			p.lines = append(p.lines, lines.Text())
		}
		_ = p.cmd.Wait() // how it ended its output tells
		select {
		case ready <- errors.New("it ended"):
		default:
		}
		close(p.ended)
	}()
	select {
	case err = <-ready:
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(devReady + 10*time.Second):
		err = errors.New("it did not get ready")
	}
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("quorate %s: %w: %s", args[0], err, p.output.String())
	}
	return p, nil
}

// stop ends it and waits for that.
func (p *benchProcess) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(benchEndTime):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}
