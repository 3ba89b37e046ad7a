package notify

import (
	"container/list"

	"github.com/quorate/quorate/sequencer/wire"
)

// ledger knows which events of a feed are not done with, in their order. What is before the first of them may be committed. It holds an
// entry for each group of messages that is looked after and for each that a notice stands for, and nothing of those that are done.
type ledger struct{ open list.List } // of *entry

// entry is an event that somebody is not done with.
type entry struct {
	offset  wire.Offset
	sentAt  wire.Millis // of its message
	holders int
	place   *list.Element
}

// add opens an entry with one holder. Offsets must come in ascending order.
func (l *ledger) add(offset wire.Offset, sentAt wire.Millis) *entry {
	e := &entry{offset: offset, sentAt: sentAt, holders: 1}
	e.place = l.open.PushBack(e)
	return e
}

// share adds a holder.
func (e *entry) share() *entry {
	e.holders++
	return e
}

// done takes a holder away; with the last one the entry goes.
func (l *ledger) done(e *entry) {
	if e.holders--; e.holders == 0 {
		l.open.Remove(e.place)
	}
}

// first is the oldest entry, nil where there is none.
func (l *ledger) first() *entry {
	if front := l.open.Front(); front != nil {
		return front.Value.(*entry)
	}
	return nil
}
