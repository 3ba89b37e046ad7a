package sequencer_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// disks are the free bytes that each node of a cluster sees.
type disks [3]atomic.Int64

func (d *disks) option(i int, cfg *sequencer.Config) {
	d[i].Store(1 << 30)
	cfg.MinFree = 100 << 20
	cfg.DiskFree = func(string) (int64, int64, error) { return d[i].Load(), 1 << 40, nil }
}

func leadsAny(n *sequencer.Node) bool {
	for g := range wire.GroupID(n.Groups()) {
		if n.Leads(g) {
			return true
		}
	}
	return n.Leads(wire.MetaGroup)
}

// TestCluster_OneDiskFills has the disks of one node after the other fill and be emptied: it leads nothing meanwhile, takes
// no entry once it is full, and comes back without a restart. Clients see none of it.
func TestCluster_OneDiskFills(t *testing.T) {
	var d disks
	underLoad(t, func(c *sequencertest.Cluster, load *sequencertest.Load) {
		for i, free := range []int64{50 << 20, 1 << 20, 0} {
			d[i].Store(free)
			c.Eventually("the full node to lead nothing", func() bool { return !leadsAny(c.Node(i)) })
			load.Await(200)
			d[i].Store(1 << 30)
			c.CatchUp(i)
		}
	}, d.option)
}

// TestCluster_AllDisksAreLow refuses appends with a typed error, goes on with reads, and recovers without a restart.
func TestCluster_AllDisksAreLow(t *testing.T) {
	var d disks
	c := sequencertest.Start(t, 3, 1, d.option)
	client := c.Client()
	sequencertest.MakeChats(t, client, []string{"a", "b"}, "chat")
	appends := func(id string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := client.Do(ctx, "chat", "CHAT.APPEND", "chat", "a", id, "text")
		return err
	}
	if err := appends("1"); err != nil {
		t.Fatal(err)
	}
	last := func() int64 {
		r, err := client.Do(t.Context(), "chat", "CHAT.HEAD", "chat")
		if err != nil || len(r.Elems()) != 1 {
			t.Fatalf("a read: %v, %v", r, err)
		}
		return int64(r.Elems()[0].Field("lastSeq").Num())
	}
	var stored int64
	for _, free := range []int64{50 << 20, 1 << 20} {
		for i := range d {
			d[i].Store(free)
		}
		c.Eventually("appends to be refused", func() bool { return errors.Is(appends("2"), wire.ErrBusy) })
		if err := appends("2"); !strings.Contains(err.Error(), "disk is nearly full") {
			t.Errorf("the refusal says %v", err)
		}
		if free < 25<<20 {
			continue // without entries there is no new leader, and the old one may have to prove itself
		}
		stored = last()
	}
	for i := range d {
		d[i].Store(1 << 30)
	}
	c.Eventually("appends to be taken again", func() bool { return appends("3") == nil })
	if n := last(); n != stored+1 {
		t.Errorf("the chat ends at %d, it was at %d when appends were refused: what was refused is stored", n, stored)
	}
}

// TestCluster_RealDiskFills fills a small file system under one node.
func TestCluster_RealDiskFills(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount")
	}
	mount := t.TempDir()
	if err := syscall.Mount("quorate", mount, "tmpfs", 0, "size=400m"); err != nil {
		t.Skipf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mount, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(mount, "ballast")
	underLoad(t, func(c *sequencertest.Cluster, load *sequencertest.Load) {
		var fs syscall.Statfs_t
		c.Eventually("the reserve to be made", func() bool {
			_, err := os.Stat(filepath.Join(mount, "data", "RESERVE"))
			return err == nil
		})
		if err := syscall.Statfs(mount, &fs); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(ballast)
		if err != nil {
			t.Fatal(err)
		}
		room := int64(fs.Bavail) * fs.Bsize
		if err := errors.Join(syscall.Fallocate(int(f.Fd()), 0, 0, room-(2<<20)), f.Close()); err != nil {
			t.Fatal(err)
		}
		c.Eventually("the reserve to be released", func() bool {
			_, err := os.Stat(filepath.Join(mount, "data", "RESERVE"))
			return errors.Is(err, os.ErrNotExist)
		})
		c.Eventually("the full node to lead nothing", func() bool { return !leadsAny(c.Node(0)) })
		load.Await(500)
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		c.CatchUp(0)
	}, func(i int, cfg *sequencer.Config) {
		if i == 0 {
			cfg.Dir, cfg.MinFree, cfg.SegmentBytes = filepath.Join(mount, "data"), 64<<20, 4<<20
		}
	})
}
