package delivery

import "context"

// protocolV1 is the subprotocol of /stream.
const protocolV1 = "quorate.v1"

// openStream takes a handshake for /stream. A token in the handshake is checked before the upgrade; without one hello has to
// bring it.
func (s *Server) openStream(_ context.Context, c *call) error {
	if err := s.admit(); err != nil {
		return err
	}
	who, offered, err := s.auth.ofHandshake(c.r)
	if offered && err != nil {
		return tokenFault(err)
	}
	session := newSession(s, who)
	conn, err := s.engine.upgrade(c.w, c.r, []string{protocolV1}, session)
	if err != nil {
		return nil // upgrade has answered
	}
	session.attach(conn)
	s.greeter.expect(session)
	return nil
}

// admit refuses WebSockets while this edge cannot serve them.
func (s *Server) admit() error {
	if s.draining() {
		return refuse(codeUnavailable, "this edge is draining")
	}
	if !s.hub.ready() {
		return refuse(codeUnavailable, "this edge has not found its cluster yet")
	}
	return nil
}
