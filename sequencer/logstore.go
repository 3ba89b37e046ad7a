package sequencer

import (
	"fmt"
	"path/filepath"

	"github.com/quorate/quorate/raftfsm/wal"
	"github.com/quorate/quorate/sequencer/wire"
)

// openLog opens the log that the replicas of this node share, where Config.LogStore wants one. A node that has replicas
// keeps the kind that they were made with, and must still have the log.
func (n *Node) openLog() error {
	f := n.identity.get()
	if len(f.Made) > 0 {
		orDefault(&f.LogStore, LogBolt) // there was no other kind before it was written down
	}
	switch {
	case len(f.Made) == 0 && f.LogStore != n.cfg.LogStore:
		if err := n.identity.update(func(f *identityFile) { f.LogStore = n.cfg.LogStore }); err != nil {
			return err
		}
	case f.LogStore != n.cfg.LogStore:
		return fmt.Errorf("%s was made with the log store %s, the configuration says %s: it can not change", n.cfg.Dir,
			f.LogStore, n.cfg.LogStore)
	}
	if n.cfg.LogStore != LogWAL {
		return nil
	}
	var err error
	n.wal, err = n.openDamagedLog(filepath.Join(n.cfg.Dir, "wal"), wal.Options{
		SegmentBytes: n.cfg.SegmentBytes, MustExist: len(f.Made) > 0,
	})
	return err
}

// sweepLog deletes the logs of replicas that this node no longer has.
func (n *Node) sweepLog() error {
	if n.wal == nil {
		return nil
	}
	for _, id := range n.wal.Groups() {
		if n.replicas().host(wire.GroupID(id)) != nil {
			continue
		}
		if err := n.wal.Remove(id); err != nil {
			return fmt.Errorf("delete the log of group %d: %w", id, err)
		}
	}
	return nil
}

// dropLog deletes the log of a replica that is gone.
func (n *Node) dropLog(id wire.GroupID) error {
	if n.wal == nil {
		return nil
	}
	return n.wal.Remove(uint32(id))
}
