package sequencer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/redcon"

	"github.com/quorate/quorate/trust"
)

// server is the RESP server of a node. redcon accepts connections and reads their first command; from then on each runs
// by itself, as a conn.
type server struct {
	node   *Node
	limits *Limits
	log    *slog.Logger
	ln     net.Listener
	start  time.Time
	access *access
	tls    *tls.Config // nil without certificates

	lastID  atomic.Int64 // of connections
	waiting tokens       // reads of the feed that wait
	counts  serverCounts

	mu      sync.Mutex
	guards  map[*guard]*conn    // all connections; nil until the first command
	pending map[*guard]struct{} // of these, that have not proved who they are
	closing bool
	ended   sync.WaitGroup // connections that redcon runs
}

// serverCounts is what INFO tells of the work done since the start.
type serverCounts struct {
	accepted, rejected atomic.Int64 // connections
	commands           atomic.Int64
	reads              atomic.Int64 // done
	hostile, wrongPass atomic.Int64
	strangers, pushed  atomic.Int64 // handshakes that failed; connections closed for others before they proved who they are
	denied             atomic.Int64 // answers NOPERM
	panics             atomic.Int64
	outcomes           []outcomes      // of calls, by the number of the command; 0 is of those that do not exist
	refused            []atomic.Uint64 // answers that are errors, by the index in reasons
}

const (
	authWait    = time.Minute      // for a connection to prove who it is, where a password is wanted
	greetWait   = 5 * time.Second  // for the handshake of TLS
	closeWait   = time.Second      // for the commands under way when the server is closed
	acceptPause = time.Millisecond // after a failed accept; doubles
	acceptMax   = time.Second
)

func newServer(n *Node, ln net.Listener) *server {
	s := &server{
		node: n, limits: &n.cfg.Limits, log: n.log, ln: ln, start: time.Now(), access: n.access,
		waiting: make(tokens, n.cfg.Limits.BlockedReads), guards: map[*guard]*conn{}, pending: map[*guard]struct{}{},
	}
	if n.cfg.Keys != nil {
		s.tls = n.cfg.Keys.Server("", n.takes)
	}
	s.counts.makeRoom()
	return s
}

// serve accepts connections until close.
func (s *server) serve() {
	frame := redcon.NewServerNetwork("tcp", s.ln.Addr().String(), s.handle, nil, s.end)
	if err := frame.Serve(&door{Listener: s.ln, server: s}); err != nil {
		s.log.Error("the RESP server ended", "err", err)
	}
}

// close ends the server. Connections are no longer read, what is under way is answered, for a moment, and then they
// are closed. It waits for all of them, and for serve's last call.
func (s *server) close() {
	s.mu.Lock()
	s.closing = true
	for g := range s.guards {
		s.stopReading(g)
	}
	s.mu.Unlock()
	timer := time.AfterFunc(closeWait, s.killAll)
	defer timer.Stop()
	s.ended.Wait()
	if err := s.ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		s.log.Error("close the RESP listener", "err", err)
	}
}

// stopReading has the reader of a connection end, as if the client had no more to say.
func (s *server) stopReading(g *guard) {
	if err := g.SetReadDeadline(time.Now()); err != nil {
		s.log.Debug("stop reading a connection", "err", err)
	}
}

// killAll closes all connections, whatever is under way on them.
func (s *server) killAll() {
	s.mu.Lock()
	open := maps.Clone(s.guards)
	s.mu.Unlock()
	for g, c := range open {
		if c != nil {
			c.cancel()
		}
		if err := g.Close(); err != nil {
			s.log.Debug("close a connection", "err", err)
		}
	}
}

// end is told of a connection that redcon has done with.
func (s *server) end(_ redcon.Conn, err error) {
	s.countHostile(err) // where it ended before its first command
	s.ended.Done()
}

// countHostile reports whether a connection ended for what it sent.
func (s *server) countHostile(err error) bool {
	var refused protocolError
	hostile := errors.Is(err, errForeign) || errors.As(err, &refused)
	if hostile {
		s.counts.hostile.Add(1)
	}
	return hostile
}

