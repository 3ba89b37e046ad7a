//go:build linux

package chaos

import (
	"context"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/sequencertest"
)

const (
	diskSize    = 256 // megabytes
	sampleCuts  = 4
	shortCuts   = 50
	allCuts     = 200
	verifyEvery = 10 // power cuts
)

// powerOff cuts the power of nodes: their disks take nothing more, and then their processes are gone.
func powerOff(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		if err := n.disk.cutPower(); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range nodes {
		if n.up() {
			_ = n.cmd.Process.Kill() // it may have ended by itself: its disk fails it
		}
	}
	for _, n := range nodes {
		<-n.done
	}
}

// powerOn starts nodes on what has reached their disks, in the given order.
func powerOn(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		if err := n.disk.restorePower(); err != nil {
			t.Fatal(err)
		}
		n.start(t)
	}
}

// TestPowerCut cuts the power of one node, and of all at once, again and again under load. What was acknowledged was
// fsynced on a majority, so it is there afterwards.
func TestPowerCut(t *testing.T) {
	needs(t, "")
	c := start(t, setup{nodes: 3, groups: 2, disks: diskSize})
	l := startLoad(c)
	cuts := map[string]int{modeShort: shortCuts, modeAll: allCuts, "": sampleCuts}[os.Getenv(modeEnv)]
	for n := 1; n <= cuts; n++ {
		row, victims := rowOf("power cut of all"), shuffled(c.nodes)
		if n%2 == 0 {
			row, victims = rowOf("power cut of one"), victims[:1]
		}
		l.awaitAll(3)
		time.Sleep(rand.N(200 * time.Millisecond)) // any moment will do
		at, _ := c.leaders()
		from := l.now()
		powerOff(t, victims...)
		powerOn(t, shuffled(victims)...)
		l.awaitAll(3)
		row.note(c, l, from, func(g int) bool { return len(victims) > 1 || at[g] == victims[0].i })
		if n%verifyEvery == 0 || n == cuts {
			c.verify(l)
			if t.Failed() {
				t.Fatalf("after %d power cuts", n)
			}
			l.resume()
		}
	}
	t.Logf("%d power cuts", cuts)
}

func shuffled(nodes []*node) []*node {
	mixed := make([]*node, len(nodes))
	for i, j := range rand.Perm(len(nodes)) {
		mixed[i] = nodes[j]
	}
	return mixed
}

// TestPowerCut_Control runs a binary that never waits for its disks. The power cut must lose messages and the check must
// say so, or the test above shows nothing.
func TestPowerCut_Control(t *testing.T) {
	needs(t, "")
	c := start(t, setup{nodes: 3, groups: 2, disks: diskSize, noSync: true})
	l := startLoad(c)
	l.awaitRate()
	for _, n := range c.nodes { // so that it is messages that are lost, and not the cluster
		if err := n.disk.sync(); err != nil {
			t.Fatal(err)
		}
	}
	l.awaitAll(50)
	acked, _ := l.record.Acks()
	powerOff(t, c.nodes...)
	l.abandon()
	powerOn(t, c.nodes...)

	lost := 0
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	for _, chat := range l.chats {
		log, err := sequencertest.ReadLog(ctx, l.client, chat)
		if err != nil {
			t.Fatalf("the cluster does not come back: %v", err)
		}
		if err = l.record.Check(chat, log); err != nil {
			if lost++; lost == 1 {
				t.Logf("the first one: %v", err)
			}
		}
	}
	t.Logf("without fsync %d of %d chats lost some of %d acknowledged messages", lost, len(l.chats), acked)
	if lost == 0 {
		t.Error("nothing was lost without fsync: the power cut cuts nothing, or the check sees nothing")
	}
}

// TestPowerCut_PausedNode has the power fail while the other nodes take turns to be away: a node that was paused comes
// back to one that has just lost what it did not write, and together they are the majority.
func TestPowerCut_PausedNode(t *testing.T) {
	needs(t, modeShort)
	c := start(t, setup{nodes: 3, groups: 2, disks: diskSize})
	l := startLoad(c)
	const name = "pause n1, power cut n2, pause n3"
	for range 3 {
		l.awaitRate()
		nodes := shuffled(c.nodes)
		from := l.now()
		nodes[0].signal(t, syscall.SIGSTOP)
		l.awaitAll(20)
		powerOff(t, nodes[1])
		nodes[2].signal(t, syscall.SIGSTOP)
		nodes[0].signal(t, syscall.SIGCONT)
		powerOn(t, nodes[1])
		l.awaitAll(20)
		nodes[2].signal(t, syscall.SIGCONT)
		l.awaitAll(5)
		rowOf(name).note(c, l, from, func(int) bool { return true })
		c.verify(l)
		l.resume()
	}
}
