package raftfsm

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// bulkEntry is how many messages an entry holds while the group is filled.
const bulkEntry = 1024

// TestSnapshots_AtSize fills a group, takes a snapshot while appends go on, and has a new replica come. make snapshots runs it with
// five million messages; the numbers are printed. What it demands holds at every size: no second copy on the disk, and
// the new replica comes by one installation.
func TestSnapshots_AtSize(t *testing.T) {
	total := 20_000
	if n, err := strconv.Atoi(os.Getenv("SNAPSHOT_MESSAGES")); err == nil {
		total = n
	}
	c := newTrio(t, func(_ int, cfg *Config) {
		// Elections are not what is measured, and the whole machine may be busy.
		cfg.Timing = Timing{Heartbeat: 3 * time.Second, Election: 3 * time.Second, Lease: 2 * time.Second}
		cfg.SnapshotEntries, cfg.ScrubBytes = 1<<40, -1
	})
	c.do(group("c", "a", "b"))
	away := c.follower()
	began := time.Now()
	fill(c, total)
	t.Logf("%d messages in %s", total, time.Since(began).Round(time.Millisecond))
	c.stop(away)
	c.wipe(away)

	leader := c.groups[c.leader()]
	dir := c.nodeDir(slices.Index(c.groups, leader))
	before := pace(c, leader, 300)
	taken := make(chan error, 1)
	began = time.Now()
	go func() { taken <- cutNow(leader) }()
	during := paceUntil(c, leader, taken)
	t.Logf("snapshot in %s", time.Since(began).Round(time.Millisecond))
	apart := diskUse(t, filepath.Join(dir, "store", "db"))
	both := diskUse(t, filepath.Join(dir, "store", "db"), filepath.Join(dir, "snapshots"))
	t.Logf("append p50/p99: before %s, during the snapshot and 2 s %s; disk: state %d MB, with the snapshot %d MB", before, during,
		apart>>20, both>>20)
	if slack := int64(64 << 20); both > apart+apart/4+slack {
		t.Errorf("state and snapshot take %d bytes, the state alone %d", both, apart)
	}

	began = time.Now()
	c.start(away)
	eventually(t, "the wiped replica is back", func() bool {
		index, _ := c.groups[away].Store().Applied()
		want, _ := leader.Store().Applied()
		return index >= want
	})
	took := time.Since(began)
	t.Logf("a new replica after %s, %.0f MB/s", took.Round(time.Millisecond), float64(apart)/1e6/took.Seconds())
	if n := c.groups[away].Status().Installs; n != 1 {
		t.Errorf("%d snapshots were installed", n)
	}
	if head, err := c.groups[away].Store().Head("c"); err != nil || head.LastSeq < wire.Seq(total) {
		t.Errorf("the new replica ends at %+v: %v", head, err)
	}
}

// fill appends messages in large entries, a few in flight.
func fill(c *trio, total int) {
	leader := c.groups[c.leader()]
	var flying []*Proposal
	for at := 0; at < total; at += bulkEntry {
		var body []byte
		for i := at; i < at+bulkEntry; i++ {
			body = AppendCommand(body, say("c", "a", fmt.Sprint("bulk-", i), fmt.Sprintf("%0128d", i*7919)))
		}
		flying = append(flying, leader.Propose(AppendEntry(nil, wire.OldestFormat, 1, bulkEntry, body)))
		if len(flying) == 4 {
			if _, err := flying[0].Wait(); err != nil {
				c.t.Fatal(err)
			}
			flying = flying[1:]
		}
	}
	for _, p := range flying {
		if _, err := p.Wait(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// cutNow takes a snapshot and leaves hardly any log before it.
func cutNow(g *Group) error {
	reload := g.raft.ReloadableConfig()
	reload.TrailingLogs = 1
	if err := g.raft.ReloadConfig(reload); err != nil {
		return err
	}
	return g.raft.Snapshot().Error()
}

// latencies are those of appends.
type latencies []time.Duration

func (l latencies) String() string {
	slices.Sort(l)
	return fmt.Sprintf("%s/%s of %d", l[len(l)/2].Round(10*time.Microsecond),
		l[len(l)*99/100].Round(10*time.Microsecond), len(l))
}

// pace appends one message after the other, n in all.
func pace(c *trio, g *Group, n int) (l latencies) {
	for range n {
		c.acked++
		began := time.Now()
		entry := AppendEntry(nil, wire.OldestFormat, 1, 1, AppendCommand(nil, say("c", "a", fmt.Sprint("paced-", c.acked), "text")))
		if _, err := g.Propose(entry).Wait(); err != nil {
			c.t.Fatal(err)
		}
		l = append(l, time.Since(began))
	}
	return l
}

// paceUntil appends until taken answers and for 2 s more, when the log is cut and files are removed.
func paceUntil(c *trio, g *Group, taken <-chan error) (l latencies) {
	var end time.Time
	for end.IsZero() || time.Now().Before(end) {
		select {
		case err := <-taken:
			if err != nil {
				c.t.Fatal(err)
			}
			end, taken = time.Now().Add(2*time.Second), nil
		default:
		}
		l = append(l, pace(c, g, 1)...)
	}
	return l
}

// diskUse is what the files below dirs take, each counted once however often it is linked.
func diskUse(t *testing.T, dirs ...string) (bytes int64) {
	t.Helper()
	seen := map[uint64]bool{}
	for _, dir := range dirs {
		err := filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
			if err != nil {
				return nil //nolint:nilerr // a compaction removed it
			}
			if s := info.Sys().(*syscall.Stat_t); !seen[s.Ino] {
				seen[s.Ino] = true
				bytes += s.Blocks * 512
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return bytes
}
