package raftfsm

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/sequencer/wire"
)

// ColdRun is the run of a chat's hot messages that may leave the hot store.
type ColdRun struct {
	ChatID   string
	From, To wire.Seq
}

// ColdRuns gives what may go to the archive of the chats behind a chat id: of each the messages from the first hot one on that
// were sent before a time, at most maxRun of them, and never the chat's last, which its members' lists show. It looks at chats
// until it has found messages enough, and at no more than look of them; next is the last that it looked at, "" at the end.
func (s *Store) ColdRuns(behind string, before wire.Millis, maxRun wire.Seq, messages, look int) (runs []ColdRun, next string, err error) {
	err = s.view(func(db *pebble.DB) error {
		it, err := db.NewIter(&pebble.IterOptions{
			LowerBound: append(key1(nil, tableCounters, behind), 0), UpperBound: []byte{tableCounters + 1},
		})
		if err != nil {
			return err
		}
		for ok := it.First(); ok; ok = it.Next() {
			if look == 0 || messages <= 0 {
				return it.Close()
			}
			next = string(it.Key()[1:])
			look--
			c, err := decodeCounters(it.Value())
			if err != nil {
				return errors.Join(fmt.Errorf("counters of %s: %w", next, err), it.Close())
			}
			to, err := coldTo(db, next, c, before, maxRun)
			if err != nil {
				return errors.Join(err, it.Close())
			}
			if to >= c.hotFrom {
				runs = append(runs, ColdRun{ChatID: next, From: c.hotFrom, To: to})
				messages -= int(to - c.hotFrom + 1)
			}
		}
		next = ""
		return it.Close()
	})
	return runs, next, err
}

// coldTo is the last message of a chat that may go, or one before the first hot one. Times rise with seqs, so it is found by
// halving.
func coldTo(db pebble.Reader, chatID string, c counters, before wire.Millis, maxRun wire.Seq) (wire.Seq, error) {
	low, high := c.hotFrom, min(c.lastSeq, c.hotFrom+maxRun) // the answer is below the first that is too young, in [low, high]
	if low >= high {
		return c.hotFrom - 1, nil
	}
	for low < high {
		middle := low + (high-low)/2
		var sent wire.Millis
		found, err := get(db, messageKey(nil, chatID, middle), func(b []byte) error {
			m, err := decodeMessage(b, chatID, middle)
			sent = m.SentAt
			return err
		})
		switch {
		case err != nil:
			return 0, fmt.Errorf("message %s:%d: %w", chatID, middle, err)
		case !found:
			return c.hotFrom - 1, nil // it has gone since the counters were read
		case sent < before:
			low = middle + 1
		default:
			high = middle
		}
	}
	return low - 1, nil
}

// ReachedAt is when a user reached a message; 0 for not yet.
type ReachedAt struct {
	UserID              string
	DeliveredAt, ReadAt wire.Millis
}

// ColdRows visits the messages of a run in order, until visit says that it is enough, each with all who have reached it and
// may read it. Both are only valid during the visit. to is the last one visited; reached is the sum of watermarks that the
// visited times are of: with it, the entry that frees the run knows whether there are newer ones. wire.ErrTryAgain says that
// the run is not in the hot store any more.
func (s *Store) ColdRows(
	run ColdRun, visit func(m *wire.Message, receipts []ReachedAt) (more bool, err error),
) (to wire.Seq, reached uint64, err error) {
	var visited error
	err = s.view(func(db *pebble.DB) (err error) {
		at := db.NewSnapshot()
		if to, visited, err = coldRows(at, run, visit); visited == nil && err == nil {
			reached, err = readReached(at, run.ChatID, to)
		}
		return errors.Join(err, at.Close())
	})
	return to, reached, errors.Join(visited, err)
}

func coldRows(
	db pebble.Reader, run ColdRun, visit func(*wire.Message, []ReachedAt) (bool, error),
) (to wire.Seq, visited, err error) {
	rises, err := newRises(db, run.ChatID)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, rises.close()) }()
	readers, err := newReaders(db, run.ChatID, rises)
	if err != nil {
		return 0, nil, err
	}
	it, err := db.NewIter(&pebble.IterOptions{
		LowerBound: messageKey(nil, run.ChatID, run.From), UpperBound: messageKey(nil, run.ChatID, run.To+1),
	})
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var receipts []ReachedAt
	to = run.From - 1
	for ok := it.First(); ok; ok = it.Next() {
		if wire.Seq(keyNumber(it.Key())) != to+1 {
			break
		}
		m, err := decodeMessage(it.Value(), run.ChatID, to+1)
		if err != nil {
			return 0, nil, fmt.Errorf("message %s:%d: %w", run.ChatID, to+1, err)
		}
		receipts = receipts[:0]
		for i := range readers {
			if r := readers[i].at(&m); r.DeliveredAt > 0 || r.ReadAt > 0 {
				receipts = append(receipts, r)
			}
		}
		more, visited := visit(&m, receipts)
		if visited != nil {
			return 0, visited, nil
		}
		if to++; !more {
			return to, nil, nil
		}
	}
	if to < run.To {
		return 0, nil, wire.ErrTryAgain
	}
	return to, nil, nil
}

// reader is one who is or was in a chat, and when he reached what.
type reader struct {
	wire.Member
	all             bool // he may come back and then read everything
	delivered, read *riseSeries
}

// newReaders gives all whose watermarks ever rose in a chat, by user id. They read by rises, which they do not close.
func newReaders(db pebble.Reader, chatID string, rises *rises) (all []reader, err error) {
	chat, err := readChat(db, chatID)
	if err != nil {
		return nil, err
	}
	prefix := key2(nil, tableMarks, chatID, "")
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return nil, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		userID := string(it.Key()[len(prefix):])
		intervals, err := intervalsOf(db, chat, userID)
		if err != nil {
			return nil, errors.Join(err, it.Close())
		}
		all = append(all, reader{
			Member: wire.Member{UserID: userID, Intervals: intervals}, all: chat.HistoryFromStart,
			delivered: rises.of(userID, riseDelivered), read: rises.of(userID, riseRead),
		})
	}
	return all, it.Close()
}

// intervalsOf gives what a member, or one who was, may read.
func intervalsOf(db pebble.Reader, chat *wire.Chat, userID string) (intervals []wire.Interval, err error) {
	if m, ok := chat.Member(userID); ok {
		return m.Intervals, nil
	}
	_, err = get(db, key2(nil, tableFormer, chat.ChatID, userID), func(b []byte) error {
		d := openRecord(b)
		intervals = d.intervals()
		return d.end()
	})
	return intervals, err
}

func (r *reader) at(m *wire.Message) ReachedAt {
	if r.UserID == m.SenderID || !r.all && !r.Covers(m.Seq) {
		return ReachedAt{}
	}
	return ReachedAt{UserID: r.UserID, DeliveredAt: r.delivered.at(m.Seq), ReadAt: r.read.at(m.Seq)}
}
