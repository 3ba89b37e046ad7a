package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/quorate/quorate/delivery/relay"
	"github.com/quorate/quorate/sequencer/wire"
)

// Receipts and changes of a chat are pushed beside the messages, without a place in their order. They tell of state, so
// where one finds no room the session remembers only the chat, and sends the state itself when there is room.

// notify pushes a frame that tells something of a chat. It tells whether the caller has to flush the session.
func (s *session) notify(chatID string, frame []byte) (flush bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateLive || s.plain != "" {
		return false // a session that loads reads the state after this
	}
	if s.full || !s.room(frame, 3) {
		s.remember(chatID)
		return false
	}
	flush = !s.dirty
	s.dirty = true
	return flush
}

// hint pushes a frame that is worth nothing later: it is dropped where there is no room.
func (s *session) hint(frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateLive && s.plain == "" && !s.full && s.room(frame, 2) {
		s.c.flush()
	}
}

// maxRecovered is how many chats are looked after each time there is room.
const maxRecovered = 8

// takeLost returns some of the chats whose frames found no room. Called with mu held.
func (s *session) takeLost() (chats []string) {
	for chatID := range s.lost {
		if len(chats) == maxRecovered {
			s.c.askDrained() // for the others
			break
		}
		delete(s.lost, chatID)
		chats = append(chats, chatID)
	}
	return chats
}

// recover sends the present state of chats whose frames found no room. A chat that cannot be read now is tried again.
func (l *loader) recover(ctx context.Context, s *session, chats []string) {
	for _, chatID := range chats {
		view, err := l.srv.seq.GetChat(ctx, chatID, s.user)
		var marks []wire.Watermarks
		if err == nil {
			marks, err = l.srv.seq.Receipts(ctx, chatID, 0, s.user)
		}
		switch {
		case errors.Is(err, wire.ErrNotMember) || errors.Is(err, wire.ErrNoChat): // left meanwhile
		case err != nil:
			l.srv.note(problemOf(err), "send a chat's state", err)
			s.lose(chatID)
		default:
			s.renotify(chatID, chatFrame(&view.Chat, view.LastSeq))
			for i := range marks {
				l.retell(s, relay.Item{
					Kind: relay.ItemReceipt, ChatID: chatID, Marks: marks[i], At: max(marks[i].DeliveredAt, marks[i].ReadAt),
				})
			}
		}
	}
}

// retell sends a receipt that was read, unless the feed has brought more meanwhile: that the session has, or has it to come.
func (l *loader) retell(s *session, i relay.Item) {
	if l.srv.told.begin(&i) {
		s.renotify(i.ChatID, receiptFrame(nil, i.ChatID, &i.Marks, i.At))
		l.srv.told.end(&i)
	}
}

// lose remembers a chat whose state could not be sent, and asks for another try.
func (s *session) lose(chatID string) {
	s.srv.after(time.Second, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.state == stateLive {
			s.remember(chatID)
			s.c.askDrained()
		}
	})
}

// remember notes that a frame of the chat found no room. Called with mu held.
func (s *session) remember(chatID string) {
	if s.lost == nil {
		s.lost = map[string]struct{}{}
	}
	if _, ok := s.follows(chatID); ok { // so there are never more than chats
		s.lost[chatID] = struct{}{}
	}
}

func (s *session) renotify(chatID string, frame []byte) {
	if s.notify(chatID, frame) {
		s.flushed().flush()
	}
}

// receiptFrame encodes how far a member has come. id is the request's that asked for it, or nil.
func receiptFrame(id []byte, chatID string, m *wire.Watermarks, at wire.Millis) []byte {
	body := openFrame("receipt", id)
	body = appendText(body, "chatId", chatID)
	body = appendText(body, "userId", m.UserID)
	body = appendNumber(body, "deliveredUpTo", uint64(m.Delivered))
	body = appendNumber(body, "readUpTo", uint64(m.Read))
	return closeFrame(appendTime(body, "at", at))
}

// chatFrame encodes a chat as it stands at lastSeq.
func chatFrame(c *wire.Chat, lastSeq wire.Seq) []byte {
	at := *c
	at.LastSeq = lastSeq
	return closeFrame(append(appendChat(append(openFrame("chat", nil), `,"chat":`...), &at), '}'))
}

// leftFrame encodes a chat for one who is no longer a member: without members, who are none of his business.
func leftFrame(c *wire.Chat, lastSeq wire.Seq) []byte {
	at := *c
	at.LastSeq, at.Members = lastSeq, nil
	body := appendChat(append(openFrame("chat", nil), `,"chat":`...), &at)
	return closeFrame(append(body, `,"removed":true}`...))
}
