package sequencer_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// TestCluster_EitherLogStore kills and restarts every node under load, with each kind of log.
func TestCluster_EitherLogStore(t *testing.T) {
	for _, kind := range []string{sequencer.LogWAL, sequencer.LogBolt} {
		t.Run(kind, func(t *testing.T) {
			underLoad(t, func(c *sequencertest.Cluster, load *sequencertest.Load) {
				for i := range c.Len() {
					c.Kill(i)
					load.Await(100)
					c.Restart(i)
					c.WaitReady()
				}
				for i := range c.Len() {
					c.Kill(i)
				}
				for i := range c.Len() {
					c.Restart(i)
				}
				c.WaitReady()
			}, snapshotsOften, func(_ int, cfg *sequencer.Config) { cfg.LogStore = kind })
		})
	}
}

func TestNode_LogStoreIsFixedAndMustBeThere(t *testing.T) {
	dir := t.TempDir()
	var cfg sequencer.Config
	n := openNode(t, func(c *sequencer.Config) { c.Dir = dir; cfg = *c })
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	other := cfg
	other.LogStore = sequencer.LogBolt
	if n, err := sequencer.Open(other); err == nil || !strings.Contains(err.Error(), "log store wal") {
		t.Errorf("opened with the other kind: %v, %v", n, err)
	}
	other.LogStore = "tape"
	if n, err := sequencer.Open(other); err == nil {
		t.Errorf("opened with a kind that is none: %v", n)
	}
	if err := os.RemoveAll(filepath.Join(dir, "wal")); err != nil {
		t.Fatal(err)
	}
	n, err := sequencer.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for group := range wire.GroupID(2) {
		if n.Store(group) != nil {
			t.Errorf("the replica of group %d was opened without its log", group)
		}
	}
}
