package wire

import (
	"sync"
	"time"
)

// The wheel turns once in wheelTick × wheelSlots. What is due later than that is passed by until its turn comes.
const (
	wheelTick  = 5 * time.Millisecond
	wheelSlots = 2048
	stallTicks = 16 // between two looks for silent connections
)

// wheel holds every request that is under way, by the time at which something is to happen to it: a retry, or its end.
// That is one timer for all of them. Nothing of a request is in the wheel once it is finished.
type wheel struct {
	mu     sync.Mutex
	slots  [wheelSlots]wheelNode // the head of each slot's ring
	tick   int64                 // the last tick that advance has looked at
	count  int
	closed bool
	wake   chan struct{} // holds one token after the wheel was empty
}

// wheelNode is a request's place in the wheel. next is nil while it is in none.
type wheelNode struct {
	prev, next *wheelNode
	at         time.Duration // when it is due, on the client's clock
	req        *request
}

func (w *wheel) init() {
	w.wake = make(chan struct{}, 1)
	for i := range w.slots {
		w.slots[i].next, w.slots[i].prev = &w.slots[i], &w.slots[i]
	}
}

// add puts a request in, due at its deadline. It is false after close.
func (w *wheel) add(req *request, now time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	if w.count == 0 {
		w.tick = max(w.tick, int64(now/wheelTick))
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	w.count++
	req.place.req = req
	w.link(&req.place, req.deadline)
	return true
}

// move makes a request due at another time, its deadline at the latest. One that is not in the wheel stays out.
func (w *wheel) move(req *request, at time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if req.place.next == nil {
		return
	}
	w.unlink(&req.place)
	w.link(&req.place, min(at, req.deadline))
}

// remove takes a request out, if it is in.
func (w *wheel) remove(req *request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if req.place.next != nil {
		w.unlink(&req.place)
		w.count--
	}
}

// advance appends to due what is due by now. It stays in the wheel, due again at its deadline, until it is removed.
func (w *wheel) advance(now time.Duration, due []*request) []*request {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := int64(now / wheelTick)
	for w.tick = max(w.tick, last-wheelSlots); w.tick < last; {
		w.tick++
		head := &w.slots[w.tick%wheelSlots]
		for n := head.next; n != head; {
			next := n.next
			if n.at <= now {
				due = append(due, n.req)
				w.unlink(n)
				w.link(n, max(n.req.deadline, now+wheelTick)) // behind now, so this loop does not meet it again
			}
			n = next
		}
	}
	return due
}

// empty reports whether there is nothing to wait for.
func (w *wheel) empty() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count == 0
}

// close lets nothing more in and gives what is there.
func (w *wheel) close() []*request {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	all := make([]*request, 0, w.count)
	for i := range w.slots {
		for n := w.slots[i].next; n != &w.slots[i]; n = n.next {
			all = append(all, n.req)
		}
	}
	return all
}

func (w *wheel) link(n *wheelNode, at time.Duration) {
	tick := max(int64((at+wheelTick-1)/wheelTick), w.tick+1)
	head := &w.slots[tick%wheelSlots]
	n.at, n.prev, n.next = at, head.prev, head
	head.prev.next, head.prev = n, n
}

func (w *wheel) unlink(n *wheelNode) {
	n.prev.next, n.next.prev = n.next, n.prev
	n.prev, n.next = nil, nil
}

// sweep is the goroutine that makes happen what is due. It sleeps while the wheel is empty.
func (c *Client) sweep() {
	ticker := time.NewTicker(wheelTick)
	defer ticker.Stop()
	var due []*request
	for turn := 0; ; turn++ {
		if c.wheel.empty() {
			ticker.Stop()
			select {
			case <-c.wheel.wake:
			case <-c.ctx.Done():
				return
			}
			ticker.Reset(wheelTick)
		}
		select {
		case <-ticker.C:
		case <-c.ctx.Done():
			return
		}
		now := c.now()
		due = c.wheel.advance(now, due[:0])
		for i, req := range due {
			c.fire(req, now)
			due[i] = nil
		}
		if turn%stallTicks == 0 {
			c.breakStalled(now)
		}
	}
}
