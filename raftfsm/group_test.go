package raftfsm

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/sequencer/wire"
)

// failingLog refuses to store while its switch is on.
type failingLog struct {
	raft.LogStore
	on      *atomic.Bool
	refused *atomic.Int64
}

var errInjected = errors.New("injected")

func (f failingLog) StoreLogs(logs []*raft.Log) error {
	if f.on.Load() {
		f.refused.Add(1)
		return errInjected
	}
	return f.LogStore.StoreLogs(logs)
}

func (f failingLog) StoreLog(l *raft.Log) error { return f.StoreLogs([]*raft.Log{l}) }

// A follower that answers an AppendEntries with an error must come back. With more than one request in flight raft can
// cut it off for good.
func TestGroup_FollowerRecoversAfterStoreLogsFailed(t *testing.T) {
	var on [3]atomic.Bool
	var refused atomic.Int64
	c := newTrio(t, func(node int, cfg *Config) {
		cfg.WrapLogStore = func(l raft.LogStore) raft.LogStore { return failingLog{l, &on[node], &refused} }
	})
	for range 3 {
		c.append(20)
		broken := c.follower()
		before := refused.Load()
		on[broken].Store(true)
		for began := time.Now(); time.Since(began) < 300*time.Millisecond || refused.Load() == before; {
			c.append(1)
		}
		on[broken].Store(false)
		c.append(20)
		c.check()
	}
}

func TestGroup_LeaderStopsAndComesBack(t *testing.T) {
	c := newTrio(t, nil)
	c.append(30)
	old := c.leader()
	c.stop(old)
	c.append(30)
	c.check()
	c.start(old)
	c.check()
}

func TestGroup_AllRestartAtOnce(t *testing.T) {
	c := newTrio(t, nil)
	for range 2 {
		c.append(30)
		for i := range c.groups {
			c.stop(i)
		}
		for i := range c.groups {
			c.start(i)
		}
		c.check()
	}
}

// cutLog makes the leader's log begin behind what a new follower needs.
func cutLog(t *testing.T, g *Group) {
	t.Helper()
	reload := g.raft.ReloadableConfig()
	reload.TrailingLogs = 1
	if err := g.raft.ReloadConfig(reload); err != nil {
		t.Fatal(err)
	}
	if err := g.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	if first, err := g.entries.FirstIndex(); err != nil || first < 10 {
		t.Fatalf("the log still begins at %d: %v", first, err)
	}
}

func TestGroup_WipedFollowerIsRebuiltFromASnapshot(t *testing.T) {
	c := newTrio(t, nil)
	c.append(50)
	wiped := c.follower()
	c.stop(wiped)
	c.wipe(wiped)
	c.append(50)
	for i, g := range c.groups {
		if i != wiped {
			cutLog(t, g)
		}
	}
	c.start(wiped)
	c.append(10)
	c.check()
	if installs := c.groups[wiped].Status().Installs; installs == 0 {
		t.Fatal("it caught up without a snapshot: the test shows nothing")
	}
	c.stop(wiped)
	c.start(wiped)
	c.append(10)
	c.check()
}

// What Pebble has not flushed is lost in a crash; log and snapshots bring it back, also where a snapshot is newer.
func TestGroup_StateIsBehindTheNewestSnapshot(t *testing.T) {
	c := newTrio(t, nil)
	c.append(50)
	i := c.follower()
	eventually(t, "the follower has applied all", func() bool {
		applied, _ := c.groups[i].Store().Applied()
		return applied >= 51
	})
	cutLog(t, c.groups[i])
	c.stop(i)
	if err := os.RemoveAll(filepath.Join(c.nodeDir(i), "store")); err != nil {
		t.Fatal(err)
	}
	c.start(i)
	if applied, _ := c.groups[i].Store().Applied(); applied < 50 {
		t.Fatalf("the state is at %d after the start", applied)
	}
	c.check()
}

