package sequencer_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
)

// TestCluster_ReplacesDamagedReplicas damages files of one node while it is down. It comes back without the replicas that
// they are of, never votes with them, and gets new ones from the others, under load all the while.
func TestCluster_ReplacesDamagedReplicas(t *testing.T) {
	for name, damaged := range map[string]struct{ store, files string }{
		"term and vote": {sequencer.LogWAL, "group-*/raft.db"},
		"logs in bbolt": {sequencer.LogBolt, "group-*/raft.db"},
		"shared log":    {sequencer.LogWAL, "wal/*"},
	} {
		t.Run(name, func(t *testing.T) {
			underLoad(t, func(c *sequencertest.Cluster, load *sequencertest.Load) {
				load.Await(300)
				c.Kill(1)
				var dir string
				c.Configure(1, func(cfg *sequencer.Config) { dir = cfg.Dir })
				files, err := filepath.Glob(filepath.Join(dir, damaged.files))
				if err != nil || len(files) == 0 {
					t.Fatalf("files: %v, %v", files, err)
				}
				for _, path := range files {
					b, err := os.ReadFile(path)
					b[min(20, len(b)-1)] ^= 1
					if err := errors.Join(err, os.WriteFile(path, b, 0o600)); err != nil {
						t.Fatal(err)
					}
				}
				load.Await(100)
				c.Restart(1)
				c.WaitReady()
				c.Settled()
				load.Await(100)
				for g, nodes := range voters(c) {
					if text := strings.Join(nodes, " "); !strings.Contains(text, "n2") {
						t.Errorf("group %d has no voter on n2: %s", g, text)
					}
				}
				if aside, err := filepath.Glob(filepath.Join(dir, "group-*.corrupt-*")); err != nil || len(aside) == 0 {
					t.Errorf("set aside: %v, %v", aside, err)
				}
			}, snapshotsOften, func(_ int, cfg *sequencer.Config) { cfg.LogStore = damaged.store })
		})
	}
}
