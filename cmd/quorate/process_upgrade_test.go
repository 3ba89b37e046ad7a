package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// TestProcesses_Upgrade takes a cluster to a program that knows one format more, node by node under a talking crowd, and one of
// them back in between.
func TestProcesses_Upgrade(t *testing.T) {
	t.Parallel()
	next := buildBinary(t, "-tags", "quorate_next")
	c := startCluster(t)
	old, now := c.binary, uint64(wire.NewestFormat)
	await(t, healTime, "all to write the newest format", func() bool { return c.format(t) == now })
	crowd := c.crowd(t)
	crowd.talkUntil(t, talkAcks)

	for _, step := range []struct {
		node    int
		program string
	}{{0, next}, {1, next}, {0, old}, {0, next}} {
		c.replaceProgram(t, step.node, step.program)
		crowd.talkUntil(t, talkAcks)
		if format := c.format(t); format != now {
			t.Fatalf("the cluster writes format %d while one node does not know it", format)
		}
	}
	crowd.check(t)

	c.replaceProgram(t, 2, next)
	await(t, healTime, "all to write the next format", func() bool { return c.format(t) == now+1 })
	crowd.talkUntil(t, talkAcks)
	for i := range c.nodes {
		c.replaceProgram(t, i, next) // they read it again
	}
	crowd.talkUntil(t, talkAcks)
	crowd.check(t)

	n := c.nodes[2]
	if code := n.stop(t, 10*time.Second); code != exitOK {
		t.Fatalf("%s ended with %d", n.name, code)
	}
	n.argv[0] = old
	n.launch(t)
	select {
	case <-n.done:
	case <-time.After(startTime):
		t.Fatal("a program that does not know the format goes on")
	}
	if code := n.cmd.ProcessState.ExitCode(); code != 70 || !strings.Contains(n.log.String(), "written by a later version") {
		t.Errorf("a program that does not know the format ends with %d", code)
	}
	n.argv[0] = next
	n.start(t, startTime)
	crowd.talkUntil(t, talkAcks)
	crowd.check(t)
	crowd.Leave()
}

// TestProcesses_PreviousCommit takes a cluster of the commit before to this one, node by node under a talking crowd, and one of
// them back in between.
func TestProcesses_PreviousCommit(t *testing.T) {
	t.Parallel()
	previous := buildCommit(t, "HEAD~1")
	c := startClusterOf(t, previous, 2)
	crowd := c.crowd(t)
	crowd.talkUntil(t, talkAcks)
	for _, step := range []struct {
		node    int
		program string
	}{{0, c.binary}, {1, c.binary}, {0, previous}, {0, c.binary}} {
		c.replaceProgram(t, step.node, step.program)
		crowd.talkUntil(t, talkAcks)
		if err := c.seen(time.Second); c.format(t) < 2 && err == nil {
			t.Error("a node writes what the others cannot read")
		}
	}
	crowd.check(t)
	c.replaceProgram(t, 2, c.binary)
	await(t, healTime, "all to write the newest format", func() bool { return c.format(t) == uint64(wire.NewestFormat) })
	crowd.talkUntil(t, talkAcks)
	if err := c.seen(healTime); err != nil {
		t.Error(err)
	}
	crowd.check(t)
	crowd.Leave()
}

// seen writes what entries can hold from format 2 on.
func (c *cluster) seen(patience time.Duration) error {
	client := wire.NewClient(wire.ClientConfig{Seeds: c.resp, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := client.Seen(ctx, "ann", wire.Millis(time.Now().UnixMilli()))
	return errors.Join(err, client.Close())
}

// buildCommit builds the command as it was at a commit. It skips the test where there is no such commit, or one from before
// there were formats: until then every version was an island.
func buildCommit(t *testing.T, commit string) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip(err)
	}
	if err := exec.Command("git", "cat-file", "-e", commit+":sequencer/wire/format.go").Run(); err != nil {
		t.Skipf("there is no commit %s with formats here: %v", commit, err)
	}
	top, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		t.Fatal(err)
	}
	source, archive := t.TempDir(), filepath.Join(t.TempDir(), "source.tar")
	git := exec.Command("git", "archive", "-o", archive, commit)
	git.Dir = strings.TrimSpace(string(top))
	if out, err := git.CombinedOutput(); err != nil {
		t.Fatalf("git archive: %v: %s", err, out)
	}
	if out, err := exec.Command("tar", "-xf", archive, "-C", source).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	name := filepath.Join(t.TempDir(), "quorate")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", name, "./cmd/quorate")
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", commit, err, out)
	}
	return name
}

// replaceProgram stops a node as an operator does and starts another program on its data.
func (c *cluster) replaceProgram(t *testing.T, i int, program string) {
	t.Helper()
	n := c.nodes[i]
	if code := n.stop(t, 20*time.Second); code != exitOK {
		t.Fatalf("%s ended with %d on SIGTERM", n.name, code)
	}
	n.argv[0] = program
	n.start(t, startTime)
}

// format asks which format the cluster writes.
func (c *cluster) format(t *testing.T) (format uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), healTime)
	defer cancel()
	await(t, healTime, "a node to tell the format", func() bool {
		for _, resp := range c.resp {
			out, err := exec.CommandContext(ctx, c.binary, "cluster", "status", "-o", "json", "--resp-addr", resp).Output()
			var view clusterView
			if err == nil && json.Unmarshal(out, &view) == nil && view.Format > 0 {
				format = view.Format
				return true
			}
		}
		return false
	})
	return format
}
