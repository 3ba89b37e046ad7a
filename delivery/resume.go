package delivery

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// Catch-up and live, per chat and session, without a gap or a repeat between the two.
//
// A cursor holds next, the seq that is pushed next. Every push, live or from a page, is made under the session's lock, is of
// a seq not below next, and raises next above it. So nothing is pushed twice, and the order is that of the log.
//
// There is no gap either. Take a message with seq S in a chat of the session's user, and its event, which each edge's feed
// reader dispatches once, after the message was committed.
//   - The event is dispatched before the session is registered: the first page is asked for after that, at the leader and
//     linearizable, so it reaches S or a later page does.
//   - The event is dispatched while the session loads, or while the cursor waits for a page: S is noted in known. A cursor
//     goes live only when a page has reached the head and next > known, both looked at under the lock.
//   - The event is dispatched while the cursor is live: S == next is pushed; S < next was pushed; S > next notes S and asks
//     for pages again.
//   - A page is asked for that this node remembers: it is taken from memory only where the chat's messages are there without a hole from the
//     cursor through all that the session knows to exist, and where the user may read all of them as of hello. What was committed after that is
//     noted in known while the page is taken, or is pushed after it.
//   - The outbox has no room: as if a page were pending; the cursor goes back to pages and asks when there is room.
//   - The edge's feed position was trimmed, or a chat's parked events were dropped: every cursor concerned gets a known above
//     what it may have missed, or is told to look once.
//
// Holes between two memberships are stepped over by the sequencer, which filters pages by the member's intervals.

// maxPulls is how many pages one session may wait for at a time.
const maxPulls = 4

// cursor is how far a session has come in a chat where something is under way, or that its user has left. In all others the session
// has a place. The session's lock guards both.
type cursor struct {
	chatID  string
	next    wire.Seq // pushed next; 0: not known yet, the member's delivered watermark will tell
	known   wire.Seq // the highest seq the feed told of while the cursor was not live
	until   wire.Seq // what was there at hello; 0 once it is passed
	since   wire.Seq // the user may read all from here on, as of hello; 0: not known
	gen     uint32   // rises when the user leaves, so that a page asked for before is not pushed
	queued  bool     // in the session's queue
	pulling bool     // a page is asked for
	again   bool     // look once more after the page in flight, which may be too old
	gone    bool     // the user is no member at present
}

// pull is one page to ask for.
type pull struct {
	cur   *cursor
	gen   uint32
	next  wire.Seq
	count int
	upTo  wire.Seq // the chat has messages up to here; 0: it is not known how many
}

// push offers the session a run of live messages. It tells whether the caller has to flush the session.
func (s *session) push(r *run) (flush bool) {
	s.mu.Lock()
	if s.state != stateLive {
		if s.state == stateLoading {
			s.early[r.chat()] = max(s.early[r.chat()], r.last().Seq)
		}
		s.mu.Unlock()
		return false
	}
	flush, pulls := s.pushLive(r)
	s.mu.Unlock()
	s.start(pulls)
	return flush
}

// pushLive is push with the lock held: a run that begins with what is due is pushed whole, and any other message by message.
func (s *session) pushLive(r *run) (flush bool, pulls []pull) {
	if s.plain != "" && s.plain != r.chat() {
		return false, nil
	}
	if s.busy[r.chat()] == nil {
		at := s.positions.find(r.chat())
		if at != nil && r.last().Seq < at.next {
			return false, nil
		}
		if at != nil && r.first().Seq < at.next { // it has some of it
			return s.pushLive(&run{list: r.list[at.next-r.first().Seq:]})
		}
		if at != nil && r.first().Seq == at.next && !s.full && s.room(r.frames(s), 3) {
			at.next += wire.Seq(len(r.list))
			return s.pushed(len(r.list)), nil
		}
	}
	for i := range r.list {
		first, more := s.pushOne(&r.list[i])
		flush, pulls = flush || first, append(pulls, more...)
	}
	return flush, pulls
}

