package raftfsm

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/sequencer/wire"
)

// get reads one record; false where there is none. read must not keep it.
func get(db pebble.Reader, key []byte, read func([]byte) error) (bool, error) {
	b, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, errors.Join(read(b), closer.Close())
}

// Chat gives a chat, with wire.ErrNoChat where there is none.
func (s *Store) Chat(chatID string) (c *wire.Chat, err error) {
	err = s.view(func(db *pebble.DB) error {
		c, err = readChat(db, chatID)
		return err
	})
	return c, err
}

// readChat reads both records of a chat. Counters are read last: they never belong to a time before the members.
func readChat(db pebble.Reader, chatID string) (*wire.Chat, error) {
	var rec *chatRecord
	found, err := get(db, key1(nil, tableChat, chatID), func(b []byte) (err error) {
		rec, err = decodeChat(b)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("chat %s: %w", chatID, err)
	}
	if !found {
		return nil, wire.ErrNoChat
	}
	ch := chat{id: chatID, chatRecord: *rec}
	if ch.counters, err = readCounters(db, chatID); err != nil {
		return nil, err
	}
	return ch.view(), nil
}

func readCounters(db pebble.Reader, chatID string) (c counters, err error) {
	found, err := get(db, key1(nil, tableCounters, chatID), func(b []byte) (err error) {
		c, err = decodeCounters(b)
		return err
	})
	if err == nil && !found {
		return c, wire.ErrNoChat
	}
	if err != nil {
		return c, fmt.Errorf("counters of %s: %w", chatID, err)
	}
	return c, nil
}

// Head is how far a chat's log goes.
type Head struct {
	LastSeq, HotFrom wire.Seq
	Lamport          wire.Lamport
}

// Head gives how far a chat's log goes, with wire.ErrNoChat where there is no such chat.
func (s *Store) Head(chatID string) (h Head, err error) {
	err = s.view(func(db *pebble.DB) error {
		c, err := readCounters(db, chatID)
		h = Head{LastSeq: c.lastSeq, HotFrom: c.hotFrom, Lamport: c.lamport}
		return err
	})
	return h, err
}

// Range gives at most count messages of a chat, ascending from seq from. It is empty beyond the head and for a chat that
// does not exist.
func (s *Store) Range(chatID string, from wire.Seq, count int) (messages []wire.Message, err error) {
	err = s.view(func(db *pebble.DB) error {
		prefix := messageKey(nil, chatID, 0)
		prefix = prefix[:len(prefix)-8]
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: messageKey(nil, chatID, from), UpperBound: after(prefix)})
		if err != nil {
			return err
		}
		for ok := it.First(); ok && len(messages) < count; ok = it.Next() {
			m, err := decodeMessage(it.Value(), chatID, wire.Seq(keyNumber(it.Key())))
			if n := len(messages); err == nil && n > 0 && m.Seq != messages[n-1].Seq+1 {
				err = fmt.Errorf("it follows on %d", messages[n-1].Seq)
			}
			if err != nil {
				return errors.Join(fmt.Errorf("message %s:%d: %w", chatID, keyNumber(it.Key()), err), it.Close())
			}
			messages = append(messages, m)
		}
		return it.Close()
	})
	return messages, err
}

// UserChats gives at most limit lines of a user's chat list, ascending by chat id behind after, and where the next page
// goes on, "" at the end.
func (s *Store) UserChats(userID, behind string, limit int) (chats []wire.UserChat, next string, err error) {
	err = s.view(func(db *pebble.DB) error {
		prefix := key2(nil, tableUserChat, userID, "")
		it, err := db.NewIter(&pebble.IterOptions{
			LowerBound: append(key2(nil, tableUserChat, userID, behind), 0), UpperBound: after(prefix),
		})
		if err != nil {
			return err
		}
		for ok := it.First(); ok; ok = it.Next() {
			u, err := decodeUserChat(it.Value(), string(it.Key()[len(prefix):]))
			if err != nil {
				return errors.Join(fmt.Errorf("chat list of %s: %w", userID, err), it.Close())
			}
			if !u.present {
				continue
			}
			if len(chats) >= limit {
				next = behind
				break
			}
			behind = u.chat.ChatID
			chats = append(chats, u.chat)
		}
		return it.Close()
	})
	return chats, next, err
}

// Pair gives the direct chat that two users have claimed, or "".
func (s *Store) Pair(userID, otherID string) (chatID string, err error) {
	err = s.view(func(db *pebble.DB) error {
		_, err := get(db, key2(nil, tablePair, userID, otherID), func(b []byte) error {
			d := openRecord(b)
			chatID = d.string()
			return d.end()
		})
		return err
	})
	return chatID, err
}

