package delivery

import (
	"sync/atomic"

	"github.com/quorate/quorate/delivery/relay"
	"github.com/quorate/quorate/sequencer/wire"
)

// places is where a node stands in the feed of each group: all before has been handed on. They only rise. The zero value knows of no group;
// grow comes first.
type places struct {
	at []atomic.Uint64
}

// grow makes room for so many groups. It is called once.
func (p *places) grow(groups int) { p.at = make([]atomic.Uint64, groups) }

// next is the first event that has not been handed on; 0 where none is known.
func (p *places) next(g wire.GroupID) wire.Offset {
	if int(g) >= len(p.at) {
		return 0
	}
	return wire.Offset(p.at[g].Load())
}

// raise notes that all before next has been handed on.
func (p *places) raise(g wire.GroupID, next wire.Offset) {
	if int(g) >= len(p.at) {
		return
	}
	for {
		have := p.at[g].Load()
		if uint64(next) <= have || p.at[g].CompareAndSwap(have, uint64(next)) {
			return
		}
	}
}

// all lists the places.
func (p *places) all() []relay.Place {
	list := make([]relay.Place, len(p.at))
	for g := range list {
		list[g] = relay.Place{Group: wire.GroupID(g), Next: p.next(wire.GroupID(g))}
	}
	return list
}
