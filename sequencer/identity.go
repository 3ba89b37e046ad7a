package sequencer

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/quorate/quorate/sequencer/wire"
)

// identityFile is the content of cluster.json: whose data a directory holds.
type identityFile struct {
	Format      int           `json:"format"` // 2
	NodeID      wire.NodeID   `json:"nodeId"`
	Incarnation string        `json:"incarnation"` // of the data: made with the directory, gone with it
	Created     wire.Millis   `json:"created"`
	ClusterID   string        `json:"clusterId"`          // "" until the node is part of a cluster
	Groups      int           `json:"groups"`             // of the cluster; 0 until it is known
	LogStore    string        `json:"logStore"`           // Config.LogStore of the replicas
	Restored    string        `json:"restored,omitempty"` // the backup that the cluster began with, on its first nodes
	First       *firstCluster `json:"first,omitempty"`

	// Made is the highest generation of each group's replicas that this node has ever begun to write. A replica is made
	// once: where its files are gone, so is what it had voted for, and it must not come back.
	Made map[wire.GroupID]uint64 `json:"made,omitempty"`
	// MapVersion is the highest version of the cluster map that this node has acted on. After a crash its replica of the
	// map may show an earlier one for a while.
	MapVersion uint64 `json:"mapVersion"`
}

// firstCluster is what the first nodes of a cluster begin with, until there is a cluster map.
type firstCluster struct {
	Replicas int             `json:"replicas"`
	Nodes    []wire.NodeInfo `json:"nodes"`
	Restored *restored       `json:"restored,omitempty"` // the backup that the cluster begins with; nil for none
	Made     bool            `json:"made"`               // all replicas that this node begins with
}

const (
	identityName   = "cluster.json"
	identityFormat = 2
)

// identity is a node's cluster.json, kept on disk with every change.
type identity struct {
	dir string

	mu   sync.Mutex
	file identityFile
}

// claimDir makes sure that the data in dir is this node's, or marks a directory without data as such. groups is the number
// that the node was told, 0 for none; where the cluster has another number it is an error.
func claimDir(dir string, node wire.NodeID, groups int, now wire.Millis) (*identity, error) {
	id := &identity{dir: dir}
	name := filepath.Join(dir, identityName)
	content, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		var incarnation [16]byte
		if _, err := rand.Read(incarnation[:]); err != nil {
			return nil, fmt.Errorf("claim %s: %w", dir, err)
		}
		return id, id.update(func(f *identityFile) {
			*f = identityFile{Format: identityFormat, NodeID: node, Incarnation: hex.EncodeToString(incarnation[:]), Created: now}
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if err := json.Unmarshal(content, &id.file); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	f := &id.file
	switch {
	case f.Format != identityFormat:
		return nil, fmt.Errorf("%s has format %d, this program knows %d", name, f.Format, identityFormat)
	case f.NodeID != node:
		return nil, fmt.Errorf("%s holds the data of node %s, not of %s", dir, f.NodeID, node)
	case f.Incarnation == "":
		return nil, fmt.Errorf("%s names no incarnation", name)
	case groups != 0 && f.Groups != 0 && f.Groups != groups && f.Restored == "": // of a restored one it is the backup's
		return nil, fmt.Errorf("%s belongs to a cluster of %d groups, the configuration says %d: the number can not change",
			dir, f.Groups, groups)
	}
	return id, nil
}

// get gives a copy of the file. Its maps and slices are not to be changed.
func (id *identity) get() identityFile {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.file
}

// update changes the file, durably, before it returns.
func (id *identity) update(change func(f *identityFile)) error {
	id.mu.Lock()
	defer id.mu.Unlock()
	next := id.file
	change(&next)
	content, err := json.MarshalIndent(next, "", "  ")
	if err == nil {
		err = writeDurably(filepath.Join(id.dir, identityName), append(content, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", identityName, err)
	}
	id.file = next
	return nil
}

// writeDurably writes a file so that it is there as a whole or not at all, whenever the machine stops.
func writeDurably(name string, content []byte) error {
	dir := filepath.Dir(name)
	tmp, err := os.CreateTemp(dir, filepath.Base(name)+"-*.tmp")
	if err != nil {
		return err
	}
	_, err = tmp.Write(content)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return errors.Join(err, removeIfThere(tmp.Name()))
	}
	return nil
}
