package raftfsm

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/sequencer/wire"
)

// maxSeenAhead is how far the time of a Seen may be ahead of its entry's: clocks differ a little, and one far ahead would
// stand for ever, since the time never falls.
const maxSeenAhead = wire.Millis(5 * 60 * 1000)

// maxConsumers bounds those of one group whose offsets are kept.
const maxConsumers = 1024

// seen raises the time at which a user was last seen.
func (t *txn) seen(c Seen) Result {
	if err := checkIDs(c.UserID); err != nil {
		return Result{Err: err}
	}
	if c.At > t.now+maxSeenAhead {
		return Result{Err: fmt.Errorf("%w: the time is more than 5 minutes ahead of the leader's clock", wire.ErrBadRequest)}
	}
	t.key = key1(t.key[:0], tableSeen, c.UserID)
	return Result{Value: t.raise(uint64(c.At))}
}

// commitFeed raises the offset from which a consumer of the feed will go on.
func (t *txn) commitFeed(c CommitFeed) Result {
	if err := checkIDs(c.Consumer); err != nil {
		return Result{Err: err}
	}
	if c.Offset == 0 || c.Offset > t.meta.feedNext {
		return Result{Err: fmt.Errorf("%w: the feed has not come to offset %d yet", wire.ErrBadRequest, c.Offset)}
	}
	t.key = key1(t.key[:0], tableConsumer, c.Consumer)
	if t.number() == 0 {
		t.key = key1(t.key[:0], tableConsumer, "") // how many there are
		known := t.number()
		if known >= maxConsumers {
			return Result{Err: fmt.Errorf("%w: the feed has %d consumers", wire.ErrTooLarge, known)}
		}
		t.raise(known + 1)
		t.key = key1(t.key[:0], tableConsumer, c.Consumer)
	}
	return Result{Value: t.raise(uint64(c.Offset))}
}

// number gives the number under t.key, 0 where there is none.
func (t *txn) number() uint64 {
	b, ok := t.get(t.key)
	if !ok {
		return 0
	}
	n, err := decodeNumber(b)
	if err != nil {
		t.fail("number of table "+string(t.key[:1]), err)
	}
	return n
}

// raise raises the number under t.key, where to is above it, and gives what it is then.
func (t *txn) raise(to uint64) uint64 {
	is := t.number()
	if to <= is {
		return is
	}
	t.val = appendNumber(t.val[:0], to)
	t.putSeen(t.key, t.val)
	return to
}

func appendNumber(dst []byte, n uint64) []byte { return binary.AppendUvarint(newRecord(dst), n) }

func decodeNumber(b []byte) (uint64, error) {
	d := openRecord(b)
	n := d.uvarint()
	return n, d.end()
}

// LastSeen gives when a user was last seen, 0 for never.
func (s *Store) LastSeen(userID string) (wire.Millis, error) {
	n, err := s.number(key1(nil, tableSeen, userID))
	return wire.Millis(n), err
}

// Committed gives the offset from which a consumer of the feed goes on, 0 where it has committed none.
func (s *Store) Committed(consumer string) (wire.Offset, error) {
	n, err := s.number(key1(nil, tableConsumer, consumer))
	return wire.Offset(n), err
}

func (s *Store) number(key []byte) (n uint64, err error) {
	err = s.view(func(db *pebble.DB) error {
		_, err := get(db, key, func(b []byte) (err error) {
			n, err = decodeNumber(b)
			return err
		})
		return err
	})
	return n, err
}
