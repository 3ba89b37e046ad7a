//go:build linux

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/sequencer/sequencertest"
)

const (
	failpointTag    = "quorate_failpoints" // the build tag of a binary that stops at steps
	archivedChats   = 80                   // more than one entry has runs
	archivedBetween = 160                  // messages between two strikes
	randomMoments   = 20
)

// archiving is a cluster of one group that archives when it is told to, and whose processes stop at the steps of that.
type archiving struct {
	*cluster
	l      *load
	points string // a directory for each node, where files named after steps are laid out
	disk   *disk  // of the store
	url    string
	store  archive.Store
	edge   *node // reads chats as clients do, archived messages too
}

// startArchiving runs one, with its load, and waits for a first round.
func startArchiving(t *testing.T) *archiving {
	t.Helper()
	openNetwork(t)
	binary := filepath.Join(t.TempDir(), "quorate-failpoints")
	if err := build(binary, "-tags", failpointTag); err != nil {
		t.Fatal(err)
	}
	a := &archiving{points: t.TempDir(), disk: newDisk(t, "store", diskSize)}
	// The wrapper tells each process which directory is its: of "sequencer --node-id n1" the third word.
	wrapper := filepath.Join(t.TempDir(), "quorate")
	text := fmt.Sprintf("#!/bin/sh\nFAILPOINTS=%s/$3 exec %s \"$@\"\n", a.points, binary)
	if err := os.WriteFile(wrapper, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv(binaryEnv, wrapper)
	a.url = "file://" + filepath.Join(a.disk.dir, "archive")
	var err error
	if a.store, err = archive.OpenStore(a.url); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"n1", "n2", "n3"} {
		if err := os.Mkdir(filepath.Join(a.points, id), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	a.cluster = start(t, setup{nodes: 3, groups: 1, disks: diskSize, flags: []string{
		"--archive", a.url, "--archive-after", "1ms", "--feed-retention", "1ms", "--archive-every", "1h",
	}})
	a.startEdge()
	a.startWrites()
	a.round()
	return a
}

// startEdge starts a delivery node.
func (a *archiving) startEdge() {
	a.t.Helper()
	a.edge = &node{host: edgeHost(0), id: "e1"}
	a.edge.argv = append(a.edge.edgeArgs(a.addrs(), "local"), "--archive", a.url)
	a.edge.start(a.t)
	a.t.Cleanup(func() {
		a.edge.kill()
		if a.t.Failed() {
			a.edge.keepLog(a.t)
		}
	})
	a.edge.awaitReady(a.t)
}

// startWrites makes chats and begins to write to them. What is read is told by the check, wherever it stands by then.
func (a *archiving) startWrites() {
	a.t.Helper()
	a.l = &load{
		t: a.t, client: newClient(a.t, a.addrs(), a.setup.dial), record: sequencertest.NewRecord(), groupOf: map[string]int{},
		began: time.Now(), acks: make([][]time.Duration, 1), chats: sequencertest.Names("chat", archivedChats),
	}
	a.l.ctx, a.l.cancel = context.WithCancel(context.Background())
	sequencertest.MakeChats(a.t, a.client, sequencertest.Names("user", senders), a.l.chats...)
	a.t.Cleanup(a.l.halt)
	a.resumeWrites()
}

func (a *archiving) resumeWrites() {
	a.l.stop = make(chan struct{})
	a.l.ticker.Add(1)
	go a.l.run(a.l.stop)
}

// round has the leader archive all but the last messages, however often it takes.
func (a *archiving) round() {
	a.t.Helper()
	await(a.t, "a round of the archiver", func() bool { return a.askForRound(a.awaitLeaders()[0], settle) == nil })
}

func (a *archiving) askForRound(leader int, within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	_, err := a.client.DoNode(ctx, a.nodes[leader].respAddr(), "ARCHIVE", "RUN", "0")
	return err
}

// arm lays out a file for a node, of a step that it stops at or a bug that it has.
func (a *archiving) arm(n *node, name string) (path string) {
	a.t.Helper()
	path = filepath.Join(a.points, n.id, name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// archiveStrike stops a node at a step of archiving and takes it away there. Without a step it is any moment of a round.
type archiveStrike struct {
	step   string
	leader bool
	how    string
}

const (
	byKill     = "kill -9"
	byPower    = "power cut"
	byPowerAll = "power cut of all"
)

// archiveStrikes are the steps, in their order, each on those who take it.
func archiveStrikes() (all []archiveStrike) {
	for _, step := range []string{"before put", "after put", "before commit", "committed", "freed", "applied", "after commit"} {
		all = append(all, archiveStrike{step: step, leader: true})
	}
	for _, step := range []string{"committed", "freed", "applied"} {
		all = append(all, archiveStrike{step: step})
	}
	return all
}

func (s archiveStrike) String() string {
	who := map[bool]string{true: "leader", false: "follower"}[s.leader]
	if s.step == "" {
		return "archiving, " + s.how + ", " + who
	}
	return "archiving, " + s.step + ", " + s.how + ", " + who
}

// run strikes, and checks that every message is in one of its two places: as it is then, and when archiving is done.
func (s archiveStrike) run(a *archiving) {
	a.t.Helper()
	a.l.awaitAll(archivedBetween)
	leader := a.awaitLeaders()[0]
	victim := a.nodes[leader]
	if !s.leader {
		victim = a.nodes[(leader+1)%len(a.nodes)]
	}
	from := a.l.now()
	a.stopAt(victim, leader, s.step)
	a.takeAway(victim, s.how)
	a.l.awaitAll(5)
	rowOf(archiveStrike{leader: s.leader, how: s.how}.String()).note(a.cluster, a.l, from, func(int) bool { return s.leader || s.how == byPowerAll })
	a.check(s.String())
	a.round()
	a.check(s.String() + ", then archived")
	a.resumeWrites()
}

// check ends the test where anything is not as it should be.
func (a *archiving) check(when string) {
	a.t.Helper()
	if found := a.findings(); len(found) > 0 {
		a.t.Fatalf("%s: %d findings, the first are %v", when, len(found), found[:min(3, len(found))])
	}
}

// stopAt has the leader begin a round, and waits until the victim stands at a step of it.
func (a *archiving) stopAt(victim *node, leader int, step string) {
	a.t.Helper()
	file := ""
	if step != "" {
		file = a.arm(victim, step) + ".reached"
		_ = os.Remove(file) // of the last time
	}
	asked := make(chan struct{})
	go func() { // it gets no answer where the leader dies
		defer close(asked)
		_ = a.askForRound(leader, 5*time.Second)
	}()
	a.t.Cleanup(func() { <-asked })
	if step == "" {
		time.Sleep(rand.N(200 * time.Millisecond)) // any moment will do
		return
	}
	await(a.t, victim.id+" to come to "+step, func() bool {
		_, err := os.Stat(file)
		return err == nil
	})
}

// takeAway ends the victim, or all, and the store with them, and starts them again.
func (a *archiving) takeAway(victim *node, how string) {
	a.t.Helper()
	switch how {
	case byKill:
		victim.kill()
		victim.start(a.t)
	case byPower:
		powerOff(a.t, victim)
		powerOn(a.t, victim)
	case byPowerAll:
		if err := a.disk.cutPower(); err != nil {
			a.t.Fatal(err)
		}
		powerOff(a.t, a.nodes...)
		if err := a.disk.restorePower(); err != nil {
			a.t.Fatal(err)
		}
		powerOn(a.t, shuffled(a.nodes)...)
	}
}

// TestArchive_Crash takes nodes away at each step of archiving.
func TestArchive_Crash(t *testing.T) {
	needs(t, modeShort)
	a := startArchiving(t)
	all := os.Getenv(modeEnv) == modeAll
	hows := []string{byKill, byPower, byPowerAll}
	for i, s := range archiveStrikes() {
		for k, how := range hows {
			if s.how = how; all || k == i%len(hows) {
				s.run(a)
			}
		}
	}
	for i := range randomMoments {
		if all {
			archiveStrike{leader: i%4 > 0, how: hows[i%len(hows)]}.run(a)
		}
	}
	a.l.halt()
	for n, chat := range a.l.chats { // a message that was archived long ago is offered again
		a.l.offer(a.l.request(n))
		if err := a.checkChat(chat); err != nil {
			t.Error(err)
		}
	}
}

// TestArchive_Control has a leader free what it has not yet put. The check must say that messages are lost.
func TestArchive_Control(t *testing.T) {
	needs(t, modeShort)
	a := startArchiving(t)
	for _, n := range a.nodes {
		a.arm(n, "free before verify")
	}
	a.l.awaitAll(archivedBetween)
	leader := a.awaitLeaders()[0]
	a.stopAt(a.nodes[leader], leader, "before put")
	a.takeAway(a.nodes[leader], byKill)
	a.l.awaitAll(5)
	found := a.findings()
	if len(found) == 0 || !strings.Contains(fmt.Sprint(found), archive.ErrNotFound.Error()) {
		t.Fatalf("messages were freed that are in no object, and the check says %v", found)
	}
	t.Logf("%d findings, the first: %v", len(found), found[0])
}
