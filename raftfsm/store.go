package raftfsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/quorate/quorate/sequencer/wire"
)

// StoreConfig says how much memory a store may take. Zero fields take their defaults.
type StoreConfig struct {
	CacheBytes    int64  // of Pebble's block cache; default 128 MiB, of which the memtables take their share
	MemTableBytes uint64 // default 16 MiB
	TailBytes     int    // of the feed's newest events, kept decoded; default 8 MiB
	CachedChats   int    // that the apply goroutine holds decoded; default 16384
}

func (c StoreConfig) withDefaults() StoreConfig {
	if c.CacheBytes == 0 {
		c.CacheBytes = 128 << 20
	}
	if c.MemTableBytes == 0 {
		c.MemTableBytes = 16 << 20
	}
	if c.TailBytes == 0 {
		c.TailBytes = 8 << 20
	}
	if c.CachedChats == 0 {
		c.CachedChats = 16384
	}
	return c
}

// Store is the state of one group on disk, and what readers see of it. Writes come from the FSM alone. Its write-ahead
// log is the Raft log: what a crash takes from memory, raft applies again. Reads may come from any goroutine at any time;
// one that meets the store while a snapshot replaces it, or closed, gets wire.ErrTryAgain.
type Store struct {
	dir  string
	cfg  StoreConfig
	tail *feedTail

	mu    sync.RWMutex // held for reading while db is used, for writing while it is replaced
	db    *pebble.DB   // nil while it is replaced, and after Close
	state meta         // of the last committed entry
}

// OpenStore opens the store in dir, or makes it. A replacement that a crash cut short is finished or undone first.
func OpenStore(dir string, cfg StoreConfig) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the store: %w", err)
	}
	s := &Store{dir: dir, cfg: cfg, tail: newFeedTail(cfg.TailBytes)}
	if err := s.settle(); err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Store) current() string { return filepath.Join(s.dir, "db") }
func (s *Store) retired() string { return filepath.Join(s.dir, "db.old") }

// settle undoes or finishes a replacement: without db, the one set aside is the state; with db, the other is rubbish.
func (s *Store) settle() error {
	_, err := os.Stat(s.current())
	if errors.Is(err, os.ErrNotExist) {
		err = os.Rename(s.retired(), s.current())
		if errors.Is(err, os.ErrNotExist) {
			return nil // a new store
		}
		if err == nil {
			err = syncDir(s.dir)
		}
	} else if err == nil {
		err = os.RemoveAll(s.retired())
	}
	if err != nil {
		return fmt.Errorf("settle the store: %w", err)
	}
	return nil
}

func (s *Store) open() error {
	db, err := openPebble(s.current(), s.cfg)
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	state, err := readMeta(db)
	if err != nil {
		return errors.Join(fmt.Errorf("open the store: %w", err), db.Close())
	}
	s.db, s.state = db, state
	s.tail.reset(state.feedNext)
	return nil
}

func openPebble(dir string, cfg StoreConfig) (*pebble.DB, error) {
	cache := pebble.NewCache(cfg.CacheBytes)
	defer cache.Unref()
	opts := &pebble.Options{
		Cache: cache, DisableWAL: true, MemTableSize: cfg.MemTableBytes, MemTableStopWritesThreshold: 4,
		L0CompactionThreshold: 4, L0StopWritesThreshold: 24, FormatMajorVersion: pebble.FormatNewest, Logger: quiet{},
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return pebble.Open(dir, opts)
}

// readMeta gives the group's own record; a store that has none is new.
func readMeta(db *pebble.DB) (meta, error) {
	b, closer, err := db.Get(metaKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return meta{feedNext: 1, feedFloor: 1, feedKept: 1, outboxNext: 1, outboxFirst: 1}, nil
	}
	if err != nil {
		return meta{}, err
	}
	m, err := decodeMeta(b)
	return m, errors.Join(err, closer.Close())
}

// view calls read with the database, which stays open meanwhile.
func (s *Store) view(read func(db *pebble.DB) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return wire.ErrTryAgain
	}
	return read(s.db)
}

func (s *Store) meta() meta {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state
}

// Applied gives the index and the term of the last entry that the state holds.
func (s *Store) Applied() (index, term uint64) {
	m := s.meta()
	return m.index, m.term
}

// publish makes a committed entry known to readers.
func (s *Store) publish(m meta, events []wire.Event) {
	s.mu.Lock()
	s.state = m
	s.mu.Unlock()
	s.tail.add(events)
}

// Checkpoint puts all applied state on disk and a copy of it, made of hard links, into dir, which must not exist. It
// gives the index that the copy surely holds; it may hold later entries too. Entries go on being applied meanwhile.
func (s *Store) Checkpoint(dir string) (index uint64, err error) {
	index, _ = s.Applied()
	err = s.view(func(db *pebble.DB) error {
		if err := db.Flush(); err != nil {
			return fmt.Errorf("flush the store: %w", err)
		}
		if err := db.Checkpoint(dir); err != nil {
			return fmt.Errorf("checkpoint the store: %w", err)
		}
		return nil
	})
	return index, err
}

// ReplaceWith makes the complete checkpoint in dir, on the same file system, the state. dir is gone afterwards. A crash
// in between leaves the old state or the new one.
func (s *Store) ReplaceWith(dir string) error {
	if err := s.verify(dir); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.db
	s.db = nil
	if old != nil {
		if err := old.Close(); err != nil {
			return fmt.Errorf("close the old state: %w", err)
		}
	}
	for _, step := range [][2]string{{s.current(), s.retired()}, {dir, s.current()}} {
		if err := os.Rename(step[0], step[1]); err != nil {
			return fmt.Errorf("replace the state: %w", err)
		}
		if err := syncDir(s.dir); err != nil {
			return fmt.Errorf("replace the state: %w", err)
		}
	}
	if err := s.open(); err != nil {
		return err
	}
	if err := os.RemoveAll(s.retired()); err != nil {
		return fmt.Errorf("remove the old state: %w", err)
	}
	return nil
}

// verify opens a checkpoint and reads the group's own record.
func (s *Store) verify(dir string) error {
	db, err := openPebble(dir, s.cfg)
	if err != nil {
		return fmt.Errorf("open the new state: %w", err)
	}
	m, err := readMeta(db)
	if err == nil && m.index == 0 {
		err = errNoState
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("verify the new state: %w", err)
	}
	return nil
}

// Close ends all reads and closes the files. What is only in memory is not written: the log has it.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	db := s.db
	s.db = nil
	s.tail.close()
	if err := db.Close(); err != nil {
		return fmt.Errorf("close the store: %w", err)
	}
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// keyNumber reads the number at the end of a key.
func keyNumber(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }

// quiet drops what Pebble tells of its daily work.
type quiet struct{}

func (quiet) Infof(string, ...interface{})  {}
func (quiet) Errorf(string, ...interface{}) {}
func (quiet) Fatalf(format string, args ...interface{}) {
	panic(fmt.Sprintf("FATAL: store: "+format, args...))
}
