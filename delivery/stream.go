package delivery

import (
	"context"
	"errors"
)

// protocolV1 is the subprotocol of /stream.
const protocolV1 = "quorate.v1"

// openStream takes a handshake for /stream. A token in the handshake is checked before the upgrade; without one hello has to
// bring it.
func (s *Server) openStream(_ context.Context, c *call) error {
	if err := s.admit(c); err != nil {
		return err
	}
	who, offered, err := s.auth.ofHandshake(c.r)
	if offered && err != nil {
		return s.badToken(c.from, err)
	}
	session := newSession(s, who)
	conn, err := s.engine.upgrade(c.w, c.r, []string{protocolV1}, session)
	if err != nil {
		s.noteUpgrade(err)
		return nil // upgrade has answered
	}
	session.attach(conn)
	s.greeter.expect(session)
	return nil
}

// admit refuses WebSockets while this edge cannot serve them, and an address whose handshakes are too many.
func (s *Server) admit(c *call) error {
	if s.draining() {
		return refuse(codeUnavailable, "this edge is draining")
	}
	if !s.hub.ready() {
		return refuse(codeUnavailable, "this edge has not found its cluster yet")
	}
	if p := s.addresses.mayFail(c.from); p != nil {
		return p
	}
	if p := s.addresses.handshake(c.from); p != nil {
		return p
	}
	return nil
}

// noteUpgrade counts a handshake that the engine has refused and answered.
func (s *Server) noteUpgrade(err error) {
	var p *problem
	if errors.As(err, &p) {
		s.stats.refused(p.code)
	}
}
