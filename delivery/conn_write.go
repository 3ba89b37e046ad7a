package delivery

import (
	"errors"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// writeFrames is how many frames leave in one system call at most.
	writeFrames = 64
	// parkBytes bounds what is copied into nbio's own buffer while a socket is full. It only has to be there: nbio has no other
	// way to tell that a socket has room again.
	parkBytes = 4 << 10
)

// writeScratch are the lists of frames for one system call each.
var writeScratch = sync.Pool{New: func() any { return new([writeFrames][]byte) }}

// writeUnlock writes what is queued, unless somebody does so already, and releases mu, which the caller holds. A goroutine that finds
// another one writing leaves its frames to that one; so the frames of many senders meet in one system call.
func (c *conn) writeUnlock() {
	if c.writing || c.dead || c.out.empty() {
		c.mu.Unlock()
		return
	}
	c.writing = true
	c.writeOwned()
}

// writeOwned writes until the outbox is empty or the socket full. The caller holds mu, which is released, and the right to write,
// which is given up or passed on to nbio with a parked piece.
func (c *conn) writeOwned() {
	scratch := writeScratch.Get().(*[writeFrames][]byte)
	defer writeScratch.Put(scratch)
	for {
		if c.dead {
			c.mu.Unlock()
			return // writing stays true: nobody may write any more
		}
		if c.out.empty() {
			c.writing = false
			c.finishUnlock()
			return
		}
		batch := c.out.peek(scratch[:])
		c.mu.Unlock()
		n, full, err := c.writev(batch)
		clear(batch)
		if err != nil {
			_ = c.nc.CloseWithError(err) // onGone follows
			return
		}
		c.mu.Lock()
		if !c.wroteLocked(n, full) {
			return
		}
	}
}

// wroteLocked notes what the socket took, and whether it is full now. It is true, with mu held, where the writer is to go on; else
// mu is released, and the right to write has gone to nbio with a parked piece.
func (c *conn) wroteLocked(n int, full bool) bool {
	if c.dead {
		return true
	}
	c.tookLocked(n)
	if full && !c.out.empty() {
		c.parkUnlock()
		return false
	}
	return true
}

// tookLocked notes that the socket has taken n bytes.
func (c *conn) tookLocked(n int) {
	c.out.consume(n)
	c.checkDrainedLocked()
}

// writev offers the socket all frames at once and says how many bytes it took and whether it is full. It goes past nbio, whose
// Writev copies what does not fit and loses what lies behind the first such frame (v1.6.12). nbio's lock keeps the descriptor from
// being closed and given to somebody else meanwhile.
func (c *conn) writev(frames [][]byte) (n int, full bool, err error) {
	want := 0
	for _, f := range frames {
		want += len(f)
	}
	c.nc.Lock()
	defer c.nc.Unlock()
	if closed, _ := c.nc.IsClosed(); closed {
		return 0, false, net.ErrClosed
	}
	for {
		c.e.writes.Add(1)
		if len(frames) == 1 {
			n, err = unix.Write(int(c.fd), frames[0])
		} else {
			n, err = unix.Writev(int(c.fd), frames)
		}
		switch {
		case err == nil:
			return n, n < want, nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return 0, true, nil
		default:
			return 0, false, err
		}
	}
}

// parkUnlock waits for room in the socket: it gives nbio the next few bytes, which makes nbio wait for the socket and then call
// onWritten. The caller holds mu, which is released, and the right to write, which goes with the bytes.
func (c *conn) parkUnlock() {
	piece := c.out.head()
	piece = piece[:min(len(piece), parkBytes)]
	c.parkLen = int32(len(piece))
	c.parked.Store(c.parkLen)
	c.progress = c.e.wheel.now() // either there was some just now, or the waiting begins now
	c.e.wheel.sooner(c, c.progress+c.e.wheel.ticks(c.e.cfg.StallTimeout))
	c.mu.Unlock()
	// nbio keeps a copy. An error means that it has closed the connection: onGone follows.
	_, _ = c.nc.Write(piece)
}

// onWritten is called by nbio, under its lock, when bytes of a parked piece are out.
func (c *conn) onWritten(n int) {
	if c.parked.Add(int32(-n)) == 0 {
		c.resumer().add(c)
	}
}

// resume runs on the resumer: it goes on writing where a parked piece is out, and calls onDrained where that is due.
func (c *conn) resume() {
	c.mu.Lock()
	if c.parkLen > 0 && c.parked.Load() == 0 && !c.dead {
		n := int(c.parkLen)
		c.parkLen = 0
		c.tookLocked(n)
		c.writeOwned()
		c.mu.Lock()
	}
	due := c.drained
	c.drained = false
	c.mu.Unlock()
	if due {
		c.callDrained()
	}
}

// finishUnlock closes our half of TCP when the close frame is out, and all of it when the client has said that it is done too. The
// other half stays open for a while otherwise: to close it with bytes of the client unread would make the kernel reset the
// connection, and the client lose the close frame. The caller holds mu, which is released.
func (c *conn) finishUnlock() {
	if !c.closing || c.finished {
		c.mu.Unlock()
		return
	}
	c.finished = true
	heard := c.heard
	c.mu.Unlock()
	if heard {
		_ = c.nc.Close()
		return
	}
	c.nc.Lock()
	defer c.nc.Unlock()
	if closed, _ := c.nc.IsClosed(); !closed {
		_ = unix.Shutdown(int(c.fd), unix.SHUT_WR) // an error means that the connection is gone, and onGone follows
	}
}
