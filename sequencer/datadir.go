package sequencer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/quorate/quorate/sequencer/wire"
)

// clusterFile is the content of cluster.json: what a data directory was made for and may never change.
type clusterFile struct {
	Format  int         `json:"format"` // 1
	NodeID  wire.NodeID `json:"nodeId"`
	Groups  int         `json:"groups"`
	Created wire.Millis `json:"created"`
}

const (
	clusterName   = "cluster.json"
	clusterFormat = 1
)

// lockDir takes a node's data directory for this process, and makes it where there is none. The lock ends with the
// process, or when the file is closed.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is in use by another process", dir)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return lock, nil
}

// isNewDir reports whether no node has claimed the directory.
func isNewDir(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, clusterName))
	return errors.Is(err, os.ErrNotExist)
}

// claimDir makes sure that the data in dir belongs to this node and has this number of groups. A directory without data
// is marked as such a node's.
func claimDir(dir string, node wire.NodeID, groups int, now wire.Millis) error {
	name := filepath.Join(dir, clusterName)
	content, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return writeCluster(dir, name, clusterFile{Format: clusterFormat, NodeID: node, Groups: groups, Created: now})
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	var c clusterFile
	if err := json.Unmarshal(content, &c); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	switch {
	case c.Format != clusterFormat:
		return fmt.Errorf("%s has format %d, this program knows %d", name, c.Format, clusterFormat)
	case c.NodeID != node:
		return fmt.Errorf("%s holds the data of node %s, not of %s", dir, c.NodeID, node)
	case c.Groups != groups:
		return fmt.Errorf("%s was made with %d groups, the configuration says %d: the number can not change",
			dir, c.Groups, groups)
	}
	return nil
}

// writeCluster writes the file so that it is there as a whole or not at all, whenever the machine stops.
func writeCluster(dir, name string, c clusterFile) error {
	content, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	tmp, err := os.CreateTemp(dir, "cluster-*.tmp")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = tmp.Write(append(content, '\n'))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, errors.Join(err, removeIfThere(tmp.Name())))
	}
	return nil
}

func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
