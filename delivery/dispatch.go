package delivery

import (
	"slices"
	"time"

	"github.com/quorate/quorate/delivery/relay"
	"github.com/quorate/quorate/sequencer/wire"
)

// dispatcher finds out whom feed events concern, and hands them to the sessions here and to the edges elsewhere. It belongs to one
// goroutine; the events of one chat all go through one at a time, in the order of the feed.
type dispatcher struct {
	hub     *hub
	local   local
	offset  wire.Offset // of the event, or of the last of the run; 0: nobody has it yet
	group   wire.GroupID
	remote  []bundle      // of the present push
	edges   []*remoteEdge // where the present user is
	touched []*remoteEdge // since the last flush

	open   *push      // a run that more messages may join; nil where there is none
	openOf *wire.Chat // whose it is
}

// bundle is those of an edge's users whom a push is for.
type bundle struct {
	edge  *remoteEdge
	users []string
}

func newDispatcher(h *hub) *dispatcher { return &dispatcher{hub: h, local: local{srv: h.srv}} }

// feed takes one event of the feed of d.group.
func (d *dispatcher) feed(ev *wire.Event) {
	if len(ev.Added) > 0 {
		d.hub.joins.note(ev, time.Now())
	}
	if !d.wanted(ev) {
		d.hub.srv.members.quiet(ev)
		return
	}
	chat, known := d.hub.srv.members.event(ev)
	if !known {
		d.endRun() // what is parked is handed on by another goroutine, and is behind it
		return
	}
	d.event(chat, ev, ev.Offset)
}

// joins tells whether an event is a message that the open run has room for.
func (d *dispatcher) joins(chat *wire.Chat, ev *wire.Event) bool {
	return d.open != nil && ev.Kind == wire.EventMessage && chat == d.openOf && d.open.run.takes(ev.Message)
}

// wanted tells whether anybody can be concerned. A session that registers after this look asks for its first page after
// that, and for joins, so it misses nothing.
func (d *dispatcher) wanted(ev *wire.Event) bool {
	here, there := d.hub.srv.registry.count() > 0, d.hub.directory.count() > 0
	if !here && !there || ev.Kind != wire.EventChat {
		return here || there
	}
	for _, user := range ev.Added {
		if len(d.hub.srv.registry.sessions(user)) > 0 || d.hub.directory.anywhere(user) {
			return true
		}
	}
	return false
}

// event hands one event on, a message with those behind it that join its run; chat is as it is after the event, or newer. Who has the feed
// up to offset has the event already; 0: nobody has.
func (d *dispatcher) event(chat *wire.Chat, ev *wire.Event, offset wire.Offset) {
	if !d.joins(chat, ev) {
		d.endRun()
	}
	d.offset = offset
	switch ev.Kind {
	case wire.EventMessage:
		d.message(chat, ev.Message)
	case wire.EventReceipt:
		d.receipt(chat, ev)
	case wire.EventChat: // all its messages are still to come, so its cursors begin at 1
		d.tell(chat, relay.Item{Kind: relay.ItemCreated, ChatID: ev.ChatID, Frame: chatFrame(chat, ev.Seq)})
	case wire.EventMembers:
		d.changed(chat, ev)
	case eventDropped:
		d.tell(chat, relay.Item{Kind: relay.ItemLook, ChatID: ev.ChatID, Seq: ev.Seq})
	}
}

// message adds a message to the open run, or opens one.
func (d *dispatcher) message(chat *wire.Chat, m *wire.Message) {
	d.hub.srv.members.sent(m)
	if d.open == nil {
		d.open, d.openOf = messagePush(m), chat
	} else {
		d.open.run.add(m)
	}
}

