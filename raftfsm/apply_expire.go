package raftfsm

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/sequencer/wire"
)

// expire walks the oldest events: those before FeedBefore can no longer be read, and the dedup records of those before
// DedupBefore go. What is past both leaves the disk. Events are in the order of time, as far as the leaders' clocks agree,
// so each walk stops at the first that is too young.
func (t *txn) expire(c Expire) Result {
	if c.Max == 0 {
		return Result{Err: fmt.Errorf("%w: nothing may be looked at", wire.ErrBadRequest)}
	}
	kept, left := t.meta.feedKept(), c.Max
	more := t.walk(&t.meta.feedFloor, c.FeedBefore, &left, func(*wire.Event) {})
	if t.walk(&t.meta.dedupFrom, c.DedupBefore, &left, t.forget) {
		more = true
	}
	if now := t.meta.feedKept(); now > kept {
		from, to := numberKey(nil, tableFeed, uint64(kept)), numberKey(nil, tableFeed, uint64(now))
		if err := t.batch.DeleteRange(from, to, nil); err != nil {
			t.fail("delete", err)
		}
	}
	return Result{More: more}
}

// forget drops the dedup record of an event's message.
func (t *txn) forget(e *wire.Event) {
	if e.Kind == wire.EventMessage {
		t.removeSeen(dedupKey(nil, e.ChatID, e.Message.SenderID, e.Message.ClientMessageID))
	}
}

// walk visits the committed events from *at on that are before a time, at most *left of them, and moves *at behind them. It
// is true where it stopped for their number.
func (t *txn) walk(at *wire.Offset, before wire.Millis, left *uint32, visit func(*wire.Event)) bool {
	it, err := t.fsm.store.db.NewIter(&pebble.IterOptions{
		LowerBound: numberKey(nil, tableFeed, uint64(*at)), UpperBound: []byte{tableFeed + 1},
	})
	if err != nil {
		t.fail("read the feed", err)
	}
	defer func() {
		if err := it.Close(); err != nil {
			t.fail("read the feed", err)
		}
	}()
	for ok := it.First(); ok; ok = it.Next() {
		e, err := decodeEvent(it.Value(), wire.Offset(keyNumber(it.Key())))
		if err != nil {
			t.fail("feed", err)
		}
		if e.At >= before {
			return false
		}
		if *left == 0 {
			return true
		}
		*left--
		visit(&e)
		*at = e.Offset + 1
	}
	return false
}
