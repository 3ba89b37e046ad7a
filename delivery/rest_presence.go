package delivery

import (
	"context"
	"fmt"
	"net/http"

	"github.com/quorate/quorate/delivery/relay"
	"github.com/quorate/quorate/sequencer/wire"
)

// getPresence tells whether a user is there, to those who share a chat with him.
func (s *Server) getPresence(ctx context.Context, c *call) error {
	common, err := s.shareChat(ctx, c.user, c.arg)
	if err != nil {
		return readFault(err)
	}
	if !common {
		return notFound()
	}
	p, err := s.presenceOf(ctx, c.arg)
	if err != nil {
		return readFault(err)
	}
	body := appendPresence([]byte{'{'}, c.arg, p)
	writeJSON(c.w, http.StatusOK, append(append(body[:1], body[2:]...), '}')) // without the first comma
	return nil
}

// presenceOf asks those who know: the hubs of the regions, and where no one has him the sequencer for when he was last there.
func (s *Server) presenceOf(ctx context.Context, user string) (relay.Presence, error) {
	p := s.presence.anywhere(ctx, user)
	if p.LastSeen != 0 {
		return p, nil
	}
	at, err := s.seq.LastSeen(ctx, user)
	if err != nil {
		return p, fmt.Errorf("read when a user was last seen: %w", err)
	}
	p.LastSeen = at
	return p, nil
}

// shareChat tells whether two users are members of a common chat, or are one.
func (s *Server) shareChat(ctx context.Context, a, b string) (bool, error) {
	if a == b {
		return true, nil
	}
	chats := map[string]bool{}
	err := s.eachChat(ctx, a, func(id string) bool {
		chats[id] = true
		return true
	})
	if err != nil || len(chats) == 0 {
		return false, err
	}
	found := false
	err = s.eachChat(ctx, b, func(id string) bool {
		found = chats[id]
		return !found
	})
	return found, err
}

// eachChat calls visit for the chats of a user, as far as a session would have them, until it is false.
func (s *Server) eachChat(ctx context.Context, user string, visit func(chatID string) bool) error {
	for after, n := "", 0; n <= s.limits.SessionChats; {
		lines, next, err := s.seq.UserChats(ctx, user, after, wire.MaxPage)
		if err != nil {
			return fmt.Errorf("read a chat list: %w", err)
		}
		for _, line := range lines {
			if !visit(line.ChatID) {
				return nil
			}
		}
		if next == "" {
			return nil
		}
		after, n = next, n+len(lines)
	}
	return nil
}