// pushOne is pushLive of one message, where something is under way in its chat or it is not the one that is due.
func (s *session) pushOne(m *message) (flush bool, pulls []pull) {
	cur := s.adopt(m.ChatID)
	if m.Seq < cur.next {
		return false, nil
	}
	live := m.Seq == cur.next && !cur.queued && !cur.pulling && !s.full
	if live && s.room(m.frame(s), 3) {
		cur.next++
		return s.pushed(1), nil
	}
	cur.known = max(cur.known, m.Seq)
	s.enqueue(cur)
	return false, s.pump()
}

// pushed counts n live messages. It tells whether the caller has to flush.
func (s *session) pushed(n int) (flush bool) {
	s.live += uint64(n)
	flush = !s.dirty
	s.dirty = true
	return flush
}

// room queues a frame where that leaves the outbox at most quarters/4 full: catch-up may take half of it, live pushes three
// quarters, and the rest is for answers.
func (s *session) room(f []byte, quarters int) bool {
	if f = planted(s, f); f == nil {
		return true
	}
	if waiting := s.c.buffered(); waiting > 0 && waiting+len(f) > s.srv.limits.OutboxBytes/4*quarters {
		s.full = true
		s.c.askDrained()
		return false
	}
	if !s.c.sendLater(f) {
		s.full = true // onDrained follows a refused send by itself
		return false
	}
	return true
}

// adopt returns the cursor of a chat that the user is a member of, a new one where the session had none.
func (s *session) adopt(chatID string) *cursor {
	cur := s.busy[chatID]
	if cur == nil {
		cur = &cursor{chatID: chatID}
		if at := s.positions.find(chatID); at != nil {
			cur.next = at.next
		}
		if s.busy == nil {
			s.busy = map[string]*cursor{}
		}
		s.busy[chatID] = cur
	}
	cur.gone = false
	return cur
}

// follows tells where the session stands in a chat; false where it has no place in it.
func (s *session) follows(chatID string) (next wire.Seq, ok bool) {
	if cur := s.busy[chatID]; cur != nil {
		return cur.next, !cur.gone
	}
	if at := s.positions.find(chatID); at != nil {
		return at.next, true
	}
	return 0, false
}

// rest puts a cursor away when nothing is under way in its chat. Before the client was told that it has caught up, what it is to
// be told stays.
func (s *session) rest(cur *cursor) {
	if cur.queued || cur.pulling || cur.again || cur.gone || cur.until != 0 || s.moved != nil || s.busy[cur.chatID] != cur {
		return
	}
	s.positions.set(cur.chatID, cur.next)
	if delete(s.busy, cur.chatID); len(s.busy) == 0 {
		s.busy = nil
	}
}

// begins tells the session of a chat that was made just now: all its messages are still to come.
func (s *session) begins(chatID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state == stateLoading:
		s.early[chatID] = max(s.early[chatID], 0) // looked at once when the session is ready
	case s.state == stateLive && s.plain == "" && s.busy[chatID] == nil && s.positions.find(chatID) == nil:
		s.positions.set(chatID, 1)
	}
}

// missed tells the session that the chat has messages up to seq that it may not have been offered. With seq 0 it looks once.
func (s *session) missed(chatID string, seq wire.Seq) {
	s.mu.Lock()
	if s.state == stateLoading {
		s.early[chatID] = max(s.early[chatID], seq)
	}
	if s.state != stateLive || s.plain != "" && s.plain != chatID {
		s.mu.Unlock()
		return
	}
	cur := s.adopt(chatID)
	cur.known = max(cur.known, seq)
	cur.again = cur.pulling && seq == 0
	s.enqueue(cur)
	pulls := s.pump()
	s.mu.Unlock()
	s.start(pulls)
}

// following returns the chats that the session has a cursor in.
func (s *session) following() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	chats := make([]string, 0, len(s.positions)+len(s.busy))
	for _, at := range s.positions {
		if chatID := at.chat.Value(); s.busy[chatID] == nil {
			chats = append(chats, chatID)
		}
	}
	for chatID, cur := range s.busy {
		if !cur.gone {
			chats = append(chats, chatID)
		}
	}
	return chats
}

