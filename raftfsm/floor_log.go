package raftfsm

import (
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// errGap refuses entries that follow neither the log nor the snapshot beneath it. Raft steps down, or answers that it has
// not stored them.
var errGap = errors.New("entries that do not follow the log")

// floorLog is a log as Raft sees it: with the snapshot beneath it. It makes up for two things that Raft leaves open.
//
//   - A snapshot took the place of the log, and the leader asks whether the snapshot's last entry is there. Raft looks for it
//     only where its log ends, and says no when it believes that the log goes on: the leader sends the snapshot again, for ever.
//   - Raft still believes in the end of a log whose last entries were deleted, until it has stored new ones: it compares, and
//     appends, behind what is not there.
//
// The first is answered from the snapshot. Of the second it says that those entries are of no term, so that Raft replaces
// them; and it takes no entries that leave a gap.
type floorLog struct {
	raft.LogStore

	mu          sync.Mutex
	index, term uint64 // of the last entry that the snapshot holds
	believed    uint64 // where Raft thinks that the log ends, when it does not
}

// IsMonotonic has raft delete all entries when it installs a snapshot, so that none stays that the snapshot contradicts.
func (f *floorLog) IsMonotonic() bool { return true }

// raise takes a snapshot that this replica has taken, or whose state it has restored.
func (f *floorLog) raise(index, term uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if index > f.index {
		f.index, f.term = index, term
	}
}

// GetLog reads one entry.
func (f *floorLog) GetLog(index uint64, l *raft.Log) error {
	err := f.LogStore.GetLog(index, l)
	if !errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case index == f.index && index > 1: // of a log that begins at 1 a leader reads entry 1 to send it
		*l = raft.Log{Index: index, Term: f.term, Type: raft.LogNoop}
	case index > f.index && index <= f.believed:
		*l = raft.Log{Index: index, Type: raft.LogNoop}
	default:
		return err
	}
	return nil
}

// StoreLog appends an entry.
func (f *floorLog) StoreLog(l *raft.Log) error { return f.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends entries. Those that follow the snapshot make all older ones go.
func (f *floorLog) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	last, err := f.LogStore.LastIndex()
	if err != nil {
		return err
	}
	f.mu.Lock()
	floor := f.index
	f.mu.Unlock()
	if begin := logs[0].Index; begin != max(last, floor)+1 {
		return fmt.Errorf("%w: %d, behind %d and a snapshot of %d", errGap, begin, last, floor)
	}
	if err := f.LogStore.StoreLogs(logs); err != nil {
		return err
	}
	f.mu.Lock()
	f.believed = 0
	f.mu.Unlock()
	return nil
}

// DeleteRange deletes entries at one end of the log.
func (f *floorLog) DeleteRange(first, last uint64) error {
	end, err := f.LogStore.LastIndex()
	if err != nil {
		return err
	}
	if err := f.LogStore.DeleteRange(first, last); err != nil {
		return err
	}
	if last >= end {
		f.mu.Lock()
		f.believed = max(f.believed, end)
		f.mu.Unlock()
	}
	return nil
}
