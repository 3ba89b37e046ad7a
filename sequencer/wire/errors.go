package wire

import (
	"errors"
	"fmt"
)

// The typed errors of a sequencer, one per RESP error word. "Definite" means that nothing was stored and nothing will
// be; only ErrUnknown leaves that open.
var (
	ErrBadRequest  = errors.New("ERR")         // definite; the request is wrong, do not retry
	ErrNotMember   = errors.New("NOTMEMBER")   // definite; the user is not a member of the chat
	ErrNoChat      = errors.New("NOCHAT")      // definite; there is no such chat
	ErrConflict    = errors.New("CONFLICT")    // definite; the id is taken by something else
	ErrTooLarge    = errors.New("TOOLARGE")    // definite; over a limit
	ErrTrimmed     = errors.New("TRIMMED")     // definite; the feed no longer holds that offset
	ErrArchived    = errors.New("ARCHIVED")    // definite; the message is in the archive, see CHAT.RANGE
	ErrNoAuth      = errors.New("NOAUTH")      // definite; AUTH first
	ErrNoPerm      = errors.New("NOPERM")      // definite; the user may not do that
	ErrBusy        = errors.New("BUSY")        // definite; a queue is full, retry later
	ErrTryAgain    = errors.New("TRYAGAIN")    // definite; leadership is on the move, retry soon
	ErrClusterDown = errors.New("CLUSTERDOWN") // definite; no leader is known, retry later
	ErrUnknown     = errors.New("UNKNOWN")     // outcome not known: retry with the same clientMessageId
)

// sentinels in the order in which ErrorOf looks for them.
var sentinels = []error{
	ErrBadRequest, ErrNotMember, ErrNoChat, ErrConflict, ErrTooLarge, ErrTrimmed, ErrArchived, ErrNoAuth, ErrNoPerm, ErrBusy, ErrTryAgain,
	ErrClusterDown, ErrUnknown,
}

// MovedError says which node leads the group of a slot. It is definite.
type MovedError struct {
	Slot Slot
	Addr string // host:port of the leader's RESP server
}

// Error gives the RESP form: "MOVED 3999 127.0.0.1:6381".
func (e *MovedError) Error() string { return fmt.Sprintf("MOVED %d %s", e.Slot, e.Addr) }

// Temporary reports whether the same request may succeed later without any change to it.
func Temporary(err error) bool {
	var moved *MovedError
	return errors.As(err, &moved) || errors.Is(err, ErrBusy) || errors.Is(err, ErrTryAgain) ||
		errors.Is(err, ErrClusterDown) || errors.Is(err, ErrUnknown)
}
