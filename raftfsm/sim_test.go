package raftfsm

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

var (
	simSeed  = flag.Uint64("sim.seed", 1, "the first seed of TestSimulation")
	simCount = flag.Int("sim.count", 0, "how many seeds TestSimulation runs; 0 is 30, or 5 with -short")
)

// TestSimulation runs a group through power cuts, isolations, hand-overs and snapshots, seed by seed, in virtual time.
// `go test ./raftfsm -run TestSimulation -sim.seed=N -sim.count=1` runs one again.
func TestSimulation(t *testing.T) {
	count := *simCount
	if count == 0 {
		if count = 30; testing.Short() {
			count = 5
		}
	}
	for i := range count {
		seed := *simSeed + uint64(i)
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			dir, err := os.MkdirTemp(memoryDir(), "quorate-sim-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			synctest.Test(t, func(t *testing.T) { newSim(t, seed, dir).run() })
		})
		if t.Failed() {
			return // its trace is what one wants to read
		}
	}
}

// memoryDir is a directory that is not on a disk, where there is one: the state's files lie there.
func memoryDir() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
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
		s.clients.Add(1)
		go s.send(i)
	}
	s.clients.Add(1)
	go s.readOften()
	for range 8 + s.rng.IntN(8) {
		s.fault()
		if s.t.Failed() {
			return
		}
	}
	s.heal()
	s.settle()
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

