package raftfsm

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/raftfsm/failpoint"
	"github.com/quorate/quorate/sequencer/wire"
)

// maxArchivedRuns bounds the work of one command.
const maxArchivedRuns = 256

// freedByKey is up to how many messages are deleted one by one: a range that is deleted costs readers something for as long as
// it is not compacted, however short it is.
const freedByKey = 64

// archived takes runs of chats over into the archive. A run either begins where the hot store does, and then leaves it; or it
// is in the archive already, in whole earlier runs, which it replaces. Every other run is passed over: the same command
// again does nothing.
func (t *txn) archived(c Archived) Result {
	switch {
	case c.Term != t.meta.term:
		return Result{Err: fmt.Errorf("%w: the object was written in term %d, and this is term %d", wire.ErrConflict, c.Term, t.meta.term)}
	case len(c.Runs) == 0 || len(c.Runs) > maxArchivedRuns:
		return Result{Err: fmt.Errorf("%w: 1 to %d runs", wire.ErrBadRequest, maxArchivedRuns)}
	case c.Segment.Key == "" || c.Segment.Rows <= 0:
		return Result{Err: fmt.Errorf("%w: the object has no name or no rows", wire.ErrBadRequest)}
	}
	failpoint.Reach("committed")
	seg, taken := t.segment(c.Segment), uint64(0)
	for _, run := range c.Runs {
		if t.takeOver(&seg, run) {
			taken++
		}
	}
	failpoint.Reach("freed")
	if taken > 0 {
		t.putSegment(seg)
	}
	return Result{Value: taken}
}

// takeOver is archived of one run.
func (t *txn) takeOver(seg *segment, run ArchivedRun) bool {
	ch := t.chat(run.ChatID)
	if ch == nil || run.From == 0 || run.From > run.To || run.To > ch.lastSeq || run.Row+uint64(run.To-run.From) >= uint64(seg.ref.Rows) {
		return false
	}
	record := archivedRun{to: run.To, row: run.Row, segment: seg.number}
	switch {
	case run.From == ch.hotFrom:
		t.forgetReached(ch, run, &record)
		t.free(ch, run)
	case run.To < ch.hotFrom:
		old, ok := t.replaceRuns(seg, run)
		if !ok {
			return false
		}
		record.reached = old.reached
	default:
		return false
	}
	seg.live += uint64(run.To - run.From + 1)
	t.key = runKey(t.key[:0], run.ChatID, run.From)
	t.putSeen(t.key, record.append(nil))
	return true
}

// forgetReached deletes the rises of which the object has the times, where nobody has come further since it was made. The first
// rise from the run on may also tell of messages before it: it goes only where those were archived with all that it tells.
func (t *txn) forgetReached(ch *chat, run ArchivedRun, record *archivedRun) {
	if t.reached(ch.id, run.To) != run.Reached {
		return
	}
	settled := t.settled(ch.id, run.From)
	if allWithin := t.forgetRises(ch.id, run.From, run.To, !settled); settled || allWithin {
		record.reached = run.Reached + 1
	}
}

// settled reports whether nobody has come further, in the messages before a hot one, since they were archived.
func (t *txn) settled(chatID string, from wire.Seq) bool {
	if from <= t.keeping(chatID).first {
		return true // there are none
	}
	before, ok := t.runBefore(chatID, from)
	return ok && before.to+1 == from && before.reached > 0 && t.reached(chatID, from-1) == before.reached-1
}

// runBefore gives the archived run before a seq, of those that earlier entries committed.
func (t *txn) runBefore(chatID string, from wire.Seq) (run archivedRun, ok bool) {
	it, err := t.fsm.store.db.NewIter(runBounds(chatID))
	t.must("read the archive's index", err)
	if ok = it.SeekLT(runKey(nil, chatID, from)); ok {
		if run, err = decodeArchivedRun(it.Value()); err != nil {
			t.fail("archived run of "+chatID, err)
		}
	}
	t.must("read the archive's index", it.Close())
	return run, ok
}

// free deletes a run from the hot store.
func (t *txn) free(ch *chat, run ArchivedRun) {
	if run.To-run.From < freedByKey {
		for seq := run.From; seq <= run.To; seq++ {
			t.key = messageKey(t.key[:0], ch.id, seq)
			t.must("delete", t.batch.Delete(t.key, nil))
		}
	} else {
		t.must("delete", t.batch.DeleteRange(messageKey(nil, ch.id, run.From), messageKey(nil, ch.id, run.To+1), nil))
	}
	ch.hotFrom = run.To + 1
	t.count(ch)
}

