package raftfsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/quorate/quorate/sequencer/wire"
)

// StoreConfig says how much memory a store may take. Zero fields take their defaults.
type StoreConfig struct {
	CacheBytes    int64  // of Pebble's block cache; default 128 MiB, of which the memtables take their share
	MemTableBytes uint64 // default 16 MiB
	TailBytes     int    // of the feed's newest events, kept decoded; default 8 MiB
	CachedChats   int    // that the apply goroutine holds decoded; default 16384

	compactions *compactions           // that share out turns; default those of the process
	fs          vfs.FS                 // under Pebble; tests put faults there
	spoil       func(dir string) error // done to each checkpoint; tests plant bugs there
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
	if c.compactions == nil {
		c.compactions = &processCompactions
	}
	if c.fs == nil {
		c.fs = vfs.Default
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

	mu    sync.RWMutex         // held for reading while db is used, for writing while it is replaced or closed
	db    *pebble.DB           // nil while it is replaced, and after Close
	state atomic.Pointer[meta] // of the last committed entry

	mapChange signal
	leases    leases // of the last committed entry

	unseen *unseen // the apply goroutine's; replaced with db

	failure failure
	stalls  atomic.Uint64 // times that writes waited for flushes or compactions
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

func (s *Store) open() error {
	db, err := s.openPebble(s.current(), false, &s.failure)
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	state, err := readMeta(db)
	if err != nil {
		return errors.Join(fmt.Errorf("open the store: %w", err), db.Close())
	}
	if s.unseen, err = newUnseen(db); err != nil {
		return errors.Join(fmt.Errorf("open the store: %w", err), db.Close())
	}
	if err := s.leases.load(db); err != nil {
		return errors.Join(fmt.Errorf("open the store: %w", err), db.Close())
	}
	s.db = db
	s.state.Store(&state)
	s.tail.reset(state.feedNext)
	return nil
}

// pebbleFormat is the version of Pebble's files. It is named, not "the newest", as a newer Pebble must not write what the
// nodes that are not upgraded yet cannot read.
const pebbleFormat = pebble.FormatValueSeparation

// openPebble opens the database in dir. failure is told of what happens to its files from then on.
func (s *Store) openPebble(dir string, readOnly bool, failure *failure) (db *pebble.DB, err error) {
	defer recovered(dir, &err)

	cache := pebble.NewCache(s.cfg.CacheBytes)
	defer cache.Unref()
	opts := &pebble.Options{
		FS: yieldingFS{s.cfg.fs}, ReadOnly: readOnly, FormatMajorVersion: pebbleFormat, DisableWAL: true,
		Cache: cache, MemTableSize: s.cfg.MemTableBytes, MemTableStopWritesThreshold: 4,
		L0CompactionThreshold: 8, L0StopWritesThreshold: l0StopWrites, LBaseMaxBytes: 256 << 20, Logger: quiet{failure},
		// A flush or compaction that fails is tried again for ever, and meanwhile writes stand still or memory grows.
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) {
				failure.tell(fmt.Errorf("%w: background work of the store: %w", ErrStorage, err))
			},
			DataCorruption: func(info pebble.DataCorruptionInfo) { // whoever reads gets an error too
				failure.tell(corrupt(info.Path, info.Details))
			},
			WriteStallBegin: func(pebble.WriteStallBeginInfo) { s.stalls.Add(1) },
		},
	}
	opts.Experimental.CompactionScheduler = s.cfg.compactions.newCompactor()
	for i := range opts.Levels {
		opts.TargetFileSizes[i] = 8 << 20
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return pebble.Open(dir, opts)
}

// readMeta gives the group's own record; a store that has none is new.
func readMeta(db pebble.Reader) (meta, error) {
	b, closer, err := db.Get(metaKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return meta{feedNext: 1, feedFloor: 1, dedupFrom: 1, outboxNext: 1, outboxFirst: 1}, nil
	}
	if err != nil {
		return meta{}, err
	}
	m, err := decodeMeta(b)
	return m, errors.Join(err, closer.Close())
}

// view calls read with the database, which stays open meanwhile. An error of the disk, or a record that cannot be read,
// is fatal: what else lies in these files is not to be trusted either.
func (s *Store) view(read func(db *pebble.DB) error) error {
	err := s.locked(read)
	for _, answer := range []error{nil, wire.ErrTryAgain, wire.ErrNoChat, wire.ErrNotMember, wire.ErrTrimmed, wire.ErrArchived} {
		if errors.Is(err, answer) {
			return err
		}
	}
	err = fmt.Errorf("%w: read the store: %w", ErrStorage, err)
	s.failure.tell(err)
	return err
}

func (s *Store) locked(read func(db *pebble.DB) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return wire.ErrTryAgain
	}
	return read(s.db)
}

func (s *Store) meta() meta { return *s.state.Load() }

// Applied gives the index and the term of the last entry that the state holds.
func (s *Store) Applied() (index, term uint64) {
	m := s.meta()
	return m.index, m.term
}

// publish makes a committed entry known to readers.
func (s *Store) publish(m meta, events []wire.Event, changed []wire.Lease) {
	s.leases.put(changed)
	s.state.Store(&m)
	s.tail.add(events)
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
	s.unseen.close()
	if err := db.Close(); err != nil {
		return fmt.Errorf("close the store: %w", err)
	}
	return nil
}

// keyNumber reads the number at the end of a key.
func keyNumber(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }

// quiet drops what Pebble tells of its daily work. Errors come as events; what Pebble cannot go on from is fatal here too.
type quiet struct{ failure *failure }

func (quiet) Infof(string, ...interface{})  {}
func (quiet) Errorf(string, ...interface{}) {}
func (q quiet) Fatalf(format string, args ...interface{}) {
	err := fmt.Errorf("%w: store: %s", ErrStorage, fmt.Sprintf(format, args...))
	q.failure.tell(err)
	panic("FATAL: " + err.Error()) // Pebble counts on Fatalf not returning
}