// left tells the session that its user is no longer a member of the chat: nothing of it is pushed from now on.
func (s *session) left(chatID string) {
	s.mu.Lock()
	if _, ok := s.follows(chatID); ok && s.state != stateClosed {
		s.drop(s.adopt(chatID))
	}
	ends := s.plain == chatID && s.state == stateLive
	s.mu.Unlock()
	if ends {
		s.shut(closePolicy, string(codeNotFound))
	}
}

// drop takes a cursor out of service. next stays, for a member who comes back while connected.
func (s *session) drop(cur *cursor) {
	cur.gone, cur.known, cur.since = true, 0, 0
	cur.gen++
	s.reached(cur)
}

// enqueue lines a cursor up for a page, unless it is or one is under way.
func (s *session) enqueue(cur *cursor) {
	if !cur.queued && !cur.pulling && !cur.gone {
		cur.queued = true
		s.queue = append(s.queue, cur)
	}
}

// pump takes as many pages from the queue as may be asked for now. The caller starts them without the lock.
func (s *session) pump() (pulls []pull) {
	for s.state == stateLive && !s.full && !s.retrying && s.pulls < maxPulls && len(s.queue) > 0 {
		cur := s.queue[0]
		s.queue = s.queue[1:]
		cur.queued = false
		if cur.gone {
			continue
		}
		cur.pulling = true
		s.pulls++
		p := pull{cur: cur, gen: cur.gen, next: cur.next, count: int(s.page)}
		if cur.since > 0 && cur.next >= cur.since && !cur.again && s.plain == "" {
			p.upTo = max(cur.known, cur.until)
		}
		pulls = append(pulls, p)
	}
	return pulls
}

// start asks the sequencer for pages. The answers come on the client's goroutines.
func (s *session) start(pulls []pull) {
	s.srv.stats.pullsUnderway.Add(int64(len(pulls)))
	for _, p := range pulls {
		timeout := s.srv.limits.RequestTimeout
		if p.next == 0 {
			s.srv.seq.HeadAsync(timeout, p.cur.chatID, s.user, func(h wire.Head, err error) { s.placed(p, h, err) })
			continue
		}
		if p.upTo >= p.next {
			if page, ok := s.srv.recent.page(p.cur.chatID, p.next, p.upTo, p.count); ok {
				s.remembered(p, page)
				continue
			}
		}
		q := wire.RangeRequest{ChatID: p.cur.chatID, From: p.next, Count: p.count, ForUser: s.user}
		s.srv.history.pageAsync(timeout, q, func(page wire.Page, err error) { s.pulled(p, page, err) })
	}
}

// placed takes the answer to a pull of a cursor that had no place yet.
func (s *session) placed(p pull, h wire.Head, err error) {
	if err == nil && !h.Found {
		err = wire.ErrNotMember
	}
	s.settle(p, err, func() bool {
		p.cur.next = startOf(h)
		p.cur.known = max(p.cur.known, h.LastSeq)
		return p.cur.known >= p.cur.next
	})
}

// startOf is where a member without a cursor begins: behind what some device of his has acknowledged.
func startOf(h wire.Head) wire.Seq { return max(h.DeliveredUpTo+1, h.From, 1) }

// pulled takes a page.
func (s *session) pulled(p pull, page wire.Page, err error) {
	pushed := uint64(0)
	s.settle(p, err, func() bool {
		for i := range page.Messages {
			m := &page.Messages[i]
			if m.Seq < p.cur.next {
				continue
			}
			if !s.room(encodeMessage(m, s.plain != ""), 2) {
				s.page = max(s.page/2, 8)
				return true
			}
			p.cur.next = m.Seq + 1
			pushed++
		}
		s.page = min(s.page*2, int32(s.srv.limits.PageMessages))
		p.cur.next = max(p.cur.next, page.Next)
		return page.Next != 0 || p.cur.known >= p.cur.next
	})
	s.caughtUp(pushed)
}

