package raftfsm

import (
	"context"
	"time"
)

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
	switch s.rng.IntN(9) {
	case 0, 1:
		s.note("%s loses power for %s", n.addr, pause)
		s.powerOff(n)
		time.Sleep(pause)
		s.cutLogs(n)
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
		s.snapshot(n)
	case 8:
		s.twoFaults(n, pause)
	}
	time.Sleep(time.Duration(s.rng.IntN(800)) * time.Millisecond)
}

// twoFaults takes the power from one node and, for longer, the network from another: what only those two had must not have been promised.
func (s *sim) twoFaults(n *simNode, pause time.Duration) {
	other := s.nodes[s.rng.IntN(len(s.nodes))]
	if other == n {
		return
	}
	s.note("%s loses power for a moment, %s is alone for %s", n.addr, other.addr, pause)
	s.powerOff(n)
	s.net.setCut(other.addr, s.addrs(), true, true)
	time.Sleep(time.Duration(s.rng.IntN(20)) * time.Millisecond)
	s.start(n)
	time.Sleep(pause)
	s.cutLogs(other)
	s.net.setCut(other.addr, s.addrs(), false, false)
}

func (s *sim) cut(n *simNode, how string, sends, receives bool, pause time.Duration) {
	s.note("%s %s for %s", n.addr, how, pause)
	s.net.setCut(n.addr, s.addrs(), sends, receives)
	time.Sleep(pause)
	s.cutLogs(n)
	s.net.setCut(n.addr, s.addrs(), false, false)
}

// cutLogs has the nodes keep little log behind a snapshot, now and then: one that was away gets a snapshot.
func (s *sim) cutLogs(away *simNode) {
	if s.rng.IntN(3) == 0 {
		return
	}
	for _, n := range s.nodes {
		if n != away {
			s.snapshot(n)
		}
	}
}

// snapshot has a node take one and keep little log behind it, but as many entries as a leader may have under way that nobody else has: see
// minTrailingLogs.
func (s *sim) snapshot(n *simNode) {
	g := s.group(n)
	if g == nil {
		return
	}
	s.note("%s takes a snapshot", n.addr)
	short := g.raft.ReloadableConfig()
	short.TrailingLogs = 12 + s.rng.Uint64N(8)
	if err := g.raft.ReloadConfig(short); err != nil {
		s.fail("cut the log of %s: %v", n.addr, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := g.await(ctx, g.raft.Snapshot(), "take a snapshot"); err != nil { // there may be nothing new
		s.note("no snapshot: %v", err)
	}
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
	acked := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.acked
	}
	was := acked()
	for deadline := time.Now().Add(30 * time.Second); acked() < was+20; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.fail("30 s after all was well again the group acknowledges nothing")
			return
		}
	}
	close(s.stop)
	time.Sleep(5 * time.Second) // what is under way ends
}