// must ends the process where writing failed.
func (t *txn) must(what string, err error) {
	if err != nil {
		t.fail(what, err)
	}
}

// replaceRuns removes the runs that a run of a new segment replaces. It is false, and changes nothing, where they are not
// exactly from its beginning to its end, or are the same. last is the last of them.
func (t *txn) replaceRuns(seg *segment, run ArchivedRun) (last archivedRun, ok bool) {
	var keys [][]byte
	var old []archivedRun
	var rows []uint64
	for from := run.From; from <= run.To; {
		key := runKey(nil, run.ChatID, from)
		b, ok := t.get(key)
		if !ok {
			return last, false
		}
		was, err := decodeArchivedRun(b)
		if err != nil {
			t.fail("archived run of "+run.ChatID, err)
		}
		if was.to > run.To || was.segment == seg.number {
			return last, false
		}
		keys, old, rows = append(keys, key), append(old, was), append(rows, uint64(was.to-from+1))
		from = was.to + 1
	}
	for i := range keys {
		t.removeSeen(keys[i])
		t.release(old[i].segment, rows[i])
	}
	return old[len(old)-1], true
}

// segment gives the record of an object, a new one where it has none yet.
func (t *txn) segment(ref wire.Segment) segment {
	t.key = key1(t.key[:0], tableSegmentKey, ref.Key)
	if number := t.number(); number > 0 {
		return t.loadSegment(number)
	}
	t.key = append(t.key[:0], tableSegmentKey) // the last number given
	return segment{number: t.number() + 1, ref: ref, at: t.now}
}

func (t *txn) loadSegment(number uint64) segment {
	t.key = numberKey(t.key[:0], tableSegment, number)
	b, ok := t.get(t.key)
	if !ok {
		t.fail(fmt.Sprintf("segment %d", number), pebble.ErrNotFound)
	}
	seg, err := decodeSegment(b, number)
	if err != nil {
		t.fail(fmt.Sprintf("segment %d", number), err)
	}
	return seg
}

func (t *txn) putSegment(seg segment) {
	t.key = append(t.key[:0], tableSegmentKey)
	t.raise(seg.number)
	t.key = key1(t.key[:0], tableSegmentKey, seg.ref.Key)
	t.raise(seg.number)
	t.key = numberKey(t.key[:0], tableSegment, seg.number)
	t.putSeen(t.key, seg.append(nil))
}

// release says that rows of a segment are referred to no more. One that nothing refers to is forgotten: its object is the
// archiver's to remove.
func (t *txn) release(number, rows uint64) {
	seg := t.loadSegment(number)
	if seg.live > rows {
		seg.live -= rows
		t.putSegment(seg)
		return
	}
	t.removeSeen(numberKey(nil, tableSegment, number))
	t.removeSeen(key1(nil, tableSegmentKey, seg.ref.Key))
}

// reached sums how far all who were ever in a chat had come, up to a seq. It rises with every rise that tells of a message
// up to there, so an equal sum says that none has come since.
func (t *txn) reached(chatID string, to wire.Seq) uint64 {
	sum, err := readReached(t.fsm.store.db, chatID, to)
	if err != nil {
		t.fail("watermarks of "+chatID, err)
	}
	return sum
}

// forgetRises deletes the rises to seqs from one to another. With keepFirst the first of each watermark from the former on stays;
// allWithin says that none of those is behind the latter.
func (t *txn) forgetRises(chatID string, from, to wire.Seq, keepFirst bool) (allWithin bool) {
	r, err := newRises(t.fsm.store.db, chatID)
	t.must("read rises", err)
	var series []byte // of which the first has been seen
	allWithin = true
	for ok := r.it.First(); ok; ok = r.it.Next() {
		key := r.it.Key()
		seq := wire.Seq(keyNumber(key))
		if seq < from {
			continue
		}
		if first := string(series) != string(key[:len(key)-8]); first && keepFirst {
			series = append(series[:0], key[:len(key)-8]...)
			allWithin = allWithin && seq <= to
			continue
		}
		if seq <= to {
			t.must("delete", t.batch.Delete(key, nil))
		}
	}
	t.must("read rises", r.close())
	return allWithin
}

// readReached is txn.reached of any reader.
func readReached(db pebble.Reader, chatID string, to wire.Seq) (sum uint64, err error) {
	prefix := key2(nil, tableMarks, chatID, "")
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return 0, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		m, err := decodeMarks(it.Value(), "")
		if err != nil {
			return 0, errors.Join(err, it.Close())
		}
		sum += uint64(min(m.Delivered, to)) + uint64(min(m.Read, to))
	}
	return sum, it.Close()
}
