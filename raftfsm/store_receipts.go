package raftfsm

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/sequencer/wire"
)

// Marks gives one member's watermarks, with wire.ErrNoChat or wire.ErrNotMember.
func (s *Store) Marks(chatID, userID string) (m wire.Watermarks, err error) {
	err = s.view(func(db *pebble.DB) error {
		chat, err := readChat(db, chatID)
		if err != nil {
			return err
		}
		if _, ok := chat.Member(userID); !ok {
			return wire.ErrNotMember
		}
		m, err = readMarks(db, chat, userID)
		return err
	})
	return m, err
}

// Watermarks gives those of all members of a chat, by user id, with wire.ErrNoChat.
func (s *Store) Watermarks(chatID string) (all []wire.Watermarks, err error) {
	err = s.view(func(db *pebble.DB) error {
		chat, err := readChat(db, chatID)
		if err != nil {
			return err
		}
		all, err = readAllMarks(db, chat)
		return err
	})
	return all, err
}

func readMarks(db pebble.Reader, chat *wire.Chat, userID string) (wire.Watermarks, error) {
	m := wire.Watermarks{UserID: userID}
	_, err := get(db, key2(nil, tableMarks, chat.ChatID, userID), func(b []byte) (err error) {
		m, err = decodeMarks(b, userID)
		return err
	})
	if err != nil {
		return m, fmt.Errorf("watermarks of %s in %s: %w", userID, chat.ChatID, err)
	}
	return atLeast(m, chat.Members, userID), nil
}

func readAllMarks(db pebble.Reader, chat *wire.Chat) ([]wire.Watermarks, error) {
	all := make([]wire.Watermarks, 0, len(chat.Members))
	for _, member := range chat.Members {
		m, err := readMarks(db, chat, member.UserID)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// ReceiptsOf tells for each member but the sender whose membership covers a message when it was delivered to him and
// read by him: DeliveredAt and ReadAt are those times, 0 for not yet, and Delivered and Read his present watermarks.
// wire.ErrNoChat says that there is no such chat or message.
func (s *Store) ReceiptsOf(chatID string, seq wire.Seq) (all []wire.Watermarks, err error) {
	messages, err := s.Range(chatID, seq, 1)
	if err != nil {
		return nil, err
	}
	if len(messages) == 0 || messages[0].Seq != seq {
		return nil, wire.ErrNoChat
	}
	err = s.view(func(db *pebble.DB) error {
		chat, err := readChat(db, chatID)
		if err != nil {
			return err
		}
		all, err = readReceipts(db, chat, &messages[0])
		return err
	})
	return all, err
}

func readReceipts(db pebble.Reader, chat *wire.Chat, m *wire.Message) (all []wire.Watermarks, err error) {
	r, err := newRises(db, chat.ChatID)
	if err != nil {
		return nil, err
	}
	for _, member := range chat.Members {
		if member.UserID == m.SenderID || !member.Covers(m.Seq) {
			continue
		}
		marks, err := readMarks(db, chat, member.UserID)
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
		marks.DeliveredAt, marks.ReadAt = 0, 0
		if marks.Delivered >= m.Seq {
			marks.DeliveredAt = r.at(member.UserID, riseDelivered, m.Seq)
		}
		if marks.Read >= m.Seq {
			marks.ReadAt = r.at(member.UserID, riseRead, m.Seq)
		}
		all = append(all, marks)
	}
	return all, r.close()
}

// Times fills DeliveredAt and ReadAt of messages of one chat: when the last of the other members whose membership covers
// the message reached it, 0 until then and where there is nobody else.
func (s *Store) Times(chat *wire.Chat, messages []wire.Message) error {
	if len(messages) == 0 {
		return nil
	}
	return s.view(func(db *pebble.DB) error {
		marks, err := readAllMarks(db, chat)
		if err != nil {
			return err
		}
		r, err := newRises(db, chat.ChatID)
		if err != nil {
			return err
		}
		for i := range messages {
			m := &messages[i]
			m.DeliveredAt = r.last(chat, marks, m, riseDelivered)
			m.ReadAt = r.last(chat, marks, m, riseRead)
		}
		return r.close()
	})
}

// rises reads when watermarks rose. The first failure sticks, for close.
type rises struct {
	chatID string
	it     *pebble.Iterator
	key    []byte
	err    error
	// where the series of each member stands: pages ascend, so that most answers are the one given before
	held map[riseSeries]held
}

type riseSeries struct {
	userID string
	kind   riseKind
}

// held is the first rise to a seq or beyond it, good for every message from `from` to that seq.
type held struct {
	from, seq wire.Seq
	at        wire.Millis
}

func newRises(db pebble.Reader, chatID string) (*rises, error) {
	prefix := append(key1(nil, tableRise, chatID), 0)
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: append(prefix[:len(prefix)-1:len(prefix)-1], 1)})
	if err != nil {
		return nil, err
	}
	return &rises{chatID: chatID, it: it, held: map[riseSeries]held{}}, nil
}

func (r *rises) close() error { return errors.Join(r.err, r.it.Close()) }

// at tells when a member's watermark first reached seq, 0 where no rise tells it.
func (r *rises) at(userID string, kind riseKind, seq wire.Seq) wire.Millis {
	series := riseSeries{userID, kind}
	if h, ok := r.held[series]; ok && seq >= h.from && seq <= h.seq {
		return h.at
	}
	r.key = riseKey(r.key[:0], r.chatID, userID, kind, seq)
	prefix := len(r.key) - 8
	if !r.it.SeekGE(r.key) || string(r.it.Key()[:prefix]) != string(r.key[:prefix]) {
		return 0
	}
	d := openRecord(r.it.Value())
	h := held{from: seq, seq: wire.Seq(keyNumber(r.it.Key())), at: d.millis()}
	if err := d.end(); err != nil && r.err == nil {
		r.err = fmt.Errorf("rise of %s in %s: %w", userID, r.chatID, err)
	}
	r.held[series] = h
	return h.at
}

// last tells when the last of the others reached a message.
func (r *rises) last(chat *wire.Chat, marks []wire.Watermarks, m *wire.Message, kind riseKind) (at wire.Millis) {
	for i, member := range chat.Members {
		if member.UserID == m.SenderID || !member.Covers(m.Seq) {
			continue
		}
		mark := marks[i].Delivered
		if kind == riseRead {
			mark = marks[i].Read
		}
		if mark < m.Seq {
			return 0
		}
		at = max(at, r.at(member.UserID, kind, m.Seq))
	}
	return at
}
