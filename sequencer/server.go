package sequencer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/redcon"
)

// server is the RESP server of a node. redcon accepts connections and reads their first command; from then on each runs
// by itself, as a conn.
type server struct {
	node   *Node
	limits *Limits
	log    *slog.Logger
	ln     net.Listener
	start  time.Time

	lastID  atomic.Int64 // of connections
	waiting tokens       // reads of the feed that wait
	counts  serverCounts

	mu      sync.Mutex
	guards  map[*guard]*conn // all connections; nil until the first command
	closing bool
	ended   sync.WaitGroup // connections that redcon runs
}

// serverCounts is what INFO tells of the work done since the start.
type serverCounts struct {
	accepted, rejected atomic.Int64 // connections
	commands           atomic.Int64
	appends, reads     atomic.Int64 // done
	busy, moved, vague atomic.Int64 // answers BUSY, MOVED and UNKNOWN
	hostile, wrongPass atomic.Int64
	panics             atomic.Int64
}

const (
	authWait    = time.Minute      // for a connection to prove who it is, where a password is wanted
	closeWait   = time.Second      // for the commands under way when the server is closed
	acceptPause = time.Millisecond // after a failed accept; doubles
	acceptMax   = time.Second
)

func newServer(n *Node, ln net.Listener) *server {
	return &server{
		node: n, limits: &n.cfg.Limits, log: n.log, ln: ln, start: time.Now(),
		waiting: make(tokens, n.cfg.Limits.BlockedReads), guards: map[*guard]*conn{},
	}
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
		log:    s.log.With("client", redis.RemoteAddr()),
		redis:  redis.Detach(),
		authed: s.node.cfg.Password == "", answers: newAnswers(s.limits),
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
	g := newGuard(conn, s.limits, nil)
	g.closed = func() {
		s.mu.Lock()
		delete(s.guards, g)
		s.mu.Unlock()
	}
	if closing, room := s.enter(g); closing || !room {
		s.counts.rejected.Add(1)
		refuse(conn, closing)
		return nil
	}
	s.counts.accepted.Add(1)
	if s.node.cfg.Password == "" {
		g.trust()
	} else if err := conn.SetReadDeadline(time.Now().Add(authWait)); err != nil {
		s.log.Debug("set the deadline for AUTH", "err", err)
	}
	return g
}

// enter counts a connection in where there is room for it.
func (s *server) enter(g *guard) (closing, room bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || len(s.guards) >= s.limits.Connections {
		return s.closing, false
	}
	s.guards[g] = nil
	s.ended.Add(1)
	return false, true
}

// refuse closes a connection that there is no room for, and says so.
func refuse(conn net.Conn, closing bool) {
	defer conn.Close()
	if !closing && conn.SetWriteDeadline(time.Now().Add(farewellWait)) == nil {
		fmt.Fprint(conn, "-ERR max number of clients reached\r\n") // fits where nothing was written before
	}
}
