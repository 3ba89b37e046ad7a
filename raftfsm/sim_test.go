package raftfsm

import (
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/bubble"
)

var (
	simSeed  = flag.Uint64("sim.seed", 1, "the first seed of TestSimulation")
	simCount = flag.Int("sim.count", 0, "how many seeds TestSimulation runs; 0 is 30, or 5 with -short")
)

// TestSimulation runs a group through power cuts, isolations, hand-overs and snapshots, seed by seed, in virtual time.
// `go test ./raftfsm -run TestSimulation$ -sim.seed=N -sim.count=1` runs one again.
func TestSimulation(t *testing.T) {
	count := *simCount
	if count == 0 {
		if count = 30; testing.Short() {
			count = 5
		}
	}
	var total simTally
	began := time.Now()
	t.Run("seeds", func(t *testing.T) {
		for i := range count {
			t.Run(fmt.Sprint(*simSeed+uint64(i)), func(t *testing.T) {
				t.Parallel()
				s := simulate(t, *simSeed+uint64(i), plant{})
				if s.failure != "" {
					t.Fatal(s.failure)
				}
				total.add(s)
			})
		}
	})
	t.Logf("%d seeds in %s: %s", count, time.Since(began).Round(time.Second), &total)
	if count >= 20 && total.tooLittle(count) {
		t.Error("too little happened for this to count")
	}
}

// simulate runs one seed in a bubble of its own.
func simulate(t *testing.T, seed uint64, bug plant) (s *sim) {
	t.Helper()
	dir, err := os.MkdirTemp(memoryDir(), "quorate-sim-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	bubble.Test(t, func(t *testing.T) {
		s = newSim(t, seed, dir, bug)
		s.run()
	})
	return s
}

// memoryDir is a directory that is not on a disk, where there is one: the state's files lie there.
func memoryDir() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

// simTally counts what happened, as a simulation in which nothing happens finds nothing.
type simTally struct {
	mu                            sync.Mutex
	acked, reads, installs, terms int
}

func (c *simTally) add(s *sim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked, c.reads, c.installs, c.terms = c.acked+s.acked, c.reads+s.reads, c.installs+s.installs, c.terms+len(s.leads)
}

func (c *simTally) tooLittle(seeds int) bool {
	return c.acked < 100*seeds || c.reads < 100*seeds || c.installs < seeds || c.terms < 2*seeds
}

// String tells the counts.
func (c *simTally) String() string {
	return fmt.Sprintf("%d appends acknowledged, %d reads, %d snapshots installed, %d terms with a leader", c.acked, c.reads, c.installs, c.terms)
}

var simChats = []string{"a", "b", "c"}

// run is one simulation from its begin to its check.
func (s *sim) run() {
	defer s.end()
	if !s.makeChats() {
		return
	}
	s.clients.Add(1)
	go s.watch()
	for i := range 4 {
		s.clients.Add(2)
		go s.send(i)
		go s.readOften(4 + i)
	}
	for range 8 + s.rng.IntN(8) {
		s.fault()
		if s.failed() {
			return
		}
	}
	s.heal()
	s.check()
}

// end stops everything, whatever happened.
func (s *sim) end() {
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	for _, n := range s.nodes {
		s.powerOff(n)
	}
	s.clients.Wait()
	time.Sleep(2 * transportTimeout) // connections that nobody answered are given up: the bubble ends with its last goroutine
}
