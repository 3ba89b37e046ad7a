package delivery

import "sync"

// resumer goes on with connections whose socket has room again, and calls onDrained. It stands between the poller, which must
// not write while it holds nbio's lock, and the connection. A connection is in its list at most once.
type resumer struct {
	mu    sync.Mutex
	ready []*conn
	wake  chan struct{} // one token when ready is not empty
}

func newResumer() *resumer { return &resumer{wake: make(chan struct{}, 1)} }

// add hands over a connection. It never blocks. The list is bounded by the number of connections.
func (r *resumer) add(c *conn) {
	if c.queued.Swap(true) {
		return
	}
	r.mu.Lock()
	r.ready = append(r.ready, c)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *resumer) run(stop <-chan struct{}) {
	var batch []*conn
	for {
		select {
		case <-stop:
			return
		case <-r.wake:
		}
		r.mu.Lock()
		batch, r.ready = r.ready, batch[:0]
		r.mu.Unlock()
		for _, c := range batch {
			c.queued.Store(false)
			c.resume()
		}
		clear(batch)
	}
}
