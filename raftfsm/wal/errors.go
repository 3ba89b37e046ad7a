package wal

import (
	"errors"
	"fmt"
)

var (
	// ErrCorrupt says that the log does not hold what was once written and synced. errors.As gives a *CorruptError.
	ErrCorrupt = errors.New("wal: corrupt")
	// ErrFull says that the disk had no room for a segment. Nothing of the refused write is in the log, and a later write
	// may succeed. It comes with the error of the system.
	ErrFull = errors.New("wal: disk full")
	// ErrClosed answers calls on a log that is closed.
	ErrClosed = errors.New("wal: closed")
	// ErrOrder says that entries do not follow each other, that a range to delete lies in the middle of the log, or that
	// a group is unknown: a mistake of the caller, with no effect.
	ErrOrder = errors.New("wal: out of order")
	// ErrFailed comes with the first error of a write or sync, and answers all writes after it: what is on the disk is not
	// known until the log is opened again.
	ErrFailed = errors.New("wal: an earlier write failed")
)

// CorruptError tells where a log is damaged. It is ErrCorrupt.
type CorruptError struct {
	File   string   // path of the segment
	Offset int64    // of the damaged frame or record; -1 when the file as a whole is wrong
	Groups []uint32 // whose entries are concerned; empty means that any group's may be
	Reason string
}

// Error describes the damage.
func (e *CorruptError) Error() string {
	whose := "any group may be concerned"
	if len(e.Groups) > 0 {
		whose = fmt.Sprintf("groups %d", e.Groups)
	}
	return fmt.Sprintf("%v: %s at %d: %s (%s)", ErrCorrupt, e.File, e.Offset, e.Reason, whose)
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }
