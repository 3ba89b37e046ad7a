package raftfsm

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
)

// FSM is the state machine of one group. It is deterministic: what it writes depends on the entries alone, never on a
// clock, chance or the order of a map. Raft calls it from one goroutine.
type FSM struct {
	store *Store
	cache *chatCache
	meta  meta
	fatal func(error)
}

var _ raft.BatchingFSM = (*FSM)(nil)

// newFSM makes the state machine over a store. fatal is told when the state can no longer be trusted; it must not return.
func newFSM(s *Store, fatal func(error)) *FSM {
	return &FSM{store: s, cache: newChatCache(s.cfg.CachedChats), meta: s.meta(), fatal: fatal}
}

// Apply carries out one log.
func (f *FSM) Apply(l *raft.Log) interface{} { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch carries out logs in order and answers []Result for each command, nil for the others and for those that the
// store holds already: after a crash raft offers again what follows its last snapshot.
func (f *FSM) ApplyBatch(logs []*raft.Log) []interface{} {
	replies := make([]interface{}, len(logs))
	for i, l := range logs {
		if l.Index <= f.meta.index {
			continue
		}
		if l.Type != raft.LogCommand {
			f.run(l.Index, l.Term, Entry{})
			continue
		}
		entry, err := DecodeEntry(l.Data)
		if err != nil {
			f.fatal(fmt.Errorf("entry %d of the log cannot be read: %w", l.Index, err))
			return replies
		}
		replies[i] = f.run(l.Index, l.Term, entry)
	}
	return replies
}

// run applies one entry in one batch of the store, with its index.
func (f *FSM) run(index, term uint64, e Entry) []Result {
	defer func() {
		if r := recover(); r != nil {
			bad, ok := r.(*corruption)
			if !ok {
				panic(r)
			}
			f.fatal(fmt.Errorf("apply entry %d: %w", index, bad.err))
		}
	}()
	t := &txn{fsm: f, batch: f.store.db.NewBatch(), now: e.Time, meta: f.meta, over: map[string][]byte{}}
	t.meta.index, t.meta.term = index, term
	results := make([]Result, len(e.Commands))
	for i, c := range e.Commands {
		results[i] = t.apply(c)
	}
	t.finish()
	f.meta = t.meta
	f.cache.trim()
	f.store.publish(t.meta, t.events)
	return results
}

// Snapshot hands out a reference; its Persist does the work, beside Apply.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) { return &snapshotRef{store: f.store}, nil }

// Restore replaces the state by that of a snapshot.
func (f *FSM) Restore(rc io.ReadCloser) error {
	if err := restore(f.store, rc); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	f.cache, f.meta = newChatCache(f.store.cfg.CachedChats), f.store.meta()
	return nil
}

// errNoState says that a checkpoint is of no group.
var errNoState = errors.New("the store holds no state")