// endRun hands the open run on, if there is one.
func (d *dispatcher) endRun() {
	p, chat := d.open, d.openOf
	if p == nil {
		return
	}
	d.open, d.openOf = nil, nil
	var some []*wire.Member // who may read some of it: their membership began within it
	for i := range chat.Members {
		if m := &chat.Members[i]; m.CoversAll(p.run.first().Seq, p.run.last().Seq) {
			d.give(p, m.UserID)
		} else {
			some = append(some, m)
		}
	}
	d.seal(p)
	for i := 0; i < len(p.run.list) && len(some) > 0; i++ {
		one := messagePush(p.run.list[i].Message)
		for _, m := range some {
			if m.Covers(one.Message.Seq) {
				d.give(one, m.UserID)
			}
		}
		d.seal(one)
	}
}

// receipt tells those whose messages it covers, and the reader's other devices.
func (d *dispatcher) receipt(chat *wire.Chat, ev *wire.Event) {
	i := relay.Item{Kind: relay.ItemReceipt, ChatID: ev.ChatID, Marks: *ev.Marks, At: ev.At}
	users, all := d.hub.srv.members.concerned(ev.ChatID, ev.Marks)
	if all {
		d.tell(chat, i)
		return
	}
	d.tellUsers(slices.DeleteFunc(users, func(user string) bool { // one who has left may have sent some
		_, member := chat.Member(user)
		return !member
	}), i)
}

// changed tells everyone concerned by a change of members: those who left hear no more of the chat, those who came get what
// they may read.
func (d *dispatcher) changed(chat *wire.Chat, ev *wire.Event) {
	d.tellUsers(ev.Removed, relay.Item{Kind: relay.ItemLeft, ChatID: ev.ChatID, Frame: leftFrame(chat, ev.Seq)})
	d.tell(chat, relay.Item{Kind: relay.ItemChat, ChatID: ev.ChatID, Frame: chatFrame(chat, ev.Seq)})
	d.tellUsers(ev.Added, relay.Item{Kind: relay.ItemLook, ChatID: ev.ChatID})
}

// tell gives an item to all members of the chat.
func (d *dispatcher) tell(chat *wire.Chat, i relay.Item) {
	p := newPush(i)
	for k := range chat.Members {
		d.give(p, chat.Members[k].UserID)
	}
	d.seal(p)
}

func (d *dispatcher) tellUsers(users []string, i relay.Item) {
	p := newPush(i)
	for _, user := range users {
		d.give(p, user)
	}
	d.seal(p)
}

// give hands a push to a user's sessions here, and notes the edges where he is. The push has to be sealed after the last user.
func (d *dispatcher) give(p *push, user string) {
	if d.offset == 0 || d.offset >= d.hub.places.next(d.group) {
		d.local.give(p, user)
	}
	d.edges = d.hub.directory.at(d.edges[:0], user)
	for _, e := range d.edges {
		if d.offset == 0 || d.offset >= e.next(d.group) {
			d.bundle(e, user)
		}
	}
}

func (d *dispatcher) bundle(e *remoteEdge, user string) {
	for i := range d.remote {
		if d.remote[i].edge == e {
			d.remote[i].users = append(d.remote[i].users, user)
			return
		}
	}
	if len(d.remote) == cap(d.remote) {
		d.remote = append(d.remote, bundle{})
	} else {
		d.remote = d.remote[:len(d.remote)+1] // with the room that its users had before
	}
	b := &d.remote[len(d.remote)-1]
	b.edge, b.users = e, append(b.users[:0], user)
}

// seal queues a push for the edges that it is for.
func (d *dispatcher) seal(p *push) {
	for i := range d.remote {
		b := &d.remote[i]
		for _, item := range p.forEdges() {
			b.edge.queueEntry(relay.AppendEntry(nil, item, b.users))
		}
		d.touched = append(d.touched, b.edge)
		clear(b.users)
		b.edge = nil
	}
	d.remote = d.remote[:0]
	d.local.end(p)
}

// flush sends what was queued here and for other edges, the open run too.
func (d *dispatcher) flush() {
	d.endRun()
	d.local.flush()
	for _, e := range d.touched {
		e.wakeUp()
	}
	clear(d.touched)
	d.touched = d.touched[:0]
}
