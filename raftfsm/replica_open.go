package raftfsm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// A replica that was made has a file REPLICA. It is written once all else is there, so that a replica with it and without
// its log has lost the log, where an empty directory is a replica that never was.

// checkPresent demands the log of a replica that was made.
func checkPresent(dir string) error {
	if err := markedCorrupt(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, logName)
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Size() > 0 || !IsReplica(dir):
	case err == nil:
		return corrupt(path, errors.New("is empty"))
	case errors.Is(err, os.ErrNotExist):
		return corrupt(path, err)
	}
	return checkBolt(path)
}

// made records that the replica has been made.
func made(cfg Config) error {
	path := filepath.Join(cfg.Dir, replicaName)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	text := fmt.Sprintf("replica %s of group %d, made %s\n", Peer{ID: cfg.Node, Generation: cfg.Generation}.Replica(),
		cfg.Group, time.Now().UTC().Format(time.RFC3339))
	if err := errors.Join(writeDurably(path, []byte(text)), syncDir(cfg.Dir), syncDir(filepath.Dir(cfg.Dir))); err != nil {
		return fmt.Errorf("record that the replica is made: %w", err)
	}
	return nil
}

// past is what the files of a replica say of it, before raft reads them.
type past struct {
	applied     uint64 // of the state
	first, last uint64 // of the log
	term        uint64 // the highest of log and snapshots
	snapshot    uint64 // index of the newest snapshot
	captured    uint64 // index up to which the newest snapshot's files go

	contradicted bool // the log has another entry where the newest snapshot ends
}

// examine verifies the files of a replica and that they fit one another.
func (g *Group) examine(snapshots *snapshotStore) (p past, err error) {
	if g.checked != nil {
		if err := g.checked.verify(); err != nil {
			return p, err
		}
	}
	if err := g.lookBack(&p, snapshots); err != nil {
		return p, err
	}
	used := p.applied > 0 || p.last > 0 || p.snapshot > 0
	if err := g.stable.verify(used, p.term); err != nil {
		return p, err
	}
	switch {
	case p.first > 1 && p.snapshot < p.first-1:
		return p, corrupt("snapshots", fmt.Errorf("the log begins at %d, the newest snapshot is of %d", p.first, p.snapshot))
	case p.applied > max(p.last, p.captured):
		return p, corrupt("the log", fmt.Errorf("the log ends at %d, the state at %d", p.last, p.applied))
	}
	return p, g.store.verifyNewest(g.cfg.VerifyBytes)
}

// lookBack fills in p.
func (g *Group) lookBack(p *past, snapshots *snapshotStore) error {
	var err error
	p.applied, _ = g.store.Applied()
	if p.first, err = g.entries.FirstIndex(); err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	if p.last, err = g.entries.LastIndex(); err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	if p.last > 0 {
		var l raft.Log
		if err := g.entries.GetLog(p.last, &l); err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		p.term = l.Term
	}
	all, err := snapshots.List()
	if err != nil {
		return err
	}
	for i, s := range all {
		index, err := g.store.verify(snapshots.state(s.ID))
		if err == nil && index < s.Index {
			err = fmt.Errorf("its state ends at %d", index)
		}
		if err != nil {
			return openDamage(snapshots.state(s.ID), fmt.Errorf("snapshot %s: %w", s.ID, err))
		}
		if i == 0 {
			p.snapshot, p.captured, p.term = s.Index, index, max(p.term, s.Term)
			p.contradicted, err = g.contradicts(s.Index, s.Term)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// contradicts reports whether the log has an entry of another term at index.
func (g *Group) contradicts(index, term uint64) (bool, error) {
	var l raft.Log
	err := g.entries.GetLog(index, &l)
	if errors.Is(err, raft.ErrLogNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the log: %w", err)
	}
	return l.Term != term, nil
}

// openDamage tells whether an error of opening a database in dir is damage, and makes it ErrCorrupt then. It is not where
// the system refuses (no space, no rights), nor where a newer program wrote the files.
func openDamage(dir string, err error) error {
	if err == nil || isDamage(err) {
		return err
	}
	if desc, peekErr := pebble.Peek(dir, vfs.Default); peekErr == nil && desc.Exists && desc.FormatMajorVersion > pebbleFormat {
		return err
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		switch errno {
		case syscall.ENOENT, syscall.EUCLEAN, syscall.EBADMSG:
		default:
			return err
		}
	}
	if errors.Is(err, errVersion) {
		return err
	}
	return corrupt(dir, err)
}
