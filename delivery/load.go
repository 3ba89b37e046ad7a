package delivery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// loader reads the chats of sessions that said hello, and where each stands. A fixed number of goroutines does that, so that
// a storm of reconnects reaches the sequencer at a bounded rate; more wait in a bounded queue, and beyond it clients are told
// when to come back.
type loader struct {
	srv   *Server
	queue chan loadRequest
	wg    sync.WaitGroup
}

// loadRequest is one session to load. cursors is what hello asked for. With again the session is live and has to find out
// what it may have missed.
type loadRequest struct {
	s       *session
	id      []byte // of the hello
	cursors map[string]wire.Seq
	again   bool
	lost    []string      // with again: only the state of these chats is to be sent
	group   *wire.GroupID // with again: only the chats of this group; nil for all
}

func newLoader(srv *Server) *loader {
	return &loader{srv: srv, queue: make(chan loadRequest, srv.limits.LoadQueue)}
}

// open starts the goroutines; they end with ctx.
func (l *loader) open(ctx context.Context) {
	for range l.srv.limits.Loading {
		l.wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case r := <-l.queue:
					l.load(ctx, r)
				}
			}
		})
	}
}

func (l *loader) close() { l.wg.Wait() }

// add queues a session, or closes it with a time to come back.
func (l *loader) add(r loadRequest) {
	select {
	case l.queue <- r:
	default:
		r.s.shut(closeOverloaded, retryReason(time.Second+rand.N(4*time.Second)))
	}
}

// load reads everything and makes the session live.
func (l *loader) load(ctx context.Context, r loadRequest) {
	ctx, cancel := context.WithTimeout(ctx, 2*l.srv.limits.RequestTimeout)
	defer cancel()
	if len(r.lost) > 0 {
		l.recover(ctx, r.s, r.lost)
		return
	}
	l.srv.announcer.await(ctx)
	chats, err := l.chats(ctx, r)
	var heads map[string]wire.Head
	if err == nil && !r.again {
		heads, err = l.heads(ctx, r.s.user, chats)
	}
	switch {
	case err == nil && r.again:
		groups := l.srv.hub.size()
		for _, chatID := range append(chats, r.s.following()...) {
			if r.group == nil || wire.GroupOf(wire.SlotOf(chatID), groups) == *r.group {
				r.s.missed(chatID, 0)
			}
		}
	case err == nil:
		r.s.ready(r, heads)
	case errors.Is(err, errManyChats):
		r.s.answer(errorFrame(r.id, refuse(codeTooLarge, err.Error())))
		r.s.shut(closeBadFrame, string(codeTooLarge))
	default:
		p := problemOf(readFault(err))
		l.srv.note(p, "load a session", err)
		r.s.answer(errorFrame(r.id, p))
		r.s.shut(closeOverloaded, retryReason(time.Second+rand.N(time.Second)))
	}
}

var errManyChats = errors.New("this user has more chats than one connection can serve")

// chats gives the ids of the user's chat list and of the cursors. The list may lag behind the chats for a moment; what it
// does not hold yet, the feed or a cursor brings.
func (l *loader) chats(ctx context.Context, r loadRequest) ([]string, error) {
	var ids []string
	listed := map[string]bool{}
	for after := ""; ; {
		lines, next, err := l.srv.seq.UserChats(ctx, r.s.user, after, wire.MaxPage)
		if err != nil {
			return nil, fmt.Errorf("read the chat list: %w", err)
		}
		for _, line := range lines {
			if !listed[line.ChatID] {
				listed[line.ChatID] = true
				ids = append(ids, line.ChatID)
			}
		}
		if len(ids) > l.srv.limits.SessionChats {
			return nil, errManyChats
		}
		if next == "" {
			break
		}
		after = next
	}
	for chatID := range r.cursors {
		if !listed[chatID] {
			ids = append(ids, chatID)
		}
	}
	return ids, nil
}

// heads asks where every chat stands for the user. A chat that does not exist or is not the user's is not in the answer.
func (l *loader) heads(ctx context.Context, user string, chats []string) (map[string]wire.Head, error) {
	list, err := l.srv.seq.Heads(ctx, chats, user)
	if err != nil {
		return nil, fmt.Errorf("read the heads of a user's chats: %w", err)
	}
	out := make(map[string]wire.Head, len(list))
	for _, h := range list {
		if h.Found {
			out[h.ChatID] = h
		}
	}
	return out, nil
}

// ready sets the session's cursors, welcomes the client and begins to send what is missing.
func (s *session) ready(r loadRequest, heads map[string]wire.Head) {
	s.mu.Lock()
	if s.state != stateLoading {
		s.mu.Unlock()
		return
	}
	s.state = stateLive
	s.moved = []*cursor{}
	frames := [][]byte{s.welcome(r.id, heads)}
	for chatID := range r.cursors {
		if _, mine := heads[chatID]; !mine {
			frames = append(frames, errorFrameIn(r.id, chatID, notFound()))
		}
	}
	s.positions = make(positions, 0, len(heads))
	for _, chatID := range slices.Sorted(maps.Keys(heads)) {
		h := heads[chatID]
		if bad := s.place(chatID, h, r.cursors[chatID]); bad != nil {
			frames = append(frames, errorFrameIn(r.id, chatID, bad))
		}
	}
	for chatID, seq := range s.early { // the user may have joined it just now, so it need not be in heads
		cur := s.adopt(chatID)
		if cur.known = max(cur.known, seq); seq == 0 || cur.next == 0 || cur.known >= cur.next {
			s.enqueue(cur)
		}
	}
	s.early = nil
	sent := s.c.send(frames...)
	s.sendCaughtUp()
	pulls := s.pump()
	s.mu.Unlock()
	if !sent {
		s.shut(closeSlowConsumer, retryReason(time.Second))
		return
	}
	s.start(pulls)
}

// place makes the cursor of a chat. want is the cursor in hello, 0 without one.
func (s *session) place(chatID string, h wire.Head, want wire.Seq) (bad *problem) {
	next := want
	if want == 0 {
		next = startOf(h)
	}
	if next > h.LastSeq+1 {
		next = h.LastSeq + 1
		bad = refuse(codeBadRequest, "the cursor is beyond the chat's end, "+strconv.FormatUint(uint64(h.LastSeq), 10))
	}
	s.positions.set(chatID, next)
	if next <= h.LastSeq {
		cur := s.adopt(chatID)
		cur.until, cur.since = h.LastSeq, h.Since
		s.behind++
		s.moved = append(s.moved, cur)
		s.enqueue(cur)
	}
	return bad
}

// welcome encodes the answer to hello. A list that would fill the outbox is cut; the chats left out are served all the same.
func (s *session) welcome(id []byte, heads map[string]wire.Head) []byte {
	body := openFrame("welcome", id)
	body = appendText(body, "userId", s.user)
	body = appendText(body, "sessionId", newSessionID())
	body = appendNumber(body, "epoch", s.srv.epoch.now.Load())
	body = append(appendKey(body, "chats"), '[')
	first := true
	for chatID, h := range heads {
		if len(body) > s.srv.limits.OutboxBytes/4 {
			break
		}
		if !first {
			body = append(body, ',')
		}
		first = false
		body = append(body, `{"chatId":"`...)
		body = append(append(body, chatID...), '"')
		body = appendNumber(body, "lastSeq", uint64(h.LastSeq))
		body = append(appendNumber(body, "readUpTo", uint64(h.ReadUpTo)), '}')
	}
	return closeFrame(append(body, ']'))
}