// OutboxRecord is one change of a chat list that has to reach its user's group.
type OutboxRecord struct {
	ID uint64
	PutUserChat
}

// Outbox gives the oldest records of the outbox, at most limit.
func (s *Store) Outbox(limit int) (records []OutboxRecord, err error) {
	err = s.view(func(db *pebble.DB) error {
		first := s.meta().outboxFirst
		it, err := db.NewIter(&pebble.IterOptions{
			LowerBound: numberKey(nil, tableOutbox, first), UpperBound: []byte{tableOutbox + 1},
		})
		if err != nil {
			return err
		}
		for ok := it.First(); ok && len(records) < limit; ok = it.Next() {
			d := openRecord(it.Value())
			c, err := decodeBody(kindPutUserChat, d.rest)
			if err := errors.Join(d.err, err); err != nil {
				return errors.Join(fmt.Errorf("outbox: %w", err), it.Close())
			}
			records = append(records, OutboxRecord{ID: keyNumber(it.Key()), PutUserChat: c.(PutUserChat)})
		}
		return it.Close()
	})
	return records, err
}

// FeedHead gives the offset that the next event will have and the first that can be read.
func (s *Store) FeedHead() (next, floor wire.Offset) {
	m := s.meta()
	return m.feedNext, m.feedFloor
}

// FeedWait returns when an event of offset from or later can be read; with ctx's error before that.
func (s *Store) FeedWait(ctx context.Context, from wire.Offset) error { return s.tail.wait(ctx, from) }

// Feed gives events of the feed from an offset on: at most count, and about size bytes but at least one where there is
// one. next is the offset to go on from. wire.ErrTrimmed says that from is older than what is kept.
func (s *Store) Feed(from wire.Offset, count, size int) (events []wire.Event, next wire.Offset, err error) {
	if _, floor := s.FeedHead(); from < floor {
		return nil, from, wire.ErrTrimmed
	}
	events, covered := s.tail.read(from, count, size)
	if !covered {
		if events, err = s.feedFromDisk(from, count, size); err != nil {
			return nil, from, err
		}
	}
	if n := len(events); n > 0 {
		from = events[n-1].Offset + 1
	}
	return events, from, nil
}

func (s *Store) feedFromDisk(from wire.Offset, count, size int) (events []wire.Event, err error) {
	err = s.view(func(db *pebble.DB) error {
		it, err := db.NewIter(&pebble.IterOptions{
			LowerBound: numberKey(nil, tableFeed, uint64(from)), UpperBound: []byte{tableFeed + 1},
		})
		if err != nil {
			return err
		}
		for ok := it.First(); ok && len(events) < count && (size > 0 || len(events) == 0); ok = it.Next() {
			e, err := readEvent(db, it)
			if err != nil {
				return errors.Join(fmt.Errorf("feed %d: %w", keyNumber(it.Key()), err), it.Close())
			}
			if want := from + wire.Offset(len(events)); e.Offset != want {
				return errors.Join(missingEvent(db, want), it.Close())
			}
			size -= eventBytes(&e)
			events = append(events, e)
		}
		return it.Close()
	})
	return events, err
}

// missingEvent tells why an event is not there: an Expire may have come since the reader looked at the floor.
func missingEvent(db pebble.Reader, offset wire.Offset) error {
	m, err := readMeta(db)
	if err == nil && offset < m.feedFloor {
		return wire.ErrTrimmed
	}
	return errors.Join(fmt.Errorf("feed: event %d is missing", offset), err)
}

// readEvent reads the event an iterator stands on, with the message that it refers to.
func readEvent(db pebble.Reader, it *pebble.Iterator) (wire.Event, error) {
	e, err := decodeEvent(it.Value(), wire.Offset(keyNumber(it.Key())))
	if err != nil || e.Kind != wire.EventMessage {
		return e, err
	}
	found, err := get(db, messageKey(nil, e.ChatID, e.Message.Seq), func(b []byte) error {
		m, err := decodeMessage(b, e.ChatID, e.Message.Seq)
		e.Message = &m
		return err
	})
	if err == nil && !found {
		err = notHot(db, e.ChatID, e.Message.Seq)
	}
	return e, err
}

// notHot tells why an event's message is not in the hot store: it went to the archive before the feed let go of the event,
// which then counts as gone, too.
func notHot(db pebble.Reader, chatID string, seq wire.Seq) error {
	c, err := readCounters(db, chatID)
	if err == nil && seq < c.hotFrom {
		return wire.ErrTrimmed
	}
	return errors.Join(fmt.Errorf("message %s:%d is missing", chatID, seq), err)
}
