package delivery

import "github.com/quorate/quorate/sequencer/wire"

// dispatcher hands feed events to the sessions they concern. It belongs to one goroutine; the events of one chat all go
// through one at a time, in the order of the feed. The connections it touched are flushed together, once per batch.
type dispatcher struct {
	srv     *Server
	touched []*session
	dirty   []*conn
}

// feed takes one event of the feed.
func (d *dispatcher) feed(ev *wire.Event) {
	if !d.wanted(ev) {
		d.srv.members.quiet(ev)
		return
	}
	if chat, known := d.srv.members.event(ev); known {
		d.event(chat, ev)
	}
}

// wanted tells whether anybody here can be concerned. A session that registers after this look asks for its first page after
// that, so it misses nothing.
func (d *dispatcher) wanted(ev *wire.Event) bool {
	if d.srv.registry.count() == 0 {
		return false
	}
	if ev.Kind != wire.EventChat {
		return true
	}
	for _, user := range ev.Added {
		if len(d.srv.registry.sessions(user)) > 0 {
			return true
		}
	}
	return false
}

// event hands one event on; chat is as it is after the event, or newer.
func (d *dispatcher) event(chat *wire.Chat, ev *wire.Event) {
	switch ev.Kind {
	case wire.EventMessage:
		m := &message{Message: ev.Message}
		d.each(chat, func(member *wire.Member, s *session) bool { return member.Covers(m.Seq) && s.push(m) })
	case wire.EventReceipt:
		f := receiptFrame(nil, ev.ChatID, ev.Marks, ev.At)
		d.each(chat, func(_ *wire.Member, s *session) bool { return s.notify(ev.ChatID, f) })
	case wire.EventChat:
		d.created(chat, ev)
	case wire.EventMembers:
		d.changed(chat, ev)
	case eventDropped:
		d.each(chat, func(_ *wire.Member, s *session) bool {
			s.missed(ev.ChatID, ev.Seq)
			return false
		})
	}
}

// each calls push for every session of every member, and remembers those that need a flush.
func (d *dispatcher) each(chat *wire.Chat, push func(*wire.Member, *session) bool) {
	for i := range chat.Members {
		member := &chat.Members[i]
		for _, s := range d.srv.registry.sessions(member.UserID) {
			if push(member, s) {
				d.touched = append(d.touched, s)
			}
		}
	}
}

// created tells the members of a new chat. All its messages are still to come, so its cursors begin at 1.
func (d *dispatcher) created(chat *wire.Chat, ev *wire.Event) {
	f := chatFrame(chat, ev.Seq)
	d.each(chat, func(_ *wire.Member, s *session) bool {
		s.begins(ev.ChatID)
		return s.notify(ev.ChatID, f)
	})
}

// changed tells everyone concerned by a change of members: those who left hear no more of the chat, those who came get what
// they may read.
func (d *dispatcher) changed(chat *wire.Chat, ev *wire.Event) {
	gone := leftFrame(chat, ev.Seq)
	for _, user := range ev.Removed {
		for _, s := range d.srv.registry.sessions(user) {
			s.left(ev.ChatID)
			if s.notify(ev.ChatID, gone) {
				d.touched = append(d.touched, s)
			}
		}
	}
	f := chatFrame(chat, ev.Seq)
	d.each(chat, func(_ *wire.Member, s *session) bool { return s.notify(ev.ChatID, f) })
	for _, user := range ev.Added {
		for _, s := range d.srv.registry.sessions(user) {
			s.missed(ev.ChatID, 0)
		}
	}
}

// flush sends what the batch queued.
func (d *dispatcher) flush() {
	for _, s := range d.touched {
		d.dirty = append(d.dirty, s.flushed())
	}
	d.srv.engine.flush(d.dirty)
	clear(d.touched)
	clear(d.dirty)
	d.touched, d.dirty = d.touched[:0], d.dirty[:0]
}

// deliver hands on events that were parked in the member cache, on the goroutine that read the chat.
func (s *Server) deliver(chat *wire.Chat, events []*wire.Event) {
	d := dispatcher{srv: s}
	for _, ev := range events {
		d.event(chat, ev)
	}
	d.flush()
}
