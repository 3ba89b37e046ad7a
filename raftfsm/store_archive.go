package raftfsm

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/sequencer/wire"
)

// ArchivedRuns tells where the messages first to last of a chat stand in the archive, ascending, cut to those; only what is
// still kept, and nothing of the hot store.
func (s *Store) ArchivedRuns(chatID string, first, last wire.Seq) (runs []wire.ArchivedRun, err error) {
	err = s.view(func(db *pebble.DB) error {
		segments := map[uint64]*wire.Segment{}
		return eachRun(db, chatID, first, last, func(from wire.Seq, run archivedRun) error {
			seg := segments[run.segment]
			if seg == nil {
				record, err := readSegment(db, run.segment)
				if err != nil {
					return err
				}
				seg = &record.ref
				segments[run.segment] = seg
			}
			begin, end := max(from, first), min(run.to, last)
			if n := len(runs); n > 0 && runs[n-1].To+1 != begin {
				return fmt.Errorf("archive of %s: a hole before %d", chatID, begin)
			}
			runs = append(runs, wire.ArchivedRun{From: begin, To: end, Row: int64(run.row) + int64(begin-from), Segment: seg})
			return nil
		})
	})
	return runs, err
}

// eachRun visits the archived runs of a chat that hold a message from first to last.
func eachRun(db pebble.Reader, chatID string, first, last wire.Seq, visit func(from wire.Seq, run archivedRun) error) error {
	it, err := db.NewIter(runBounds(chatID))
	if err != nil {
		return err
	}
	ok := it.SeekLT(runKey(nil, chatID, first+1))
	if !ok {
		ok = it.First()
	}
	for ; ok; ok = it.Next() {
		from := wire.Seq(keyNumber(it.Key()))
		run, err := decodeArchivedRun(it.Value())
		if err != nil {
			return errors.Join(fmt.Errorf("archived run %s:%d: %w", chatID, from, err), it.Close())
		}
		if from > last {
			break
		}
		if run.to < first {
			continue
		}
		if err := visit(from, run); err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return it.Close()
}

func readSegment(db pebble.Reader, number uint64) (seg segment, err error) {
	found, err := get(db, numberKey(nil, tableSegment, number), func(b []byte) (err error) {
		seg, err = decodeSegment(b, number)
		return err
	})
	if err == nil && !found {
		err = pebble.ErrNotFound
	}
	if err != nil {
		return seg, fmt.Errorf("segment %d: %w", number, err)
	}
	return seg, nil
}

// SegmentInfo is an object that the group's index refers to.
type SegmentInfo struct {
	Number  uint64 // ascending in the order of commits
	Segment wire.Segment
	At      wire.Millis // when the first of it was committed
	Live    uint64      // messages that the index finds here; the rest was archived anew, or deleted
}

// Segments gives at most limit objects of the archive, those behind a number.
func (s *Store) Segments(behind uint64, limit int) (all []SegmentInfo, err error) {
	err = s.view(func(db *pebble.DB) error {
		it, err := db.NewIter(&pebble.IterOptions{
			LowerBound: numberKey(nil, tableSegment, behind+1), UpperBound: []byte{tableSegment + 1},
		})
		if err != nil {
			return err
		}
		for ok := it.First(); ok && len(all) < limit; ok = it.Next() {
			seg, err := decodeSegment(it.Value(), keyNumber(it.Key()))
			if err != nil {
				return errors.Join(fmt.Errorf("segment %d: %w", keyNumber(it.Key()), err), it.Close())
			}
			all = append(all, SegmentInfo{Number: seg.number, Segment: seg.ref, At: seg.at, Live: seg.live})
		}
		return it.Close()
	})
	return all, err
}

// IndexLine is one line of the group's index of the archive.
type IndexLine struct {
	ChatID   string
	From, To wire.Seq
	Row      uint64
	Segment  uint64 // number
}

// ArchiveIndex gives at most limit lines of the index, ascending by chat and seq, those behind a line; the zero line is
// before all.
func (s *Store) ArchiveIndex(behind IndexLine, limit int) (lines []IndexLine, err error) {
	err = s.view(func(db *pebble.DB) error {
		it, err := db.NewIter(&pebble.IterOptions{
			LowerBound: runKey(nil, behind.ChatID, behind.From+1), UpperBound: []byte{tableRun + 1},
		})
		if err != nil {
			return err
		}
		for ok := it.First(); ok && len(lines) < limit; ok = it.Next() {
			key := it.Key()
			run, err := decodeArchivedRun(it.Value())
			if err != nil {
				return errors.Join(fmt.Errorf("archived run %q: %w", key, err), it.Close())
			}
			lines = append(lines, IndexLine{
				ChatID: string(key[1 : len(key)-9]), From: wire.Seq(keyNumber(key)), To: run.to, Row: run.row, Segment: run.segment,
			})
		}
		return it.Close()
	})
	return lines, err
}

// Reaches tells when the members of a chat reached its messages first to last, as far as the hot store knows: the archive knows
// the rest.
func (s *Store) Reaches(chat *wire.Chat, first, last wire.Seq) (all []wire.Reach, err error) {
	err = s.view(func(db *pebble.DB) error {
		marks, err := readAllMarks(db, chat)
		if err != nil {
			return err
		}
		r, err := newRises(db, chat.ChatID)
		if err != nil {
			return err
		}
		for i, m := range chat.Members {
			all = append(all, wire.Reach{
				Member: m, Delivered: marks[i].Delivered, Read: marks[i].Read,
				DeliveredRises: r.between(m.UserID, riseDelivered, first, last), ReadRises: r.between(m.UserID, riseRead, first, last),
			})
		}
		return r.close()
	})
	return all, err
}

// between gives the rises of a watermark that tell of the messages first to last: those within, and the first behind.
func (r *rises) between(userID string, kind riseKind, first, last wire.Seq) (all []wire.Rise) {
	series := r.of(userID, kind)
	for seq := first; seq <= last; seq = series.to + 1 {
		at := series.at(seq)
		if at == 0 {
			break
		}
		all = append(all, wire.Rise{Seq: series.to, At: at})
	}
	return all
}

// Retention is what of a chat's log is kept.
type Retention struct {
	First wire.Seq    // the first message that was not deleted
	Own   bool        // the chat has a time of its own
	For   wire.Millis // that time, 0 for ever
}

// Retention gives what of a chat's log is kept.
func (s *Store) Retention(chatID string) (r Retention, err error) {
	err = s.view(func(db *pebble.DB) error {
		k, err := readKeeping(db, chatID)
		r = Retention{First: k.first, Own: k.own, For: k.millis}
		return err
	})
	return r, err
}

func readKeeping(db pebble.Reader, chatID string) (keeping, error) {
	k := keeping{first: 1}
	_, err := get(db, key1(nil, tableKeeping, chatID), func(b []byte) (err error) {
		k, err = decodeKeeping(b)
		return err
	})
	return k, err
}
