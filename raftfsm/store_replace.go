package raftfsm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/sequencer/wire"
)

// The store's directory holds the state in db. While a snapshot replaces it there are also db.new, the state to come, and
// db.old, the one set aside.
func (s *Store) current() string { return filepath.Join(s.dir, "db") }
func (s *Store) coming() string  { return filepath.Join(s.dir, "db.new") }
func (s *Store) retired() string { return filepath.Join(s.dir, "db.old") }

// settle undoes or finishes a replacement: without db, the one set aside is the state; with db, the others are rubbish.
func (s *Store) settle() error {
	_, err := os.Stat(s.current())
	if errors.Is(err, os.ErrNotExist) {
		if err = os.Rename(s.retired(), s.current()); errors.Is(err, os.ErrNotExist) {
			err = nil // a new store
		} else if err == nil {
			err = syncDir(s.dir)
		}
	}
	for _, rubbish := range []string{s.retired(), s.coming()} {
		if err == nil {
			err = os.RemoveAll(rubbish)
		}
	}
	if err != nil {
		return fmt.Errorf("settle the store: %w", err)
	}
	return nil
}

// Checkpoint puts all applied state on disk and a copy of it, made of hard links, into dir, which must not exist. It
// gives the index that the copy surely holds; it may hold later entries too. Entries go on being applied meanwhile.
func (s *Store) Checkpoint(dir string) (index uint64, err error) {
	index, _ = s.Applied()
	err = s.locked(func(db *pebble.DB) error {
		if err := db.Flush(); err != nil {
			return fmt.Errorf("flush the store: %w", err)
		}
		if err := db.Checkpoint(dir); err != nil {
			return fmt.Errorf("checkpoint the store: %w", err)
		}
		if s.cfg.spoil != nil {
			return s.cfg.spoil(dir)
		}
		return nil
	})
	return index, err
}

// stamp has the checkpoint in dir say that it holds the entries up to index. Raft's snapshots count its barriers, which no
// state machine sees: where a barrier came last, the state ends before the snapshot. Unstamped, whoever restores it would
// miss entries that never come, as the log behind the snapshot begins after them.
func (s *Store) stamp(dir string, index, term uint64) error {
	db, err := s.openPebble(dir, false, &failure{})
	if err != nil {
		return fmt.Errorf("stamp the checkpoint: %w", err)
	}
	m, err := readMeta(db)
	if err == nil && m.index < index {
		m.index, m.term = index, term
		if err = db.Set(metaKey, m.append(nil), pebble.NoSync); err == nil {
			err = db.Flush()
		}
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("stamp the checkpoint: %w", err)
	}
	return nil
}

// ReplaceWith makes the complete checkpoint in dir, on the same file system, the state. dir is gone afterwards. A crash
// in between leaves the old state or the new one. An error leaves the old state in use, or, where it wraps ErrStorage,
// none at all until the store is opened again.
func (s *Store) ReplaceWith(dir string) error {
	if _, err := s.verify(dir); err != nil {
		return err
	}
	if err := os.RemoveAll(s.retired()); err != nil {
		return fmt.Errorf("remove an older state: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return wire.ErrTryAgain
	}
	old := s.db
	s.db = nil
	s.unseen.close()
	err := old.Close()
	if err == nil {
		err = s.swap(dir)
	}
	if err == nil {
		err = s.open()
	}
	if err != nil {
		return fmt.Errorf("%w: replace the state: %w", ErrStorage, err)
	}
	if err := os.RemoveAll(s.retired()); err != nil {
		return fmt.Errorf("%w: remove the old state: %w", ErrStorage, err)
	}
	return nil
}

// swap sets the present state aside and puts dir in its place. Each name is durable before the next changes.
func (s *Store) swap(dir string) error {
	for _, step := range [][2]string{{s.current(), s.retired()}, {dir, s.current()}} {
		if err := os.Rename(step[0], step[1]); err != nil {
			return err
		}
		if err := syncDir(s.dir); err != nil {
			return err
		}
	}
	return nil
}

// verify opens a checkpoint and reads the group's own record. It gives the index of the last entry in it.
func (s *Store) verify(dir string) (index uint64, err error) {
	db, err := s.openPebble(dir, true, &failure{})
	if err != nil {
		return 0, fmt.Errorf("open the new state: %w", err)
	}
	m, err := readMeta(db)
	if err == nil && m.index == 0 {
		err = errNoState
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return 0, fmt.Errorf("verify the new state: %w", err)
	}
	return m.index, nil
}

// errNoState says that a checkpoint is of no group.
var errNoState = errors.New("the store holds no state")

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
