package delivery

import (
	"sync"
	"sync/atomic"
	"time"
)

// wheelSlots is how many ticks ahead the wheel can tell apart. What is due later waits in the last slot and is put back.
const wheelSlots = 512

// wheel keeps the deadlines of all connections of an engine: pings, pongs, stalls, closes. A connection has one place in it
// and no timer of its own, so an idle one costs two pointers. Reading never touches the wheel: when a connection's slot comes, it
// looks at what has happened since and says when it wants to be looked at next.
//
// Time counts in ticks since the start. The wheel also knows every connection, and so serves as the engine's list of them.
type wheel struct {
	tick    time.Duration
	started time.Time
	current atomic.Uint32 // the tick that advance has reached: a clock that costs nothing to read

	mu     sync.Mutex
	slots  [wheelSlots]*conn // heads of doubly linked lists
	firing []*conn           // taken out by advance, not yet put back
}

// place is a connection's link into the wheel, guarded by wheel.mu.
type place struct {
	next, prev *conn
	due        uint32 // the tick of its slot; 0 when it is in none
	hint       uint32 // an earlier time asked for while it was firing; 0 for none
	gone       bool   // removed for good
}

func newWheel(tick time.Duration) *wheel {
	w := &wheel{tick: tick, started: time.Now()}
	w.current.Store(1) // tick 0 means "none" in several places
	return w
}

// now is the current tick.
func (w *wheel) now() uint32 { return w.current.Load() }

// ticks turns a duration into ticks, rounded up, at least one.
func (w *wheel) ticks(d time.Duration) uint32 {
	return uint32(max((d+w.tick-1)/w.tick, 1))
}

// add puts a connection in that is in no slot. One that was removed stays out.
func (w *wheel) add(c *conn, due uint32) {
	w.mu.Lock()
	w.insert(c, due)
	w.mu.Unlock()
}

// sooner makes a connection fire at due at the latest.
func (w *wheel) sooner(c *conn, due uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &c.place
	switch {
	case p.gone:
	case p.due == 0:
		if p.hint == 0 || due < p.hint {
			p.hint = due
		}
	case due < p.due:
		w.unlink(c)
		w.insert(c, due)
	}
}

// remove takes a connection out for good.
func (w *wheel) remove(c *conn) {
	w.mu.Lock()
	c.place.gone = true
	if c.place.due != 0 {
		w.unlink(c)
	}
	w.mu.Unlock()
}

func (w *wheel) insert(c *conn, due uint32) {
	p := &c.place
	if p.gone || p.due != 0 {
		return
	}
	if p.hint != 0 && p.hint < due {
		due = p.hint
	}
	now := w.now()
	due = min(max(due, now+1), now+wheelSlots-1)
	head := &w.slots[due%wheelSlots]
	p.due, p.hint, p.prev, p.next = due, 0, nil, *head
	if *head != nil {
		(*head).place.prev = c
	}
	*head = c
}

func (w *wheel) unlink(c *conn) {
	p := &c.place
	if p.prev != nil {
		p.prev.place.next = p.next
	} else {
		w.slots[p.due%wheelSlots] = p.next
	}
	if p.next != nil {
		p.next.place.prev = p.prev
	}
	p.next, p.prev, p.due = nil, nil, 0
}

// advance moves the time to the tick to, and calls fire for each connection whose slot was passed, without the lock. Fire
// returns the tick at which the connection wants to be looked at next.
func (w *wheel) advance(to uint32, fire func(c *conn, now uint32) uint32) {
	for w.now() < to {
		now := w.now() + 1
		w.mu.Lock()
		w.current.Store(now)
		for c := w.slots[now%wheelSlots]; c != nil; c = w.slots[now%wheelSlots] {
			w.unlink(c)
			w.firing = append(w.firing, c)
		}
		firing := w.firing
		w.mu.Unlock()
		for _, c := range firing {
			w.add(c, fire(c, now))
		}
		w.mu.Lock()
		clear(w.firing)
		w.firing = w.firing[:0]
		if cap(w.firing) > 1<<16 {
			w.firing = nil
		}
		w.mu.Unlock()
	}
}

// run advances the wheel with the clock until stop is closed.
func (w *wheel) run(stop <-chan struct{}, fire func(c *conn, now uint32) uint32) {
	ticker := time.NewTicker(w.tick)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			w.advance(uint32(time.Since(w.started)/w.tick)+1, fire)
		}
	}
}

// all lists the connections in the wheel.
func (w *wheel) all() []*conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []*conn
	for _, c := range w.slots {
		for ; c != nil; c = c.place.next {
			list = append(list, c)
		}
	}
	for _, c := range w.firing {
		if c.place.due == 0 && !c.place.gone { // not yet back in a slot
			list = append(list, c)
		}
	}
	return list
}
