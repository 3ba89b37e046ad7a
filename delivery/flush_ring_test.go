package delivery

import (
	"testing"

	"github.com/quorate/quorate/uring"
)

// openMany opens n clients.
func (rig *engineRig) openMany(n int) (clients []*rawClient, conns []*conn) {
	rig.t.Helper()
	for range n {
		c, p := rig.open()
		clients, conns = append(clients, c), append(conns, p.c)
	}
	return clients, conns
}

// queueNumbered queues frames on all connections, without writing.
func queueNumbered(t *testing.T, conns []*conn, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		f := numbered(i)
		for _, c := range conns {
			if !c.sendLater(f) {
				t.Fatal("refused")
			}
		}
	}
}

func TestRings_ManyConnectionsInFewSystemCalls(t *testing.T) {
	rig := newEngineRig(t, engineConfig{})
	clients, conns := rig.openMany(ringConns + ringLeast)
	for round := range 3 {
		queueNumbered(t, conns, 5*round, 5*round+5)
		before := rig.e.writes.Load()
		rig.e.flush(conns)
		if calls := rig.e.writes.Load() - before; len(rig.e.rings) > 0 && calls != 2 {
			t.Errorf("%d system calls", calls)
		}
		for _, c := range clients {
			expectNumbered(t, c, 5*round, 5*round+5)
		}
	}
}

// TestRings_SlowClientAmongOthers has one client who does not read: the others get all at once, and he gets all when he reads.
func TestRings_SlowClientAmongOthers(t *testing.T) {
	rig := newEngineRig(t, engineConfig{OutboxBytes: 64 << 20})
	clients, conns := rig.openMany(8)
	slow := conns[3]
	sent := 0
	for n := slow.buffered(); n < 1<<20; n = slow.buffered() { // more than the kernel takes
		queueNumbered(t, conns, sent, sent+100)
		rig.e.flush(conns)
		for i, c := range clients {
			if i != 3 {
				expectNumbered(t, c, sent, sent+100)
			}
		}
		sent += 100
	}
	expectNumbered(t, clients[3], 0, sent)
}

// TestRings_GoneClientAmongOthers has one client whose connection is cut while others are written to.
func TestRings_GoneClientAmongOthers(t *testing.T) {
	rig := newEngineRig(t, engineConfig{})
	clients, conns := rig.openMany(8)
	_ = clients[2].tcp.SetLinger(0)
	_ = clients[2].tcp.Close()
	queued := 0
	eventually(t, "the cut connection to be gone", func() bool {
		conns[2].sendLater(numbered(queued))
		others := append(conns[:2:2], conns[3:]...)
		queueNumbered(t, others, queued, queued+1)
		queued++
		rig.e.flush(conns)
		conns[2].mu.Lock()
		defer conns[2].mu.Unlock()
		return conns[2].dead
	})
	for i, c := range clients {
		if i != 2 {
			expectNumbered(t, c, 0, queued)
		}
	}
}

// TestRings_None writes without rings, as where the kernel has none.
func TestRings_None(t *testing.T) {
	rig := newEngineRig(t, engineConfig{})
	clients, conns := rig.openMany(8)
	queueNumbered(t, conns, 0, 5)
	make(rings, 1).flush(conns)
	for _, c := range clients {
		expectNumbered(t, c, 0, 5)
	}
}

// TestRings_RefusedByTheKernel has a ring that fails while it is in use: everything goes out all the same, once.
func TestRings_RefusedByTheKernel(t *testing.T) {
	rig := newEngineRig(t, engineConfig{})
	clients, conns := rig.openMany(8)
	w := &ringWriter{ring: uring.Broken()}
	for i := range 3 {
		queueNumbered(t, conns, i, i+1)
		w.write(conns)
	}
	for _, c := range clients {
		expectNumbered(t, c, 0, 3)
	}
}
