package sequencer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/quorate/quorate/backup"
	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// A node whose directory holds a restored backup begins with it: as one of the first of a new cluster, all of which hold the same.
// Nothing of the cluster that was saved comes with it but its groups, its settings and its format: its map, its nodes, their
// replicas' names, its join tokens and its leases were in the meta group, of which there is no backup.

// restored is what a directory holds of a backup.
type restored struct {
	Format     int               `json:"format"` // 1
	Backup     string            `json:"backup"`
	Manifest   backup.Sum        `json:"manifest"`  // of its bytes
	ClusterID  string            `json:"clusterId"` // of the cluster that was saved
	Epoch      uint64            `json:"epoch"`     // of that
	DataFormat wire.Format       `json:"dataFormat"`
	Groups     int               `json:"groups"`
	Settings   map[string]string `json:"settings"`
}

const (
	restoreDirName  = "restore"       // in a node's directory; a checkpoint of each group
	restoredName    = "restored.json" // there; written last
	restoredFormat  = 1
	restoreNameStem = "group-"
)

// ErrHalfRestored says that a restore was cut short. What it left is not to be served.
var ErrHalfRestored = errors.New("a restore was not finished: delete the directory's content and restore again")

var errRestoredJoin = errors.New("sequencer: a node that was restored is one of the first of a new cluster: name them with Bootstrap, it cannot Join one")

func restoreDir(dir string) string { return filepath.Join(dir, restoreDirName) }

// restoredGroup is where a restored checkpoint is.
func restoredGroup(dir string, g wire.GroupID) string {
	return filepath.Join(restoreDir(dir), restoreNameStem+strconv.Itoa(int(g)))
}

// readRestored tells what a node's directory holds of a backup; nil is nothing.
func readRestored(dir string) (*restored, error) {
	if _, err := os.Stat(restoreDir(dir)); errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // nothing was restored, which is usual
	}
	content, err := os.ReadFile(filepath.Join(restoreDir(dir), restoredName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrHalfRestored)
	}
	r := &restored{}
	if err == nil {
		err = json.Unmarshal(content, r)
	}
	if err == nil && (r.Format != restoredFormat || r.Groups < 1 || r.Groups > maxGroups) {
		err = fmt.Errorf("format %d, %d groups", r.Format, r.Groups)
	}
	if err == nil && !r.DataFormat.Known() {
		err = fmt.Errorf("%w: format %d", wire.ErrFormat, r.DataFormat)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", restoredName, dir, err)
	}
	return r, nil
}

// id tells backups apart; "" is none.
func (r *restored) id() string {
	if r == nil {
		return ""
	}
	return r.Backup + "/" + r.Manifest.String()
}

func restoredText(id string) string {
	if id == "" {
		return "nothing"
	}
	return "backup " + id
}

// claimRestored notes what a node without a cluster begins with, for its card. A node that lost it on the way does not begin.
func (n *Node) claimRestored() error {
	f := n.identity.get()
	switch {
	case n.restored != nil && f.ClusterID == "" && f.Restored == "":
		return n.identity.update(func(f *identityFile) { f.Restored = n.restored.id() })
	case f.First != nil && f.First.Restored != nil && !f.First.Made && n.restored.id() != f.Restored,
		f.ClusterID == "" && n.restored.id() != f.Restored:
		return fmt.Errorf("%s: %w", n.cfg.Dir, ErrHalfRestored)
	}
	return nil
}

// beganRestored tells whether the cluster began with a backup.
func (n *Node) beganRestored() bool {
	if m := n.clusterMap(); m != nil {
		return wire.EpochOf(m.Settings) != wire.FirstEpoch
	}
	return n.identity.get().Restored != ""
}

// seed gives the checkpoint that a replica of the first nodes begins with, "" for none.
func (n *Node) seed(g wire.GroupID, first []raftfsm.Peer) string {
	if len(first) == 0 || g == wire.MetaGroup || n.restored == nil {
		return ""
	}
	return restoredGroup(n.cfg.Dir, g)
}

// dropRestored deletes what was restored once all replicas of this node have begun with it.
func (n *Node) dropRestored() error {
	if n.restored == nil {
		return nil
	}
	if err := os.RemoveAll(restoreDir(n.cfg.Dir)); err != nil {
		return fmt.Errorf("remove what was restored: %w", err)
	}
	n.restored = nil
	return syncDir(n.cfg.Dir)
}

// firstMap is the map that the cluster begins with, but for its epoch. All first nodes come to the same.
func (f *firstCluster) firstMap(clusterID string, groups int) *wire.ClusterMap {
	if f.Restored == nil {
		return firstMap(clusterID, groups, f.Replicas, f.Nodes, nil)
	}
	m := firstMap(clusterID, groups, f.Replicas, f.Nodes, f.Restored.Settings)
	m.Format = f.Restored.DataFormat
	return m
}

// setEpoch gives the map of a cluster that begins with a backup its epoch. The first leader chooses it.
func (f *firstCluster) setEpoch(m *wire.ClusterMap, now wire.Millis) {
	if f.Restored == nil {
		return
	}
	if m.Settings == nil {
		m.Settings = map[string]string{}
	}
	m.Settings[wire.SettingEpoch] = strconv.FormatUint(max(f.Restored.Epoch+1, uint64(now)), 10)
}
