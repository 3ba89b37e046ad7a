package delivery

import (
	"slices"
	"time"

	"github.com/quorate/quorate/delivery/relay"
	"github.com/quorate/quorate/sequencer/wire"
)

// push is one thing on its way to users: to sessions of this node, and to the other edges of the region. What either needs of it is
// encoded when the first asks, and once. It belongs to one goroutine.
type push struct {
	relay.Item
	run     run      // of ItemMessage; Item has the first of them
	encoded [][]byte // for other edges
	here    bool     // somebody here was offered it
	passed  bool     // it is a receipt, and more has been told of its member here
}

func newPush(i relay.Item) *push {
	p := &push{Item: i}
	if i.Kind == relay.ItemMessage {
		p.run.add(i.Message)
	}
	return p
}

// forEdges gives the item as the relay protocol has it, or an item for each message of a run.
func (p *push) forEdges() [][]byte {
	if p.encoded != nil {
		return p.encoded
	}
	p.encoded = [][]byte{relay.AppendItem(nil, &p.Item)}
	for i := 1; i < len(p.run.list); i++ {
		p.encoded = append(p.encoded, relay.AppendItem(nil, &relay.Item{Kind: p.Kind, ChatID: p.ChatID, Message: p.run.list[i].Message}))
	}
	return p.encoded
}

// joins tells whether an item is a message that the push takes into its run.
func (p *push) joins(i *relay.Item) bool {
	return p.Kind == relay.ItemMessage && i.Kind == relay.ItemMessage && p.run.takes(i.Message)
}

// frame gives what clients get of everything but messages.
func (p *push) frame() []byte {
	if p.Item.Frame == nil {
		switch p.Kind {
		case relay.ItemReceipt:
			p.Item.Frame = receiptFrame(nil, p.ChatID, &p.Marks, p.At)
		case relay.ItemTyping:
			p.Item.Frame = typingFrame(p.ChatID, p.UserID)
		case relay.ItemPresence:
			p.Item.Frame = presenceFrame(p.UserID, p.Presence)
		}
	}
	return p.Item.Frame
}

func messagePush(m *wire.Message) *push {
	return newPush(relay.Item{Kind: relay.ItemMessage, ChatID: m.ChatID, Message: m})
}

// local hands pushes to the sessions of this node. The connections it touched are flushed together, once per batch. It belongs to
// one goroutine.
type local struct {
	srv     *Server
	touched [variants][]*session // by how they are to be flushed
	dirty   []*conn
	given   [variants]uint64 // messages since the last flush
}

// give hands a push to the sessions of one user.
func (l *local) give(p *push, user string) {
	sessions := l.srv.registry.sessions(user)
	if len(sessions) == 0 {
		return
	}
	if !p.here {
		p.here = true
		p.passed = p.Kind == relay.ItemReceipt && !l.srv.told.begin(&p.Item)
	}
	if p.passed {
		return
	}
	v := inline
	if p.Kind == relay.ItemMessage {
		v = l.srv.rollout.of(p.ChatID)
		l.given[v] += uint64(len(sessions) * len(p.run.list))
	}
	for _, s := range sessions {
		if p.to(s) {
			l.touched[v] = append(l.touched[v], s)
		}
	}
}

// giveAll hands on what a hub sent. Messages that follow each other in a chat, for the same users, are a run here as well.
func (l *local) giveAll(entries []relay.Entry) {
	for len(entries) > 0 {
		p, users := newPush(entries[0].Item), entries[0].Users
		for entries = entries[1:]; len(entries) > 0 && p.joins(&entries[0].Item) && slices.Equal(entries[0].Users, users); entries = entries[1:] {
			p.run.add(entries[0].Item.Message)
		}
		for _, user := range users {
			l.give(p, user)
		}
		l.end(p)
	}
}

// end follows when a push has been given to all.
func (l *local) end(p *push) {
	switch {
	case !p.here || p.passed:
	case p.Kind == relay.ItemMessage:
		for i := range p.run.list {
			l.srv.recent.add(&p.run.list[i])
		}
	case p.Kind == relay.ItemReceipt:
		l.srv.told.end(&p.Item)
	}
}

// to hands the push to one session, and tells whether that has to be flushed.
func (p *push) to(s *session) (flush bool) {
	switch p.Kind {
	case relay.ItemMessage:
		return s.push(&p.run)
	case relay.ItemCreated:
		s.begins(p.ChatID)
	case relay.ItemLeft:
		s.left(p.ChatID)
	case relay.ItemLook:
		s.missed(p.ChatID, p.Seq)
		return false
	case relay.ItemTyping, relay.ItemPresence:
		s.hint(p.frame())
		return false
	case relay.ItemReceipt, relay.ItemChat:
	}
	return s.notify(p.ChatID, p.frame())
}

// flush sends what was queued.
func (l *local) flush() {
	for v := range l.touched {
		touched := l.touched[v]
		if len(touched) == 0 {
			continue
		}
		began := time.Now()
		for _, s := range touched {
			l.dirty = append(l.dirty, s.flushed())
		}
		switch variant(v) {
		case spread:
			l.srv.engine.flushSpread(l.dirty)
		case plain:
			l.srv.engine.flushPlain(l.dirty)
		default:
			l.srv.engine.flush(l.dirty)
		}
		use := &l.srv.rollout.use[v]
		use.flush.Took(began)
		use.messages.Add(l.given[v])
		l.given[v] = 0
		clear(touched)
		clear(l.dirty)
		l.touched[v], l.dirty = touched[:0], l.dirty[:0]
	}
}
