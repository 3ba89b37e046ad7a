package raftfsm

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/raftfsm/failpoint"
)

// FSM is the state machine of one group. It is deterministic: what it writes depends on the entries alone, never on a
// clock, chance or the order of a map. Raft calls it from one goroutine.
type FSM struct {
	store *Store
	cache *chatCache
	meta  meta
	txn   txn
	plant promiseBreaker // nothing, but in builds that test the tests

	holds    func(index, term uint64) bool // whether this replica's log has all that a snapshot holds; nil for never
	restored func(index, term uint64)      // told of a snapshot whose state is now this one's
}

var _ raft.BatchingFSM = (*FSM)(nil)

// newFSM makes the state machine over a store. fatal is told, once, when the state can no longer be trusted; nothing is
// applied after that.
func newFSM(s *Store, fatal func(error)) *FSM {
	s.failure.listen(fatal)
	f := &FSM{store: s, cache: newChatCache(s.cfg.CachedChats), meta: s.meta()}
	f.txn.fsm = f
	return f
}

// Apply carries out one log.
func (f *FSM) Apply(l *raft.Log) interface{} { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch carries out logs in order and answers []Result for each command, nil for the others and for those that the
// store holds already: after a crash raft offers again what follows its last snapshot. After a failure every answer is
// nil, which leaves the outcome open.
func (f *FSM) ApplyBatch(logs []*raft.Log) []interface{} {
	replies := make([]interface{}, len(logs))
	for i, l := range logs {
		if l.Index <= f.meta.index {
			continue
		}
		results, err := f.one(l)
		if err != nil {
			if !errors.Is(err, errClosed) {
				f.store.failure.tell(err)
			}
			break
		}
		if l.Type == raft.LogCommand {
			replies[i] = results
		}
	}
	return replies
}

func (f *FSM) one(l *raft.Log) ([]Result, error) {
	if err := f.store.failure.failed(); err != nil {
		return nil, err
	}
	var entry Entry
	if l.Type == raft.LogCommand {
		var err error
		if entry, err = DecodeEntry(l.Data); err != nil {
			return nil, fmt.Errorf("entry %d of the log cannot be read: %w", l.Index, err)
		}
	}
	return f.run(l.Index, l.Term, entry)
}

// run applies one entry in one batch of the store, with its index.
func (f *FSM) run(index, term uint64, e Entry) (results []Result, err error) {
	f.store.mu.RLock()
	defer f.store.mu.RUnlock()
	if f.store.db == nil {
		return nil, fmt.Errorf("apply entry %d: %w", index, errClosed)
	}
	defer func() {
		if r := recover(); r != nil {
			bad, ok := r.(*corruption)
			if !ok {
				panic(r)
			}
			results, err = nil, fmt.Errorf("apply entry %d: %w: %w", index, ErrStorage, bad.err)
		}
	}()
	t := &f.txn
	t.begin(f.store.db.NewBatch(), e.Time, f.meta)
	t.meta.index, t.meta.term = index, term
	results = make([]Result, len(e.Commands))
	for i, c := range e.Commands {
		results[i] = t.apply(c)
	}
	t.finish()
	if failpoint.Enabled {
		reachApplied(e)
	}
	f.meta = t.meta
	f.cache.trim()
	f.store.publish(t.meta, t.events, t.leases)
	if t.mapped {
		f.store.mapChange.fire()
	}
	return results, nil
}

// reachApplied tells a test that an entry is applied that lets messages go.
func reachApplied(e Entry) {
	for _, c := range e.Commands {
		if _, ok := c.(Archived); ok {
			failpoint.Reach("applied")
			return
		}
	}
}

// errClosed says that an entry came after the store was closed, at the end of a process that could not wait for raft.
var errClosed = errors.New("the store is closed")

// Snapshot hands out a reference; its Persist does the work, beside Apply. The state holds every command that raft has
// handed over, or the store has failed: then there is no snapshot, as raft would say that it goes further than it does.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) {
	if err := f.store.failure.failed(); err != nil {
		return nil, err
	}
	return &snapshotRef{store: f.store}, nil
}

// Restore replaces the state by that of a snapshot. A snapshot that cannot be read leaves the state as it was. One that
// ends within this replica's log is refused: raft would go back to it and delete entries that are acknowledged.
func (f *FSM) Restore(rc io.ReadCloser) error {
	own := ownSnapshot(rc)
	if own != nil && f.holds != nil && f.holds(own.index, own.term) {
		return fmt.Errorf("%w: %d", errHeld, own.index)
	}
	if err := restore(f.store, rc); err != nil {
		if errors.Is(err, ErrStorage) {
			f.store.failure.tell(err)
		}
		return fmt.Errorf("restore: %w", err)
	}
	f.cache, f.meta = newChatCache(f.store.cfg.CachedChats), f.store.meta()
	f.store.mapChange.fire()
	if own != nil && f.restored != nil {
		f.restored(own.index, own.term)
	}
	return nil
}

// errHeld refuses a snapshot that holds nothing new.
var errHeld = errors.New("the log has what the snapshot holds")
