package raftfsm

import (
	"context"
	"testing"
	"time"
)

// TestStats_TellWhatAGroupDid demands that each count moves when what it counts happens, and on the replica it happens on.
func TestStats_TellWhatAGroupDid(t *testing.T) {
	c := newTrio(t, func(_ int, cfg *Config) { // the leader is to stay, whatever else runs on the machine
		cfg.Timing = Timing{Heartbeat: time.Second, Election: time.Second, Lease: time.Second}
	})
	c.append(20)
	leader, follower := c.groups[c.leader()], c.groups[c.follower()]
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := leader.ReadBarrier(ctx); err != nil {
		t.Fatal(err)
	}
	c.check()
	if err := follower.Snapshot(ctx); err != nil {
		t.Fatal(err)
	}
	if n := follower.Stats().Snapshots.Counts().Count; n != 1 || follower.SnapshotIndex() < 20 {
		t.Errorf("%d snapshots, the newest at %d", n, follower.SnapshotIndex())
	}
	led, followed := leader.Stats(), follower.Stats()
	if n := led.LogWrites.Counts(); n.Count < 20 || n.Sum <= 0 {
		t.Errorf("20 appends one by one made %+v writes of the log", n)
	}
	if n := led.Appends.Counts().Count; n < 20 {
		t.Errorf("20 appends went to followers in %d messages", n)
	}
	if applied := followed.Applies.Counts().Count; applied == 0 {
		t.Error("a follower applied nothing")
	}
	if led.ReadRounds.Load() == 0 || led.ReadsServed.Load() < led.ReadRounds.Load() {
		t.Errorf("%d reads in %d rounds", led.ReadsServed.Load(), led.ReadRounds.Load())
	}
	eventually(t, "heartbeats are counted on both sides", func() bool {
		return led.Heartbeats.Counts().Count > 0 && followed.Silences.Counts().Count > 0
	})
	if leader.LeaderSilence() != 0 || follower.LeaderSilence() == 0 || follower.LeaderSilence() > 10*time.Second {
		t.Errorf("silence of the leader: to itself %s, to a follower %s", leader.LeaderSilence(), follower.LeaderSilence())
	}
}

func TestStats_TransferIsAnElectionAndALeaderChange(t *testing.T) {
	c := newTrio(t, nil)
	c.append(1)
	from, to := c.groups[c.leader()], c.follower()
	before, elections := from.Stats().LeaderChanges.Load(), c.groups[to].Stats().Elections.Load()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := from.Transfer(ctx, c.peers[to].ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the old leader learns of the new one", func() bool { return from.Stats().LeaderChanges.Load() > before })
	if c.groups[to].Stats().Elections.Load() == elections {
		t.Error("the new leader stood for no election")
	}
}

func TestStats_HangingLogWriteHasAnAge(t *testing.T) {
	stats, writing, release, answered := newStats(), make(chan struct{}), make(chan struct{}), make(chan error)
	log := timedLog{stats: stats, LogStore: scriptedStore{StoreLogsFunc: func() error {
		close(writing)
		<-release
		return nil
	}}}
	go func() { answered <- log.StoreLogs(nil) }()
	<-writing
	eventually(t, "the write gets older", func() bool { return stats.LogWriteAge() > 10*time.Millisecond })
	if n := stats.LogWrites.Counts().Count; n != 0 {
		t.Errorf("%d writes done while one hangs", n)
	}
	close(release)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	if n := stats.LogWrites.Counts(); stats.LogWriteAge() != 0 || n.Count != 1 || n.Sum < 0.01 {
		t.Errorf("after the write: age %s, %+v", stats.LogWriteAge(), n)
	}
}

// TestStoreStats_FollowTheStore looks at the numbers that have a meaning of their own.
func TestStoreStats_FollowTheStore(t *testing.T) {
	m := newMachine(t)
	before := m.store.Stats()
	m.do(1, group("c", "a", "b"))
	for i := range 50 {
		m.do(2, say("c", "a", string(rune('A'+i)), "text"))
	}
	if n := m.store.OutboxPending(); n != 2 {
		t.Errorf("a chat of two leaves %d records in the outbox", n)
	}
	m.do(3, AckOutbox{Through: 1})
	if n := m.store.OutboxPending(); n != 1 {
		t.Errorf("%d of 2 records wait after one was acknowledged", n)
	}
	if _, err := m.store.Checkpoint(t.TempDir() + "/c"); err != nil { // which flushes
		t.Fatal(err)
	}
	after := m.store.Stats()
	if before.DiskBytes == 0 || after.DiskBytes <= before.DiskBytes || after.Flushes == before.Flushes || after.FlushedBytes == 0 ||
		after.ReadAmplification == 0 || after.MemTableBytes == 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if err := m.store.Close(); err != nil {
		t.Fatal(err)
	}
	if s := m.store.Stats(); s != (StoreStats{}) {
		t.Errorf("a closed store has %+v", s)
	}
}
