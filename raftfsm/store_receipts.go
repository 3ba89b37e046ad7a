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
		member, err := readMember(db, chatID, userID)
		if err != nil {
			return err
		}
		m, err = readMarks(db, chatID, member)
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

func readMarks(db pebble.Reader, chatID string, member wire.Member) (wire.Watermarks, error) {
	m := wire.Watermarks{UserID: member.UserID}
	_, err := get(db, key2(nil, tableMarks, chatID, member.UserID), func(b []byte) (err error) {
		m, err = decodeMarks(b, member.UserID)
		return err
	})
	if err != nil {
		return m, fmt.Errorf("watermarks of %s in %s: %w", member.UserID, chatID, err)
	}
	return notBehind(m, member), nil
}

// readAllMarks gives the watermarks of a chat's members, in the order of its members.
func readAllMarks(db pebble.Reader, chat *wire.Chat) ([]wire.Watermarks, error) {
	prefix := key2(nil, tableMarks, chat.ChatID, "")
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return nil, err
	}
	all := make([]wire.Watermarks, len(chat.Members))
	ok := it.First()
	for i, member := range chat.Members { // both are in the order of user ids; former members have watermarks too
		for ok && string(it.Key()[len(prefix):]) < member.UserID {
			ok = it.Next()
		}
		all[i].UserID = member.UserID
		if ok && string(it.Key()[len(prefix):]) == member.UserID {
			if all[i], err = decodeMarks(it.Value(), member.UserID); err != nil {
				return nil, errors.Join(fmt.Errorf("watermarks of %s in %s: %w", member.UserID, chat.ChatID, err), it.Close())
			}
		}
		all[i] = notBehind(all[i], member)
	}
	return all, it.Close()
}

// ReceiptsOf tells for each member but the sender whose membership covers a message when it was delivered to him and
// read by him: DeliveredAt and ReadAt are those times, 0 for not yet, and Delivered and Read his present watermarks.
// wire.ErrNoChat says that there is no such chat or message, wire.ErrArchived that the message is not in the hot store.
func (s *Store) ReceiptsOf(chatID string, seq wire.Seq) (all []wire.Watermarks, err error) {
	messages, err := s.Range(chatID, seq, 1)
	if err != nil {
		return nil, err
	}
	if len(messages) == 0 || messages[0].Seq != seq {
		if head, err := s.Head(chatID); err != nil || seq < head.HotFrom {
			return nil, errors.Join(err, wire.ErrArchived)
		}
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
		marks, err := readMarks(db, chat.ChatID, member)
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
		marks.DeliveredAt, marks.ReadAt = 0, 0
		if marks.Delivered >= m.Seq {
			marks.DeliveredAt = r.of(member.UserID, riseDelivered).at(m.Seq)
		}
		if marks.Read >= m.Seq {
			marks.ReadAt = r.of(member.UserID, riseRead).at(m.Seq)
		}
		all = append(all, marks)
	}
	return all, r.close()
}
