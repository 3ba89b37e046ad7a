package raftfsm

import (
	"fmt"
	"strings"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// watch looks at all replicas now and then: one leader per term serves, and no replica goes back.
func (s *sim) watch() {
	defer s.clients.Done()
	type position struct{ term, commit, applied uint64 }
	were := map[*Group]position{}
	for s.sleep(5 * time.Millisecond) {
		for _, n := range s.nodes {
			g := s.group(n)
			if g == nil {
				continue
			}
			was, now := were[g], position{g.raft.CurrentTerm(), g.raft.CommitIndex(), g.raft.AppliedIndex()}
			if now.term < was.term || now.commit < was.commit || now.applied < was.applied {
				s.fail("%s went back from %+v to %+v", n.addr, was, now)
				return
			}
			were[g] = now
			term, ok := g.ServingTerm()
			s.mu.Lock()
			other := s.leads[term]
			if ok && other == "" {
				s.leads[term] = n.addr
			}
			s.mu.Unlock()
			if ok && other != "" && other != n.addr {
				s.fail("%s and %s both serve in term %d", other, n.addr, term)
				return
			}
		}
	}
}

// check waits until all replicas hold the same, and judges it by what clients saw.
func (s *sim) check() {
	if s.failed() {
		return
	}
	leader := s.last()
	if leader == nil {
		s.fail("nobody serves in the end")
		return
	}
	s.compare(leader)
	for _, chat := range simChats {
		log, err := wholeLog(leader.Store(), chat)
		if err != nil {
			s.fail("read %s: %v", chat, err)
			return
		}
		if err := s.history.Check(chat, log, time.Hour); err != nil { // of the bubble's time, which stands still meanwhile
			s.fail("%v", err)
		}
	}
}

// last has a leader apply one more command, and gives the leader: all replicas have seen the same last entry then, where a
// snapshot counts barriers that the others do not know of.
func (s *sim) last() *Group {
	for range 500 {
		if n, g := s.serving(0); g != nil {
			if _, err := s.propose(n, g, AckOutbox{}); err == nil {
				return g
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// compare waits until every replica has applied what the leader has, and compares every record.
func (s *sim) compare(leader *Group) {
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
}

// wholeLog reads all of a chat.
func wholeLog(store *Store, chat string) (log []wire.Message, err error) {
	for {
		page, err := store.Range(chat, wire.Seq(len(log)+1), wire.MaxPage)
		if err != nil || len(page) == 0 {
			return log, err
		}
		log = append(log, page...)
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
