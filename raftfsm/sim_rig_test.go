package raftfsm

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/raftfsm/wal"
	"github.com/quorate/quorate/sequencer/sequencertest/history"
	"github.com/quorate/quorate/sequencer/wire"
)

// sim is a group of three replicas in one bubble of testing/synctest: the real replicas, state machines, snapshots, log and
// protocol, over a network and disks in memory. What happens to it follows from its seed, but for the order in which
// goroutines run.
type sim struct {
	t     *testing.T
	seed  uint64
	bug   plant
	rng   *rand.Rand // the nemesis's
	net   *simNet
	nodes []*simNode
	began time.Time

	history *history.History
	stop    chan struct{}
	clients sync.WaitGroup

	told *lockedBuffer // what nodes log, when it is asked for

	mu      sync.Mutex
	trace   []string
	failure string            // the first, with what happened until then
	leads   map[uint64]string // who served in a term

	acked, reads int
	installs     int // until the lives that have ended
}

// simNode is a node that may be up or down.
type simNode struct {
	addr string
	peer Peer
	dir  string // of the state, really on disk: what is not flushed there is lost with the process
	disk *simDisk
	pace *diskPace
	gone bool // its power is off: what it still says counts for nothing; sim.mu

	mux *Mux
	log *wal.Log
	g   *Group // nil while it is down; sim.mu

	ahead   map[string]wire.Seq // of early answers, by chat
	aheadOf *Group
}

// simTiming is that of a real group.
var simTiming = Timing{Heartbeat: 300 * time.Millisecond, Election: 300 * time.Millisecond, Lease: 200 * time.Millisecond}

func newSim(t *testing.T, seed uint64, dir string, bug plant) *sim {
	s := &sim{
		t: t, seed: seed, bug: bug, rng: rand.New(rand.NewPCG(seed, 1)), net: newSimNet(seed), began: time.Now(), stop: make(chan struct{}),
		history: history.New(), told: &lockedBuffer{}, leads: map[uint64]string{},
	}
	for i := range 3 {
		name := fmt.Sprintf("n%d", i+1)
		s.nodes = append(s.nodes, &simNode{
			addr: name + ":1", peer: Peer{ID: wire.NodeID(name), Generation: 1, RaftAddr: name + ":1"},
			dir: filepath.Join(dir, name), disk: newSimDisk(bug.noSync), pace: newDiskPace(seed, uint64(i)),
		})
	}
	for _, n := range s.nodes {
		s.start(n)
	}
	return s
}

func (s *sim) addrs() (all []string) {
	for _, n := range s.nodes {
		all = append(all, n.addr)
	}
	return all
}

// note adds a line to the trace that a failing seed prints.
func (s *sim) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trace = append(s.trace, fmt.Sprintf("%8s  ", time.Since(s.began).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

// fail records what went wrong first, with what happened before.
func (s *sim) fail(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != "" {
		return
	}
	s.failure = fmt.Sprintf("seed %d: %s\n%s", s.seed, fmt.Sprintf(format, args...), strings.Join(s.trace, "\n")) + "\n" + s.told.String()
	if os.Getenv("QUORATE_TEST_STACKS") != "" {
		buf := make([]byte, 4<<20)
		s.t.Logf("%s", buf[:runtime.Stack(buf, true)])
	}
}

func (s *sim) failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure != ""
}

func (s *sim) count(what *int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*what++
}

// start starts a node on what its disk holds.
func (s *sim) start(n *simNode) {
	quiet := slog.New(slog.DiscardHandler)
	if os.Getenv("QUORATE_TEST_LOG") != "" {
		quiet = slog.New(slog.NewTextHandler(s.told, nil)).With("node", n.peer.ID)
	}
	n.mux = muxOver(s.net.listen(n.addr), nil, func() Card { return Card{Node: n.peer.ID} }, quiet)
	n.mux.dial = s.net.dialFrom(n.addr)
	var err error
	if n.log, err = wal.Open("wal", wal.Options{SegmentBytes: 16 << 10, FS: n.disk, Inline: true}); err != nil {
		s.fail("open the log of %s: %v", n.addr, errors.Join(err, n.mux.Close()))
		return
	}
	var first []Peer
	for _, other := range s.nodes {
		first = append(first, other.peer)
	}
	g, err := Open(Config{
		Node: n.peer.ID, Generation: n.peer.Generation, Dir: n.dir, WAL: n.log, Bootstrap: first, Timing: simTiming,
		SnapshotEntries: 40, TrailingBytes: 1, Logger: quiet,
		Store: StoreConfig{CacheBytes: 256 << 10, MemTableBytes: 256 << 10, compactions: new(compactions), spoil: s.bug.spoil}, WrapLogStore: s.wrapLog(n), lifted: s.bug.lifted,
		Fatal: func(err error) {
			if !errors.Is(err, errPowerOff) {
				s.fail("%s: storage failure: %v", n.addr, err)
			}
		},
	}, n.mux)
	if err != nil {
		s.fail("start %s: %v", n.addr, errors.Join(err, n.mux.Close(), n.log.Close()))
		return
	}
	s.mu.Lock()
	n.g, n.gone = g, false
	s.mu.Unlock()
}

var errPowerOff = errors.New("the power is off")

// powerOff ends a node: what was not synced is lost, and what it says from now on is never heard.
func (s *sim) powerOff(n *simNode) {
	s.mu.Lock()
	g := n.g
	n.gone, n.g = true, nil
	s.mu.Unlock()
	if g == nil {
		return
	}
	s.installs += int(g.installs.Load())
	g.store.failure.tell(errPowerOff) // nothing is applied any more: the state is not ahead of what the disk holds
	s.net.drop(n.addr)
	s.net.setCut(n.addr, s.addrs(), true, true)
	next := n.disk.powerCut()
	if err := errors.Join(g.Close(), n.mux.Close(), n.log.Close()); err != nil {
		s.note("end of %s: %v", n.addr, err)
	}
	s.net.setCut(n.addr, s.addrs(), false, false)
	n.disk = next
}

// group gives the replica of a node that is up.
func (s *sim) group(n *simNode) *Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	return n.g
}

// serving gives a node that says it leads, nil where none does.
func (s *sim) serving(from int) (*simNode, *Group) {
	for i := range s.nodes {
		n := s.nodes[(from+i)%len(s.nodes)]
		if g := s.group(n); g != nil && g.Serving() {
			return n, g
		}
	}
	return nil, nil
}

// alive reports whether what a node says still counts.
func (s *sim) alive(n *simNode, g *Group) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !n.gone && n.g == g
}

// sleep is false when the run ends meanwhile.
func (s *sim) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.stop:
		return false
	}
}

// lockedBuffer is a buffer for several writers.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