// remembered takes a page from this node's memory.
func (s *session) remembered(p pull, page []recentMessage) {
	pushed := uint64(0)
	s.settle(p, nil, func() bool {
		for _, m := range page {
			if m.seq < p.cur.next {
				continue
			}
			if !s.room(m.frame, 2) {
				return true
			}
			p.cur.next = m.seq + 1
			pushed++
		}
		return p.cur.known >= p.cur.next || p.cur.until >= p.cur.next
	})
	s.caughtUp(pushed)
}

// caughtUp counts what a page brought, and sends it.
func (s *session) caughtUp(pushed uint64) {
	s.srv.stats.pushedCaughtUp.Add(pushed)
	s.mu.Lock()
	c, open := s.c, s.state == stateLive
	s.mu.Unlock()
	if open {
		c.flush()
	}
}

// settle ends a pull: step takes its result and tells whether the cursor needs another.
func (s *session) settle(p pull, err error, step func() (more bool)) {
	s.srv.stats.pulled(err)
	s.mu.Lock()
	s.pulls--
	p.cur.pulling = false
	if s.state != stateLive {
		s.mu.Unlock()
		return
	}
	var ends bool
	switch {
	case p.cur.gone:
	case p.cur.gen != p.gen: // left and came back: what was asked for is not what may be read now
		s.enqueue(p.cur)
	case errors.Is(err, wire.ErrNotMember) || errors.Is(err, wire.ErrNoChat):
		s.drop(p.cur)
		ends = s.plain != ""
	case errors.Is(err, errArchive):
		s.retryCursor(p)
	case err != nil:
		s.enqueue(p.cur)
		s.retryLater()
	case step() || p.cur.again:
		p.cur.again = false
		s.enqueue(p.cur)
		if p.cur.next > p.cur.until {
			s.reached(p.cur)
		}
	default:
		s.reached(p.cur)
		s.rest(p.cur)
	}
	pulls := s.pump()
	s.mu.Unlock()
	s.start(pulls)
	if ends {
		s.shut(closePolicy, string(codeNotFound))
	}
}

// retryLater pauses the queue after an error: the client has retried already, so the group has no leader for a while.
func (s *session) retryLater() {
	if s.retrying {
		return
	}
	s.retrying = true
	s.srv.after(250*time.Millisecond+rand.N(500*time.Millisecond), func() {
		s.mu.Lock()
		s.retrying = false
		pulls := s.pump()
		s.mu.Unlock()
		s.start(pulls)
	})
}

// archiveRetry is the mean pause after a failure of the archive.
const archiveRetry = 2 * time.Second

// retryCursor asks for a page of the archive again after a pause. Other chats do not wait for it.
func (s *session) retryCursor(p pull) {
	s.srv.after(archiveRetry/2+rand.N(archiveRetry), func() {
		s.mu.Lock()
		if p.cur.gen == p.gen {
			s.enqueue(p.cur)
		}
		pulls := s.pump()
		s.mu.Unlock()
		s.start(pulls)
	})
}

// reached notes that a cursor has passed what was there at hello; the last one to do so ends the catch-up.
func (s *session) reached(cur *cursor) {
	if cur.until == 0 {
		return
	}
	cur.until = 0
	s.behind--
	s.sendCaughtUp()
}

// sendCaughtUp tells the client, once, that all that was missing at hello has been sent. Where there is no room it is tried
// again when there is.
func (s *session) sendCaughtUp() {
	if s.behind > 0 || s.moved == nil || s.state != stateLive {
		return
	}
	body := append(openFrame("caughtUp", nil), `,"chats":[`...)
	for i, cur := range s.moved {
		if len(body) > s.srv.limits.OutboxBytes/4 {
			break
		}
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, `{"chatId":"`...)
		body = append(append(body, cur.chatID...), '"')
		body = append(appendNumber(body, "nextSeq", uint64(cur.next)), '}')
	}
	if s.c.send(closeFrame(append(body, ']'))) {
		s.moved = nil
		for _, cur := range s.busy {
			s.rest(cur)
		}
	} else {
		s.full = true
	}
}
