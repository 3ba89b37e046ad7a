package delivery

import (
	"errors"
	"log/slog"

	"github.com/quorate/quorate/uring"
)

const (
	// ringConns is how many connections are written to in one system call at most. nbio's locks of all of them are held meanwhile, some
	// hundred microseconds, in which nothing is read of those clients.
	ringConns = 64
	// ringLeast is from how many connections on a ring is worth its work.
	ringLeast = 4
)

// rings write to many connections at once. Whoever finds none free writes to one after the other.
type rings chan *ringWriter

// openRings makes n rings, or none where the kernel has none to give.
func openRings(n int, log *slog.Logger) rings {
	all := make(rings, n)
	for range n {
		r, err := uring.Open(ringConns, writeFrames)
		if err != nil {
			log.Info("each client is written to by a system call of its own", "err", err)
			break
		}
		all <- &ringWriter{ring: r}
	}
	return all
}

// close gives back the rings, which nobody uses any more.
func (r rings) close() error {
	var errs []error
	for len(r) > 0 {
		errs = append(errs, (<-r).ring.Close())
	}
	return errors.Join(errs...)
}

// flush writes what is queued on the connections.
func (r rings) flush(conns []*conn) {
	if len(conns) >= ringLeast {
		select {
		case w := <-r:
			for len(conns) >= ringLeast {
				n := min(len(conns), ringConns)
				w.write(conns[:n])
				conns = conns[n:]
			}
			r <- w
		default:
		}
	}
	for _, c := range conns {
		c.flush()
	}
}

// ringWriter is one ring, and what it writes to.
type ringWriter struct {
	ring   *uring.Ring
	conns  []*conn // by place in the ring
	frames [writeFrames][]byte
}

// write writes what is queued on the connections, at most ringConns, but where somebody else does so already. It holds nbio's locks of all of
// them at a time: each has the right to write, so nobody else holds two of these, and who holds one waits for nothing.
func (w *ringWriter) write(conns []*conn) {
	for _, c := range conns {
		frames := c.claim(w.frames[:])
		if len(frames) == 0 {
			continue
		}
		c.nc.Lock()
		if closed, _ := c.nc.IsClosed(); closed {
			c.nc.Unlock()
			continue // onGone follows
		}
		w.ring.Send(int(c.fd), frames)
		w.conns = append(w.conns, c)
	}
	w.ring.Do()
	for _, c := range w.conns {
		c.nc.Unlock()
	}
	if len(w.conns) > 0 {
		w.conns[0].e.writes.Add(1)
	}
	for i, c := range w.conns {
		c.sent(w.ring.Result(i))
	}
	clear(w.conns)
	clear(w.frames[:])
	w.conns = w.conns[:0]
}

// claim takes the right to write, and gives the frames to begin with; none where somebody else has it or nothing is to be written.
func (c *conn) claim(frames [][]byte) [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing || c.dead || c.out.empty() {
		return nil
	}
	c.writing = true
	return c.out.peek(frames)
}

// sent goes on after a send by a ring, with the right to write. What the ring did not do is done without one.
func (c *conn) sent(n int, err error) {
	full := errors.Is(err, uring.ErrAgain)
	if err != nil && !full && !errors.Is(err, uring.ErrUntried) {
		_ = c.nc.CloseWithError(err) // onGone follows
		return
	}
	c.mu.Lock()
	if c.wroteLocked(n, full) {
		c.writeOwned()
	}
}
