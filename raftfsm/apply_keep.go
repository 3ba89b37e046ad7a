package raftfsm

import (
	"fmt"

	"github.com/quorate/quorate/sequencer/wire"
)

// forgetMessages deletes the beginning of a chat's log for good.
func (t *txn) forgetMessages(c Forget) Result {
	ch := t.chat(c.ChatID)
	switch {
	case ch == nil:
		return Result{Err: wire.ErrNoChat}
	case c.Through >= ch.lastSeq:
		return Result{Err: fmt.Errorf("%w: a chat's last message is kept", wire.ErrBadRequest)}
	}
	keep := t.keeping(c.ChatID)
	if c.Through < keep.first {
		return Result{Value: uint64(keep.first)}
	}
	if c.Through >= ch.hotFrom {
		t.free(ch, ArchivedRun{ChatID: c.ChatID, From: ch.hotFrom, To: c.Through})
	}
	through := t.forgetRuns(c.ChatID, c.Through)
	keep.first = max(keep.first, through+1)
	t.forgetRises(c.ChatID, 1, through, false)
	t.putKeeping(c.ChatID, keep)
	return Result{Value: uint64(keep.first)}
}

// forgetRuns drops the archived runs that end at a seq or before, and says how far the log is forgotten then: a run of
// which a part is still to be kept is kept whole.
func (t *txn) forgetRuns(chatID string, through wire.Seq) wire.Seq {
	it, err := t.fsm.store.db.NewIter(runBounds(chatID))
	t.must("read the archive's index", err)
	for ok := it.First(); ok; ok = it.Next() {
		from := wire.Seq(keyNumber(it.Key()))
		key := append([]byte(nil), it.Key()...)
		b, there := t.get(key)
		if !there {
			continue
		}
		run, err := decodeArchivedRun(b)
		if err != nil {
			t.fail("archived run of "+chatID, err)
		}
		if run.to > through {
			through = min(through, from-1)
			break
		}
		t.removeSeen(key)
		t.release(run.segment, uint64(run.to-from+1))
	}
	t.must("read the archive's index", it.Close())
	return through
}

// retain sets for how long a chat's messages are kept.
func (t *txn) retain(c Retain) Result {
	if t.chat(c.ChatID) == nil {
		return Result{Err: wire.ErrNoChat}
	}
	if c.For < 0 {
		return Result{Err: fmt.Errorf("%w: a time cannot be negative", wire.ErrBadRequest)}
	}
	keep := t.keeping(c.ChatID)
	keep.own, keep.millis = c.Own, c.For
	t.putKeeping(c.ChatID, keep)
	return Result{Value: uint64(c.For)}
}

func (t *txn) keeping(chatID string) (k keeping) {
	t.key = key1(t.key[:0], tableKeeping, chatID)
	b, ok := t.get(t.key)
	if !ok {
		return keeping{first: 1}
	}
	k, err := decodeKeeping(b)
	if err != nil {
		t.fail("retention of "+chatID, err)
	}
	return k
}

func (t *txn) putKeeping(chatID string, k keeping) {
	t.key = key1(t.key[:0], tableKeeping, chatID)
	t.putSeen(t.key, k.append(nil))
}