func (s *sim) makeChats() bool {
	for _, chat := range simChats {
		for tries := 0; ; tries++ {
			if n, g := s.serving(0); g != nil {
				if r, err := s.propose(n, g, group(chat, "u0", "u1", "u2", "u3")); err == nil && r[0].Err == nil {
					break
				}
			}
			if tries == 500 {
				s.fail("the group does not begin")
				return false
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return true
}

// send is one client: one message after the other, each until it is acknowledged.
func (s *sim) send(client int) {
	defer s.clients.Done()
	sender := fmt.Sprint("u", client)
	for i := 0; s.sleep(time.Duration(20+client*7) * time.Millisecond); i++ {
		m := &simSend{chat: simChats[(i+client)%len(simChats)], sender: sender, id: fmt.Sprint(i), text: fmt.Sprint(sender, " says ", i)}
		s.mu.Lock()
		m.begun = s.history.tick()
		s.history.sends[m.chat+"/"+sender+"/"+m.id] = m
		s.mu.Unlock()
		for tries := 0; !s.offer(m, client+tries); tries++ {
			if !s.sleep(30 * time.Millisecond) {
				return
			}
		}
	}
}

// offer offers a message once; it is true when it was acknowledged. Now and then it is offered again all the same.
func (s *sim) offer(m *simSend, from int) bool {
	n, g := s.serving(from)
	if g == nil {
		return false
	}
	results, err := s.propose(n, g, Append{ChatID: m.chat, SenderID: m.sender, ClientMessageID: m.id, Text: m.text})
	if err != nil {
		return false
	}
	if results[0].Err != nil {
		s.fail("%s of %s: %v", m.id, m.sender, results[0].Err)
		return true
	}
	s.mu.Lock()
	first := m.acked == 0
	s.history.ack(m, results[0].Append.Seq)
	s.mu.Unlock()
	return !first || len(m.id)%3 != 0 // some are sent again to see that the answer is the same
}

// readOften is a client that only reads.
func (s *sim) readOften() {
	defer s.clients.Done()
	for i := 0; s.sleep(40 * time.Millisecond); i++ {
		n, g := s.serving(i)
		if g == nil {
			continue
		}
		r := simRead{chat: simChats[i%len(simChats)]}
		s.mu.Lock()
		r.begun = s.history.tick()
		s.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		last, err := s.read(ctx, n, g, r.chat)
		cancel()
		if err == nil {
			s.mu.Lock()
			r.ended, r.last = s.history.tick(), last
			s.history.reads = append(s.history.reads, r)
			s.mu.Unlock()
		}
	}
}

// fault does one thing to the group and waits a while.
func (s *sim) fault() {
	n := s.nodes[s.rng.IntN(len(s.nodes))]
	if _, g := s.serving(0); g != nil && s.rng.IntN(2) == 0 {
		for _, other := range s.nodes {
			if s.group(other) == g {
				n = other // leaders are where faults hurt
			}
		}
	}
	pause := time.Duration(50+s.rng.IntN(1500)) * time.Millisecond
	switch s.rng.IntN(8) {
	case 0, 1:
		s.note("%s loses power for %s", n.addr, pause)
		s.powerOff(n)
		time.Sleep(pause)
		s.start(n)
	case 2:
		s.note("all lose power")
		for _, n := range s.nodes {
			s.powerOff(n)
		}
		for _, n := range s.nodes {
			s.start(n)
		}
	case 3:
		s.cut(n, "is alone", true, true, pause)
	case 4:
		s.cut(n, "is mute", true, false, pause)
	case 5:
		s.cut(n, "is deaf", false, true, pause)
	case 6:
		s.transfer()
	case 7:
		if g := s.group(n); g != nil {
			s.note("%s takes a snapshot", n.addr)
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			_ = g.Snapshot(ctx) // there may be nothing new
			cancel()
		}
	}
	time.Sleep(time.Duration(s.rng.IntN(800)) * time.Millisecond)
}

func (s *sim) cut(n *simNode, how string, sends, receives bool, pause time.Duration) {
	s.note("%s %s for %s", n.addr, how, pause)
	s.net.setCut(n.addr, s.addrs(), sends, receives)
	time.Sleep(pause)
	s.net.setCut(n.addr, s.addrs(), false, false)
}

func (s *sim) transfer() {
	_, g := s.serving(0)
	if g == nil {
		return
	}
	s.note("leadership is handed over")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = g.Transfer(ctx, "") // it may fail, as long as nothing is lost
}

// heal brings everything back and waits until clients get on: the group must be live again.
func (s *sim) heal() {
	s.note("all is well again")
	for _, n := range s.nodes {
		s.net.setCut(n.addr, s.addrs(), false, false)
		if s.group(n) == nil {
			s.start(n)
		}
	}
	acks := func() (n int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, m := range s.history.sends {
			if m.acked != 0 {
				n++
			}
		}
		return n
	}
	was := acks()
	for deadline := time.Now().Add(30 * time.Second); acks() < was+20; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.fail("30 s after all was well again the group acknowledges nothing")
			return
		}
	}
	close(s.stop)
	time.Sleep(5 * time.Second) // what is under way ends
}

// settle waits until all replicas hold the same, and checks it against what clients saw.
func (s *sim) settle() {
	if s.t.Failed() {
		return
	}
	_, leader := s.serving(0)
	for tries := 0; leader == nil && tries < 500; tries++ {
		time.Sleep(20 * time.Millisecond)
		_, leader = s.serving(0)
	}
	if leader == nil {
		s.fail("nobody serves in the end")
		return
	}
	want, _ := leader.Store().Applied()
	truth := dump(s.t, leader.Store())
	for _, n := range s.nodes {
		g := s.group(n)
		for tries := 0; ; tries++ {
			if at, _ := g.Store().Applied(); at >= want {
				break
			}
			if tries == 4000 { // a leader comes back to one that was away for long after 10 s at the latest
				s.fail("%s does not catch up: %+v", n.addr, g.Status())
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		if got := dump(s.t, g.Store()); got != truth {
			s.fail("%s holds something else than the leader: %s", n.addr, firstDifference(got, truth))
		}
	}
	for _, chat := range simChats {
		var log []wire.Message
		for {
			page, err := leader.Store().Range(chat, wire.Seq(len(log)+1), wire.MaxPage)
			if err != nil && !errors.Is(err, wire.ErrNoChat) {
				s.fail("read %s: %v", chat, err)
				return
			}
			if len(page) == 0 {
				break
			}
			log = append(log, page...)
		}
		s.mu.Lock()
		faults := s.history.check(chat, log)
		s.mu.Unlock()
		if len(faults) > 0 {
			s.fail("%d faults:\n%s", len(faults), strings.Join(faults[:min(10, len(faults))], "\n"))
		}
	}
}

// firstDifference gives the first lines of two dumps that differ.
func firstDifference(a, b string) string {
	one, two := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(one), len(two)) {
		if one[i] != two[i] {
			return fmt.Sprintf("%.200s, not %.200s", one[i], two[i])
		}
	}
	return fmt.Sprintf("%d records, not %d", len(one), len(two))
}