func TestGroup_RefusesAStateWithAHole(t *testing.T) {
	c := newTrio(t, nil)
	c.append(50)
	i := c.follower()
	eventually(t, "the follower has applied all", func() bool {
		applied, _ := c.groups[i].Store().Applied()
		return applied >= 51
	})
	cutLog(t, c.groups[i])
	c.stop(i)
	for _, lost := range []string{"store", "snapshots"} {
		if err := os.RemoveAll(filepath.Join(c.nodeDir(i), lost)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.tryStart(i); !errors.Is(err, ErrReplicaLost) {
		t.Fatalf("it started: %v", err)
	}
}

func TestGroup_TransferMovesLeadership(t *testing.T) {
	c := newTrio(t, nil)
	c.append(5)
	from, to := c.leader(), c.follower()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := c.groups[from].Transfer(ctx, "n9"); !errors.Is(err, wire.ErrBadRequest) {
		t.Fatalf("to a stranger: %v", err)
	}
	if err := c.groups[from].Transfer(ctx, c.peers[to].ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other one serves", func() bool { return c.groups[to].Serving() && !c.groups[from].Serving() })
	if leader, ok := c.groups[from].Leader(); !ok || leader != c.peers[to] {
		t.Fatalf("the old leader says %v", leader)
	}
	c.append(5)
	c.check()
}

func TestGroup_OnlyTheLeaderAnswersReadsAndProposals(t *testing.T) {
	c := newTrio(t, nil)
	c.append(5)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	leader, follower := c.groups[c.leader()], c.groups[c.follower()]
	if err := leader.ReadBarrier(ctx); err != nil {
		t.Fatal(err)
	}
	if err := follower.ReadBarrier(ctx); !errors.Is(err, wire.ErrTryAgain) {
		t.Fatalf("a follower gave a read point: %v", err)
	}
	entry := AppendEntry(nil, wire.OldestFormat, 1, 1, AppendCommand(nil, AckOutbox{}))
	if _, err := follower.Propose(entry).Wait(); !errors.Is(err, wire.ErrTryAgain) {
		t.Fatalf("a follower took an entry: %v", err)
	}
}

func TestGroup_LeaderWithoutMajorityGivesNoReadPoint(t *testing.T) {
	c := newTrio(t, nil)
	c.append(5)
	at := c.leader()
	for i := range c.groups {
		if i != at {
			c.stop(i)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.groups[at].ReadBarrier(ctx); !errors.Is(err, wire.ErrTryAgain) {
		t.Fatalf("a lone node gave a read point: %v", err)
	}
	eventually(t, "it no longer serves", func() bool { return !c.groups[at].Serving() })
}

func TestGroup_CloseAnswersProposalsInFlight(t *testing.T) {
	c := newTrio(t, nil)
	c.append(5)
	at := c.leader()
	for i := range c.groups {
		if i != at {
			c.stop(i)
		}
	}
	p := c.groups[at].Propose(AppendEntry(nil, wire.OldestFormat, 1, 1, AppendCommand(nil, AckOutbox{})))
	c.stop(at)
	if _, err := p.Wait(); err == nil {
		t.Fatal("an entry was acknowledged without a majority")
	}
}

func TestGroup_ReplicaMovesToAnotherNode(t *testing.T) {
	c := newTrio(t, nil)
	at := c.leader()
	g, ctx := c.groups[at], t.Context()
	// Node 4 opens an empty replica that nobody knows; it waits to be added.
	log := slog.New(slog.DiscardHandler)
	mux, err := ListenMux("127.0.0.1:0", func() Card { return Card{} }, log)
	if err != nil {
		t.Fatal(err)
	}
	defer mux.Close()
	fresh, err := Open(Config{Node: "n4", Generation: 4, Dir: t.TempDir(), Timing: quick, Logger: log}, mux)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	p := Peer{ID: "n4", Generation: 4, RaftAddr: mux.Addr()}
	old := c.peers[(at+1)%3]
	steps := []struct {
		name string
		do   func(context.Context, Peer) error
		peer Peer
	}{{"add", g.AddReplica, p}, {"promote", g.Promote, p}, {"demote", g.Demote, old}, {"remove", g.RemoveReplica, old}}
	for _, step := range steps {
		for range 2 { // the second time changes nothing
			if err := step.do(ctx, step.peer); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
		}
	}
	want := g.Status().Applied
	eventually(t, "the new replica follows", func() bool { return fresh.Status().Applied >= want })
	for _, r := range g.Status().Replicas {
		if !r.Voter || r.Replica() == old.Replica() {
			t.Errorf("replica %+v", r)
		}
	}
	if n := len(g.Status().Replicas); n != 3 {
		t.Errorf("%d replicas", n)
	}
	if err := g.Transfer(ctx, "n4"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new replica leads", fresh.Serving)
	if err := g.AddReplica(ctx, old); !errors.Is(err, wire.ErrTryAgain) {
		t.Errorf("a change at a follower: %v", err)
	}
}
