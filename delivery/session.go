package delivery

import (
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/delivery/frame"
	"github.com/quorate/quorate/sequencer/wire"
)

// sessionState is how far a session has come. It only rises.
type sessionState byte

const (
	stateWaiting sessionState = iota // no good hello yet
	stateLoading                     // registered; its chats are being read
	stateLive                        // welcomed: cursors are set
	stateClosed                      // nothing is sent any more
)

// session is one WebSocket: the user's /stream, or one chat's stream. It takes frames from its connection, pushes from the
// feed readers and answers from the sequencer, each on their own goroutine; mu orders them. Nothing here waits while mu is
// held, and nothing is called under mu that could call back into the session.
type session struct {
	srv   *Server
	plain string // the one chat of a chat stream, "" for /stream

	// user, device and expires are set before the session is registered and never change.
	user    string
	device  string
	expires int64 // Unix seconds, of the token; 0: never

	mu       sync.Mutex
	c        *conn     // nil until the upgrade is done
	pre      *identity // from the handshake, where it held a token; nil once hello was said
	live     uint64    // messages pushed since the last flush that a feed reader has promised
	requests int32     // that wait for the sequencer
	state    sessionState
	dirty    bool        // frames wait for such a flush
	full     bool        // the outbox has no room; onDrained ends it
	retrying bool        // a timer will pump again
	away     atomic.Bool // by the client's word; not of mu

	positions positions           // in every chat, but those that busy has
	busy      map[string]*cursor  // in chats where something is under way, or that the user has left; nil for none
	early     map[string]wire.Seq // while loading: the highest seq the feed told, per chat
	queue     []*cursor           // wait for a pull, first come first served
	pulls     int32               // in flight
	page      int32               // messages asked for in one pull
	behind    int32               // cursors that have not reached what was there at hello
	moved     []*cursor           // those that were behind at hello; nil once caughtUp is sent
	lost      map[string]struct{} // chats whose receipts and changes found no room
	typed     map[string]time.Time
}

func newSession(srv *Server, pre identity) *session {
	s := &session{srv: srv, page: int32(srv.limits.PageMessages)}
	if pre.user != "" {
		s.pre = &pre
	}
	return s
}

// newSessionID draws the id of a session: clients are told it, and it is kept nowhere.
func newSessionID() string { return rand.Text() }

// attach gives the session its connection. Whoever comes first calls it: the upgrade, or the connection's first frame.
func (s *session) attach(c *conn) {
	s.mu.Lock()
	s.c = c
	s.mu.Unlock()
}

// onText implements connHandler.
func (s *session) onText(c *conn, payload []byte) {
	s.attach(c)
	if s.plain != "" {
		s.answer(errorFrame(nil, refuse(codeBadRequest, "this stream takes no frames; use /stream")))
		return
	}
	s.handle(payload)
}

// onDrained implements connHandler: there is room again.
func (s *session) onDrained(*conn) {
	s.mu.Lock()
	if s.state != stateLive {
		s.mu.Unlock()
		return
	}
	s.full = false
	s.sendCaughtUp()
	lost := s.takeLost()
	pulls := s.pump()
	s.mu.Unlock()
	s.start(pulls)
	if len(lost) > 0 {
		s.srv.loads.add(loadRequest{s: s, again: true, lost: lost})
	}
}

// onClose implements connHandler.
func (s *session) onClose(*conn, int) {
	s.mu.Lock()
	user := s.user
	s.state = stateClosed
	s.positions, s.busy, s.early, s.queue, s.moved, s.lost, s.typed = nil, nil, nil, nil, nil, nil, nil
	s.mu.Unlock()
	if user != "" {
		s.srv.registry.remove(s)
	}
}

// shut closes the connection with a code; nothing is pushed any more. What is queued before it still goes out.
func (s *session) shut(code int, reason string) {
	s.mu.Lock()
	c, closed := s.c, s.state == stateClosed
	s.state = stateClosed
	s.mu.Unlock()
	if c != nil && !closed {
		c.close(code, reason)
	}
}

// answer sends frames that the client waits for. Where there is no room for them the client does not read what it asks
// for, and has to resume.
func (s *session) answer(frames ...[]byte) {
	s.mu.Lock()
	c, open := s.c, s.state != stateClosed
	sent := open && c.send(frames...)
	s.mu.Unlock()
	if open && !sent {
		s.shut(closeSlowConsumer, retryReason(time.Second))
	}
}

// from is where the client is.
func (s *session) from() addressKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.c.from
}

// begin counts a request that will wait for the sequencer; done ends it. begin is false where there are too many.
func (s *session) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(s.requests) >= s.srv.limits.SessionRequests {
		return false
	}
	s.requests++
	return true
}

func (s *session) done() {
	s.mu.Lock()
	s.requests--
	s.mu.Unlock()
}

// inFlight returns how many requests wait for the sequencer.
func (s *session) inFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.requests)
}

// flushed is called by a feed reader right before it flushes the connection: what is queued from now on needs a new flush.
func (s *session) flushed() *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty = false
	s.srv.stats.pushedLive.Add(s.live)
	s.live = 0
	return s.c
}

// errorFrame encodes an error frame; id is the request's as it was written, or nil.
func errorFrame(id []byte, p *problem) []byte {
	return errorFrameIn(id, "", p)
}

// errorFrameIn is errorFrame that names the chat it is about.
func errorFrameIn(id []byte, chatID string, p *problem) []byte {
	body := openFrame("error", id)
	if chatID != "" {
		body = appendText(body, "chatId", chatID)
	}
	body = appendProblem(append(body, ','), p)
	return closeFrame(body)
}

// openFrame begins the JSON of a frame: its type, and the id of the request that it answers.
func openFrame(kind string, id []byte) []byte {
	body := append(make([]byte, 0, 256), `{"type":"`...)
	body = append(append(body, kind...), '"')
	if id != nil {
		body = append(appendKey(body, "id"), id...)
	}
	return body
}

// closeFrame ends the JSON and puts it into a WebSocket frame.
func closeFrame(body []byte) []byte {
	body = append(body, '}')
	return frame.AppendText(make([]byte, 0, len(body)+frame.MaxHeaderBytes), body)
}
