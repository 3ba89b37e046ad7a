package raftfsm

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/sequencer/wire"
)

// Times fills DeliveredAt and ReadAt of messages of one chat: when the last of the other members whose membership covers
// the message reached it, 0 until then and where there is nobody else. It is quickest for messages in ascending order.
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
		for i, at := range r.last(chat, marks, messages, riseDelivered) {
			messages[i].DeliveredAt = at
		}
		for i, at := range r.last(chat, marks, messages, riseRead) {
			messages[i].ReadAt = at
		}
		return r.close()
	})
}

// last tells of each message when the last of the others reached it. Whom the watermarks show to be behind is sorted out
// first, so that rises are read only of messages that all have reached.
func (r *rises) last(chat *wire.Chat, marks []wire.Watermarks, messages []wire.Message, kind riseKind) []wire.Millis {
	times := make([]wire.Millis, len(messages))
	behind := make([]bool, len(messages))
	each := func(visit func(member, message int)) {
		for i := range chat.Members {
			for j := range messages {
				if m := &messages[j]; !behind[j] && chat.Members[i].UserID != m.SenderID && chat.Members[i].Covers(m.Seq) {
					visit(i, j)
				}
			}
		}
	}
	each(func(i, j int) {
		mark := marks[i].Delivered
		if kind == riseRead {
			mark = marks[i].Read
		}
		behind[j] = mark < messages[j].Seq
	})
	var of *riseSeries
	each(func(i, j int) {
		if of == nil || of.userID != chat.Members[i].UserID {
			of = r.of(chat.Members[i].UserID, kind)
		}
		at := of.at(messages[j].Seq)
		times[j] = max(times[j], at)
		behind[j] = at == 0 // he came back, and did not reach it when he was here before
	})
	for j := range times {
		if behind[j] {
			times[j] = 0
		}
	}
	return times
}

// rises reads when watermarks rose. The first failure sticks, for close.
type rises struct {
	chatID string
	it     *pebble.Iterator
	key    []byte
	err    error
}

func newRises(db pebble.Reader, chatID string) (*rises, error) {
	prefix := key2(nil, tableRise, chatID, "")
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return nil, err
	}
	return &rises{chatID: chatID, it: it}, nil
}

func (r *rises) close() error { return errors.Join(r.err, r.it.Close()) }

// riseSeries is the rises of one watermark. It holds the last one found, which is good for every message from the one
// asked for to its own.
type riseSeries struct {
	*rises
	userID   string
	kind     riseKind
	from, to wire.Seq
	when     wire.Millis
}

func (r *rises) of(userID string, kind riseKind) *riseSeries {
	return &riseSeries{rises: r, userID: userID, kind: kind}
}

// at tells when the watermark first reached seq, 0 where no rise tells it.
func (s *riseSeries) at(seq wire.Seq) wire.Millis {
	if seq >= s.from && seq <= s.to {
		return s.when
	}
	s.key = riseKey(s.key[:0], s.chatID, s.userID, s.kind, seq)
	prefix := len(s.key) - 8
	if !s.it.SeekGE(s.key) || string(s.it.Key()[:prefix]) != string(s.key[:prefix]) {
		s.from, s.to, s.when = seq, wire.MaxSeq, 0 // nor does any tell of those behind it
		return 0
	}
	d := openRecord(s.it.Value())
	s.from, s.to, s.when = seq, wire.Seq(keyNumber(s.it.Key())), d.millis()
	if err := d.end(); err != nil && s.err == nil {
		s.err = fmt.Errorf("rise of %s in %s: %w", s.userID, s.chatID, err)
	}
	return s.when
}
