package raftfsm

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/sequencer/wire"
)

// heldLog is the log of a disk that takes no write while it is held.
type heldLog struct {
	raft.LogStore
	disk *heldDisk
}

type heldDisk struct{ mu sync.RWMutex } // held for writing: nothing is written

func (d *heldDisk) hold()    { d.mu.Lock() }
func (d *heldDisk) release() { d.mu.Unlock() }

func (l heldLog) StoreLog(e *raft.Log) error { return l.StoreLogs([]*raft.Log{e}) }

func (l heldLog) StoreLogs(entries []*raft.Log) error {
	l.disk.mu.RLock()
	defer l.disk.mu.RUnlock()
	return l.LogStore.StoreLogs(entries)
}

// earlyTrio is a group whose leader's disk is held with an entry of one append, which both followers have and the leader's raft believes to
// be committed.
func earlyTrio(t *testing.T, lifted gate) (c *trio, disk *heldDisk, leader *Group, entry uint64, p *Proposal) {
	disks := make([]*heldDisk, 3)
	c = newTrio(t, func(node int, cfg *Config) {
		disks[node] = &heldDisk{}
		cfg.WrapLogStore = func(l raft.LogStore) raft.LogStore { return heldLog{l, disks[node]} }
		cfg.lifted, cfg.Timing.Commit = lifted, 10*time.Millisecond
	})
	c.append(3)
	at := c.leader()
	leader, disk = c.groups[at], disks[at]
	disk.hold()
	entry = leader.raft.LastIndex() + 1
	c.acked++
	p = leader.Propose(AppendEntry(nil, wire.OldestFormat, 1, 1, AppendCommand(nil, say("c", "a", "4", "text 4"))))
	eventually(t, "the leader believes that the entry is committed", func() bool { return leader.raft.CommitIndex() >= entry })
	return c, disk, leader, entry, p
}

// rounds waits until the leader has told its followers so often how far it is that they know.
func rounds(t *testing.T, leader *Group) {
	t.Helper()
	from := leader.stats.Heartbeats.Counts().Count
	eventually(t, "ten rounds of heartbeats", func() bool { return leader.stats.Heartbeats.Counts().Count >= from+20 })
}

func TestEarlyLog_NothingFollowsBeforeTheLeadersDiskHasIt(t *testing.T) {
	c, disk, leader, entry, p := earlyTrio(t, 0)
	rounds(t, leader)
	for i, g := range c.groups {
		if applied, _ := g.Store().Applied(); applied >= entry {
			t.Errorf("%s has applied %d, which the leader's disk does not have", c.peers[i].ID, entry)
		}
	}
	select {
	case err := <-p.done:
		t.Errorf("it was answered: %v", err)
	default:
	}
	disk.release()
	if results, err := p.Wait(); err != nil || len(results) != 1 || results[0].Append.Seq != 4 {
		t.Fatalf("after it was written: %+v, %v", results, err)
	}
	c.check()
}

// The test above can fail: each gate is one that it sees open.
func TestEarlyLog_OpenGatesAreSeen(t *testing.T) {
	t.Run("apply", func(t *testing.T) {
		c, disk, leader, entry, p := earlyTrio(t, gateApply)
		defer disk.release()
		if _, err := p.Wait(); err != nil {
			t.Fatal(err)
		}
		if applied, _ := leader.Store().Applied(); applied < entry || c.acked != 4 {
			t.Fatalf("answered, and applied up to %d of %d", applied, entry)
		}
	})
	t.Run("commit", func(t *testing.T) {
		c, disk, leader, entry, _ := earlyTrio(t, gateCommit)
		defer disk.release()
		eventually(t, "a follower has applied what the leader's disk does not have", func() bool {
			for _, g := range c.groups {
				if applied, _ := g.Store().Applied(); g != leader && applied >= entry {
					return true
				}
			}
			return false
		})
	})
}

// With one follower away, the next leader commits nothing of what the one before has in memory alone.
func TestEarlyLog_NextLeaderCommitsNothingBeforeItIsOnTheOldOnesDisk(t *testing.T) {
	c, disk, old, entry, _ := earlyTrio(t, 0)
	next := -1
	for i, g := range c.groups {
		switch {
		case g == old:
		case next < 0:
			next = i
		default:
			c.stop(i)
		}
	}
	g := c.groups[next]
	eventually(t, "the follower has the entry", func() bool { return g.raft.LastIndex() >= entry })
	_ = old.raft.LeadershipTransferToServer(c.peers[next].serverID(), c.peers[next].serverAddr()).Error() // it may need another election
	eventually(t, "the follower leads", func() bool { return g.raft.State() == raft.Leader })
	rounds(t, g)
	if applied, _ := g.Store().Applied(); applied >= entry {
		t.Errorf("%d was applied, and one disk of three has it", entry)
	}
	disk.release()
	c.check()
}

// What fails after raft was told that it is stored is fatal, and nobody waits for it any more.
func TestEarlyLog_FailedWriteIsFatal(t *testing.T) {
	var told []error
	g := &Config{Fatal: func(err error) { told = append(told, err) }, Full: func() bool { return false }}
	l := newEarlyLog(scriptedStore{StoreLogsFunc: func() error { return errInjected }}, g)
	l.wrote([]*raft.Log{{Index: 1}}, errInjected)
	if len(told) != 1 || !errors.Is(told[0], errInjected) {
		t.Fatalf("told of %v", told)
	}
	if err := l.await(1); !errors.Is(err, errInjected) {
		t.Errorf("who waits is told %v", err)
	}
	if err := l.StoreLog(&raft.Log{Index: 2}); !errors.Is(err, errInjected) {
		t.Errorf("who stores is told %v", err)
	}
	l.close()
}
