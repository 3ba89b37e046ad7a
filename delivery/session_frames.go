package delivery

import (
	"errors"
	"fmt"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// handle takes one text frame. The handlers below return the refusal of a request; an answer that has to wait for the
// sequencer is sent when it is there.
func (s *session) handle(payload []byte) {
	r, err := readRequest(payload)
	if err != nil {
		s.answer(errorFrame(nil, problemOf(err)))
		s.shut(closeBadFrame, "not a JSON object")
		return
	}
	p := (*problem)(nil)
	if r.err != nil {
		p = problemOf(r.err)
	} else {
		p = s.dispatch(r)
	}
	if p != nil {
		s.srv.note(p, "frame", p)
		s.answer(errorFrame(r.ref, p))
	}
}

func (s *session) dispatch(r *request) *problem {
	s.mu.Lock()
	state := s.state
	s.mu.Unlock()
	if r.kind == "hello" {
		return s.hello(state, r)
	}
	if state == stateClosed {
		return nil
	}
	if state == stateWaiting {
		return refuse(codeBadRequest, "say hello first")
	}
	switch r.kind {
	case "send":
		return s.send(r)
	case "ack", "read":
		return s.mark(r)
	case "history":
		return s.history(r)
	case "typing":
		return s.typing(r)
	case "presence":
		return s.present(r)
	}
	return refuse(codeBadRequest, "unknown type")
}

// hello registers the session and has its chats read; ready answers.
func (s *session) hello(state sessionState, r *request) *problem {
	if state != stateWaiting {
		return refuse(codeBadRequest, "hello was said already")
	}
	h := r.hello(s.srv.limits.HelloCursors)
	if r.err != nil {
		return problemOf(r.err)
	}
	var who identity
	if s.pre != nil {
		who = *s.pre
	}
	if h.token != "" {
		id, err := s.srv.auth.check(h.token)
		if errors.Is(err, errKeyUnknown) {
			s.answer(errorFrame(r.ref, tokenFault(err)))
			s.shut(closeOverloaded, retryReason(time.Second))
			return nil
		}
		if err != nil || who.user != "" && who.user != id.user {
			who = identity{}
		} else {
			who = id
		}
	}
	if who.user == "" {
		s.srv.addresses.failed(s.from())
		s.srv.stats.refused(codeUnauthenticated)
		s.answer(errorFrame(r.ref, refuse(codeUnauthenticated, "a valid token is required")))
		s.shut(closeUnauthenticated, string(codeUnauthenticated))
		return nil
	}
	if h.epoch != 0 && h.epoch != s.srv.epoch.now.Load() {
		h.cursors = nil // they are of messages that may be others now
	}
	s.register(who, h.device)
	s.srv.loads.add(loadRequest{s: s, id: r.ref, cursors: h.cursors})
	return nil
}

// register makes the session known to the feed readers; what they dispatch from here on reaches it. The connection may be
// gone already: onClose and register meet under the lock, and the later of the two removes the session.
func (s *session) register(who identity, device string) {
	s.mu.Lock()
	if s.state != stateWaiting {
		s.mu.Unlock()
		return
	}
	s.user, s.device, s.pre = who.user, device, nil
	if !who.expires.IsZero() {
		s.expires = who.expires.Unix()
	}
	if s.state = stateLoading; s.plain != "" {
		s.state = stateLive
	}
	s.early = map[string]wire.Seq{}
	s.mu.Unlock()
	for _, old := range s.srv.registry.add(s) {
		old.shut(closeReplaced, "replaced by a newer connection")
	}
	if s.plain == "" {
		for _, chatID := range s.srv.hub.joins.of(s.user, time.Now()) {
			s.missed(chatID, 0)
		}
	}
	s.mu.Lock()
	closed := s.state == stateClosed
	s.mu.Unlock()
	if closed {
		s.srv.registry.remove(s)
	}
}

// send offers a message to its chat. The answer waits for the quorum, this call does not.
func (s *session) send(r *request) *problem {
	q := r.send(s.user)
	if r.err != nil {
		return problemOf(r.err)
	}
	if p := s.srv.rates.take(s.user, s.srv.now()); p != nil {
		return p
	}
	return s.waiting(func() {
		began := time.Now()
		s.srv.underWay.begin(q.ChatID)
		s.srv.seq.AppendAsync(s.srv.limits.RequestTimeout, q, func(a wire.AppendAck, err error) {
			defer s.done()
			s.srv.underWay.end(q.ChatID, a.Seq)
			s.srv.stats.answered(began, a, err)
			if err != nil {
				s.refused(r.ref, "send", err)
				return
			}
			s.answer(sentFrame(r.ref, &q, a))
		})
	})
}

// waiting runs a request that will end with s.done, or refuses it.
func (s *session) waiting(run func()) *problem {
	if s.srv.draining() {
		return refuse(codeUnavailable, "this edge is draining")
	}
	if !s.begin() {
		return refuse(codeOverloaded, "too many requests wait on this connection")
	}
	run()
	return nil
}

// refused sends the refusal of a request whose outcome came later.
func (s *session) refused(id []byte, what string, err error) {
	p := problemOf(err)
	s.srv.note(p, what, err)
	s.answer(errorFrame(id, p))
}

func sentFrame(id []byte, q *wire.AppendRequest, a wire.AppendAck) []byte {
	body := openFrame("sent", id)
	body = appendText(body, "chatId", q.ChatID)
	body = appendText(body, "clientMessageId", q.ClientMessageID)
	body = appendMessageID(body, q.ChatID, a.Seq)
	body = appendNumber(body, "sequenceNumber", uint64(a.Seq))
	body = appendTime(body, "sentAt", a.SentAt)
	body = appendNumber(body, "lamport", uint64(a.Lamport))
	body = append(body, `,"status":"sent","replayed":`...)
	return closeFrame(fmt.Appendf(body, "%t", a.Replayed))
}

// mark takes ack and read. A seq that was pushed to this session surely exists and may be coalesced with others; any other
// goes to the sequencer at once, which looks. A client that gave an id gets its watermarks as the answer.
func (s *session) mark(r *request) *problem {
	chatID, m := r.mark(s.user)
	if r.err != nil {
		return problemOf(r.err)
	}
	if r.ref == nil && s.hasPushed(chatID, m.Delivered) {
		return s.srv.receipts.add(chatID, m)
	}
	return s.waiting(func() {
		s.srv.seq.ReceiptAsync(s.srv.limits.RequestTimeout, chatID, []wire.Mark{m}, func(res []wire.MarkResult, err error) {
			defer s.done()
			if err == nil {
				err = res[0].Err
			}
			if err != nil {
				s.refused(r.ref, r.kind, err)
			} else if r.ref != nil {
				s.answer(receiptFrame(r.ref, chatID, &res[0].Watermarks, max(res[0].DeliveredAt, res[0].ReadAt)))
			}
		})
	})
}

// hasPushed tells whether the session is a member's and has pushed the chat's message seq.
func (s *session) hasPushed(chatID string, seq wire.Seq) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, ok := s.follows(chatID)
	return ok && seq < next
}

// history answers with a page, as REST does.
func (s *session) history(r *request) *problem {
	q := r.history(s.user)
	if r.err != nil {
		return problemOf(r.err)
	}
	return s.waiting(func() {
		s.srv.history.pageAsync(s.srv.limits.RequestTimeout, q, func(page wire.Page, err error) {
			defer s.done()
			if err != nil {
				s.refused(r.ref, "history", readFault(err))
				return
			}
			body := append(appendText(openFrame("page", r.ref), "chatId", q.ChatID), ',')
			s.answer(closeFrame(appendPage(body, page, q.Before, s.srv.limits.PageBytes)))
		})
	})
}
