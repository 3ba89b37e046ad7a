package delivery

import (
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// maxTyping is how many chats a session may type in within one TypingInterval.
const maxTyping = 16

// typing tells the chat's other members who are online at this edge that the user types. It is never stored; more often than
// once in TypingInterval it is dropped without a word.
func (s *session) typing(r *request) *problem {
	chatID := r.id("chatId")
	if r.err != nil {
		return problemOf(r.err)
	}
	if !s.mayType(chatID, s.srv.now()) {
		return nil
	}
	return s.waiting(func() {
		s.srv.members.chat(chatID, func(chat *wire.Chat, err error) {
			defer s.done()
			if err == nil {
				if _, member := chat.Member(s.user); !member {
					err = wire.ErrNotMember
				}
			}
			if err != nil {
				s.refused(r.ref, "typing", readFault(err))
				return
			}
			s.tellTyping(chat)
		})
	})
}

func (s *session) tellTyping(chat *wire.Chat) {
	f := closeFrame(appendText(appendText(openFrame("typing", nil), "chatId", chat.ChatID), "userId", s.user))
	for i := range chat.Members {
		if user := chat.Members[i].UserID; user != s.user {
			for _, other := range s.srv.registry.sessions(user) {
				other.hint(f)
			}
		}
	}
}

// mayType counts a typing frame.
func (s *session) mayType(chatID string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateClosed {
		return false
	}
	for id, last := range s.typed {
		if now.Sub(last) >= s.srv.limits.TypingInterval {
			delete(s.typed, id)
		}
	}
	if _, again := s.typed[chatID]; again || len(s.typed) >= maxTyping {
		return false
	}
	if s.typed == nil {
		s.typed = map[string]time.Time{}
	}
	s.typed[chatID] = now
	return true
}
