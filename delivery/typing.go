package delivery

import (
	"time"

	"github.com/quorate/quorate/delivery/relay"
)

// maxTyping is how many chats a session may type in within one TypingInterval.
const maxTyping = 16

// typing tells the chat's other members who are online that the user types. It is never stored; more often than once in TypingInterval it
// is dropped without a word.
func (s *session) typing(r *request) *problem {
	chatID := r.id("chatId")
	if r.err != nil {
		return problemOf(r.err)
	}
	member, loading := s.isIn(chatID)
	if loading {
		return nil // it is not known yet, and of passing worth
	}
	if !member {
		return notFound()
	}
	if s.mayType(chatID, s.srv.now()) {
		s.srv.router.send(relay.Hint{Kind: relay.HintTyping, UserID: s.user, Chats: []string{chatID}})
	}
	return nil
}

// isIn tells whether the session's user is a member of the chat, as far as the session knows.
func (s *session) isIn(chatID string) (member, loading bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, member = s.follows(chatID)
	return member, s.state == stateLoading
}

func typingFrame(chatID, user string) []byte {
	return closeFrame(appendText(appendText(openFrame("typing", nil), "chatId", chatID), "userId", user))
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