// handle is given the first command of a connection, and runs the connection. redcon has a goroutine for it anyway.
func (s *server) handle(redis redcon.Conn, first redcon.Command) {
	g := redis.NetConn().(*guard)
	c := &conn{
		srv: s, node: s.node, id: s.lastID.Add(1), guard: g,
		log:   s.log.With("client", redis.RemoteAddr()),
		redis: redis.Detach(),
		who:   g.who, users: s.access.users.Load(), answers: newAnswers(s.limits),
	}
	if s.access.open {
		c.who = anybody
	}
	g.taken = true
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.input, c.endInput = context.WithCancel(c.ctx)
	s.mu.Lock()
	if _, open := s.guards[g]; open {
		s.guards[g] = c
	}
	s.mu.Unlock()
	c.serve(first)
}

// door is the listener that redcon accepts from: it gives each connection its guard and bounds their number.
type door struct {
	net.Listener
	server *server
}

// Accept waits for a connection that there is room for. It outlasts what an accept may run into, such as too few file
// descriptors: redcon would try again without a pause.
func (d *door) Accept() (net.Conn, error) {
	pause := acceptPause
	for {
		conn, err := d.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil, err
		case err != nil:
			d.server.log.Error("accept a connection", "err", err)
			select {
			case <-time.After(pause):
			case <-d.server.node.closing:
			}
			pause = min(2*pause, acceptMax)
			continue
		}
		if g := d.server.admit(conn); g != nil {
			return g, nil
		}
	}
}

// admit gives a connection its guard, or refuses it.
func (s *server) admit(conn net.Conn) *guard {
	plain := conn
	g := newGuard(conn, s.limits, nil)
	if s.tls != nil {
		secured := trust.Accept(conn, s.tls)
		g.Conn, g.greet = secured, func() error { return s.greet(g, secured) }
	}
	g.closed = func() {
		s.mu.Lock()
		delete(s.guards, g)
		delete(s.pending, g)
		s.mu.Unlock()
	}
	if closing, room := s.enter(g); closing || !room {
		s.counts.rejected.Add(1)
		refuse(plain, closing || s.tls != nil)
		return nil
	}
	s.counts.accepted.Add(1)
	if s.access.open {
		s.trust(g)
	} else if err := conn.SetReadDeadline(time.Now().Add(authWait)); err != nil {
		s.log.Debug("set the deadline for AUTH", "err", err)
	}
	return g
}

// greet shakes hands, before the first byte of a command is read: the certificate says who is there.
func (s *server) greet(g *guard, conn *trust.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(greetWait)); err != nil {
		return err
	}
	if err := conn.Handshake(); err != nil {
		s.counts.strangers.Add(1)
		s.log.Debug("a stranger at the RESP port", "client", conn.RemoteAddr(), "err", err)
		return err
	}
	name, err := conn.Peer()
	if err != nil {
		return err
	}
	g.who = certified(name)
	s.trust(g)
	return conn.SetDeadline(time.Time{})
}

// trust says that a connection has proved who it is.
func (s *server) trust(g *guard) {
	g.trust()
	s.mu.Lock()
	delete(s.pending, g)
	s.mu.Unlock()
}

// pendingShare is the part of all connections that need not have proved who they are.
const pendingShare = 4

// enter counts a connection in where there is room for it. Of those that have not proved who they are one, whichever, goes
// where they are too many: those who come and say nothing do not keep others out.
func (s *server) enter(g *guard) (closing, room bool) {
	var pushed *guard
	defer func() {
		if pushed != nil {
			s.counts.pushed.Add(1)
			if err := pushed.Close(); err != nil {
				s.log.Debug("close a connection", "err", err)
			}
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	full := len(s.guards) >= s.limits.Connections
	if full || len(s.pending) >= max(1, s.limits.Connections/pendingShare) {
		for old := range s.pending {
			pushed = old
			delete(s.pending, old)
			delete(s.guards, old)
			full = false
			break
		}
	}
	if s.closing || full {
		return s.closing, false
	}
	s.guards[g], s.pending[g] = nil, struct{}{}
	s.ended.Add(1)
	return false, true
}

// refuse closes a connection that there is no room for, and says so.
func refuse(conn net.Conn, silent bool) {
	defer conn.Close()
	if !silent && conn.SetWriteDeadline(time.Now().Add(farewellWait)) == nil {
		fmt.Fprint(conn, "-ERR max number of clients reached\r\n") // fits where nothing was written before
	}
}
