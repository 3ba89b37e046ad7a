package raftfsm

import (
	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/sequencer/wire"
)

// expire walks the oldest events: those before FeedBefore can no longer be read, and those before DedupBefore leave the
// disk together with the dedup record of their message. Events are in the order of time, so it stops at the first that
// is too young.
func (t *txn) expire(c Expire) Result {
	left := c.Max
	floor := max(t.meta.feedFloor, t.meta.feedKept)
	more := t.walk(floor, c.FeedBefore, &left, func(o wire.Offset, _ *wire.Event) { floor = o + 1 })
	t.meta.feedFloor = floor

	kept := t.meta.feedKept
	left = c.Max
	if t.walk(kept, min(c.DedupBefore, c.FeedBefore), &left, func(o wire.Offset, e *wire.Event) {
		kept = o + 1
		if e.Kind == wire.EventMessage {
			t.removeSeen(dedupKey(nil, e.ChatID, e.Message.SenderID, e.Message.ClientMessageID))
		}
	}) {
		more = true
	}
	if kept > t.meta.feedKept {
		from, to := numberKey(nil, tableFeed, uint64(t.meta.feedKept)), numberKey(nil, tableFeed, uint64(kept))
		if err := t.batch.DeleteRange(from, to, nil); err != nil {
			t.fail("delete", err)
		}
		t.meta.feedKept = kept
	}
	return Result{More: more}
}

// walk visits the committed events from an offset on that are before a time, at most *left of them. It is true where it
// stopped for their number.
func (t *txn) walk(from wire.Offset, before wire.Millis, left *uint32, visit func(wire.Offset, *wire.Event)) bool {
	it, err := t.fsm.store.db.NewIter(&pebble.IterOptions{
		LowerBound: numberKey(nil, tableFeed, uint64(from)), UpperBound: []byte{tableFeed + 1},
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
		offset := wire.Offset(keyNumber(it.Key()))
		e, err := decodeEvent(it.Value(), offset)
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
		visit(offset, &e)
	}
	return false
}
