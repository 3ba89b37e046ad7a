package delivery

import (
	"context"
	"strconv"

	"github.com/quorate/quorate/sequencer/wire"
)

// openChatStream takes a handshake for /chats/{chatId}/stream[?cursor=N]. Token, cursor and membership are checked before
// the upgrade, so that each has its HTTP status. The stream is a session with one cursor and no hello: it pushes messages
// from the cursor on, or those committed after the handshake, and takes no frames.
func (s *Server) openChatStream(ctx context.Context, c *call) error {
	if err := s.admit(c); err != nil {
		return err
	}
	who, _, err := s.auth.ofHandshake(c.r)
	if err != nil || who.user == "" {
		return s.badToken(c.from, err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.RequestTimeout)
	defer cancel()
	heads, err := s.seq.Heads(ctx, []string{c.arg}, who.user)
	if err != nil {
		return readFault(err)
	}
	if !heads[0].Found {
		return notFound()
	}
	next, err := streamCursor(c, heads[0])
	if err != nil {
		return err
	}
	session := newSession(s, who)
	session.plain = c.arg
	session.positions.set(c.arg, next)
	conn, err := s.engine.upgrade(c.w, c.r, []string{protocolV1}, session)
	if err != nil {
		s.noteUpgrade(err)
		return nil // upgrade has answered
	}
	session.attach(conn)
	session.register(who, "")
	// What was committed between the look at the head and the word to the hubs is found by looking once.
	s.announcer.await(ctx)
	session.missed(c.arg, 0)
	return nil
}

// streamCursor reads where a chat's stream begins.
func streamCursor(c *call, h wire.Head) (wire.Seq, error) {
	values, err := c.query()
	if err != nil {
		return 0, err
	}
	if !values.Has("cursor") {
		return h.LastSeq + 1, nil
	}
	next, err := parseSeq("cursor", values.Get("cursor"))
	if err == nil && next > h.LastSeq+1 {
		err = refuse(codeBadRequest, "the cursor is beyond the chat's end, "+strconv.FormatUint(uint64(h.LastSeq), 10))
	}
	return next, err
}
