package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// benchCluster is a cluster of the bench's own, in processes of its own, so that what it costs can be told from what the bench costs.
// Its data goes with it.
type benchCluster struct {
	dir        string
	processes  []*benchProcess
	sequencers []*benchProcess
	rest       string
	resp       []string
}

const benchSends = 1_000_000 // in a second, of one user: the bench measures the cluster, and not its limits

// startBenchCluster starts a cluster and waits until it serves: quorate dev, or with processes three sequencers and a delivery node. With
// archived it archives at once.
func startBenchCluster(ctx context.Context, archived, processes bool) (*benchCluster, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "quorate-bench-")
	if err != nil {
		return nil, err
	}
	c := &benchCluster{dir: dir}
	if processes {
		err = c.startProcesses(ctx, program, archived)
	} else {
		err = c.startDev(ctx, program, archived)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("a cluster for the bench: %w", err), c.stop())
	}
	return c, nil
}

// atOnce are the settings with which messages go to the archive as soon as they can.
func atOnce(archived bool) []string {
	if !archived {
		return nil
	}
	return []string{"--archive-after", "1s", "--feed-retention", "1s", "--archive-every", "1s"}
}

func (c *benchCluster) startDev(ctx context.Context, program string, archived bool) error {
	p, err := startBenchProcess(ctx, program, append([]string{
		"dev", "--data", filepath.Join(c.dir, "data"), "--addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0", "--resp-addr", "127.0.0.1:0", "--no-auth",
		"--sends-per-second", fmt.Sprint(benchSends),
	}, atOnce(archived)...)...)
	if err != nil {
		return err
	}
	c.processes = append(c.processes, p)
	for _, line := range p.lines {
		switch f := strings.Fields(line); {
		case len(f) == 2 && f[0] == "REST":
			c.rest = f[1]
		case len(f) > 1 && f[0] == "RESP":
			c.resp = f[1:]
		}
	}
	return nil
}

// benchNodes is how many sequencers a cluster of processes has.
const benchNodes = 3

func (c *benchCluster) startProcesses(ctx context.Context, program string, archived bool) error {
	ports, err := freePorts(2*benchNodes + 1)
	if err != nil {
		return err
	}
	at := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	var bootstrap []string
	for i := range benchNodes {
		bootstrap = append(bootstrap, fmt.Sprintf("n%d=%s", i+1, at(i)))
		c.resp = append(c.resp, at(benchNodes+i))
	}
	archive := "file://" + filepath.Join(c.dir, "archive")
	var group sync.WaitGroup
	c.sequencers = make([]*benchProcess, benchNodes)
	errs := make([]error, benchNodes)
	for i := range benchNodes {
		args := append([]string{
			"sequencer", "--node-id", fmt.Sprintf("n%d", i+1), "--data", filepath.Join(c.dir, fmt.Sprintf("n%d", i+1)), "--groups", "2",
			"--raft-addr", at(i), "--resp-addr", c.resp[i], "--ops-addr", "", "--bootstrap", strings.Join(bootstrap, ","), "--archive", archive,
		}, atOnce(archived)...)
		group.Go(func() { c.sequencers[i], errs[i] = startBenchProcess(ctx, program, args...) })
	}
	group.Wait()
	for _, p := range c.sequencers {
		if p != nil {
			c.processes = append(c.processes, p)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	edge, err := startBenchProcess(ctx, program, "delivery", "--sequencers", strings.Join(c.resp, ","), "--addr", at(2*benchNodes), "--ops-addr", "",
		"--no-auth", "--archive", archive, "--sends-per-second", fmt.Sprint(benchSends))
	if err != nil {
		return err
	}
	c.processes, c.rest = append(c.processes, edge), "http://"+at(2*benchNodes)
	return nil
}

// pids are the processes of the cluster.
func (c *benchCluster) pids() (pids []int) {
	for _, p := range c.processes {
		pids = append(pids, p.cmd.Process.Pid)
	}
	return pids
}

// stop ends the cluster, what was started last first, and removes its data.
func (c *benchCluster) stop() error {
	for i := len(c.processes) - 1; i >= len(c.sequencers); i-- {
		c.processes[i].stop()
	}
	var group sync.WaitGroup
	for _, p := range c.processes[:min(len(c.sequencers), len(c.processes))] {
		group.Go(p.stop) // together: each waits for the others to take its groups
	}
	group.Wait()
	return os.RemoveAll(c.dir)
}

// freePorts finds ports of the loopback address that nobody uses.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() //nolint:errcheck // nobody came
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
