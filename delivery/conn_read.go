package delivery

import (
	"errors"
	"runtime/debug"
	"time"

	"github.com/quorate/quorate/delivery/frame"
)

// Frames that cost more than they weigh are counted against an allowance: pings, pongs and tiny fragments. A client that keeps to
// the protocol's spirit never comes near it.
const (
	floodBurst     = 256
	floodPerSecond = 64
)

// flood is the allowance of one client.
type flood struct {
	spent int32
	at    uint32 // tick up to which spent has been paid back
}

// spend takes n from the allowance; false when it is used up.
func (f *flood) spend(n int, now uint32, tick time.Duration) bool {
	passed := time.Duration(min(now-f.at, 1<<16)) * tick
	if back := int32(min(passed*floodPerSecond/time.Second, 4*floodBurst)); back > 0 {
		f.spent, f.at = max(f.spent-back, 0), now
	}
	f.spent += int32(min(n, floodBurst+1))
	return f.spent <= floodBurst
}

// onData is called by a poller with what the client sent. The bytes are the poller's own buffer.
func (c *conn) onData(data []byte) {
	c.cb.Lock()
	defer c.cb.Unlock()
	c.read(data)
}

// read handles bytes of the client. The caller holds cb. A panic of the handler ends this connection and no other.
func (c *conn) read(data []byte) {
	defer func() {
		if r := recover(); r != nil {
			c.panicked(r)
		}
	}()
	now := c.e.wheel.now()
	c.lastRead.Store(now)
	pongs := false
	for len(data) > 0 && !c.deaf {
		ev, rest, err := c.parser.Next(data)
		data = rest
		if costly := c.parser.TakeCostly(); costly > 0 && !c.flood.spend(costly, now, c.e.wheel.tick) {
			c.fail(closePolicy, "too many frames for so little")
			break
		}
		if err != nil {
			c.failWith(err)
			break
		}
		switch ev.Kind {
		case frame.Text:
			c.text(ev.Payload)
		case frame.Ping:
			// A pong for which there is no room is dropped: the client has older ones to read first.
			pongs = c.sendLater(frame.AppendPong(nil, ev.Payload)) || pongs
		case frame.Close:
			c.onCloseFrame(ev.Code)
		case frame.Pong, frame.None:
		}
	}
	if pongs {
		c.flush()
	}
	c.noteHeld(now)
}

// text gives a message to the handler unless the connection closes.
func (c *conn) text(payload []byte) {
	c.mu.Lock()
	closing := c.closing
	c.mu.Unlock()
	if !closing {
		c.h.onText(c, payload)
	}
}

// noteHeld keeps the time since which a message is half read, and has the wheel look in time.
func (c *conn) noteHeld(now uint32) {
	switch held := !c.deaf && c.parser.Holding(); {
	case !held:
		c.heldAt.Store(0)
	case c.heldAt.Load() == 0:
		c.heldAt.Store(now)
		c.e.wheel.sooner(c, now+c.e.wheel.ticks(c.e.cfg.MessageTimeout))
	}
}

func (c *conn) failWith(err error) {
	var breach *frame.Error
	if errors.As(err, &breach) {
		c.fail(breach.Code, breach.Reason)
		return
	}
	c.fail(closeInternal, "")
}

// fail ends a connection whose client broke a rule: it hears nothing more from it.
func (c *conn) fail(code int, reason string) {
	c.deaf = true
	c.parser.Release()
	c.close(code, reason)
}

// onCloseFrame answers the client's close frame with one of the same code, behind what is queued.
func (c *conn) onCloseFrame(code int) {
	c.deaf = true
	c.parser.Release()
	c.mu.Lock()
	c.heard = true
	if c.code == 0 {
		c.code = uint16(code)
	}
	if c.finished { // ours was first and is out: that was the answer to it
		c.mu.Unlock()
		_ = c.nc.Close()
		return
	}
	c.closeLocked(code, "")
	c.writeUnlock()
}

// onGone is called by nbio once, from a goroutine that holds no lock, when TCP is closed by whichever side.
func (c *conn) onGone() {
	c.mu.Lock()
	c.dead = true
	c.out.clear()
	code := int(c.code)
	c.mu.Unlock()
	c.e.wheel.remove(c)
	if code == 0 {
		code = closeAbnormal
	}
	if c.tellClose(code) {
		c.e.dismiss(c.from)
	}
}

// tellClose calls onClose. It is false for a connection that never came to be one.
func (c *conn) tellClose(code int) bool {
	c.cb.Lock()
	defer c.cb.Unlock()
	c.deaf = true
	c.parser.Release()
	if c.told {
		return false
	}
	c.told = true
	c.e.cfg.Closed(code)
	c.guard(func() { c.h.onClose(c, code) })
	c.h = nil // nbio may keep the conn in a list for a while, and with it all that the handler holds
	return true
}

// guard runs a callback; its panic ends this connection and no other. The caller holds cb.
func (c *conn) guard(f func()) {
	defer func() {
		if r := recover(); r != nil {
			c.panicked(r)
		}
	}()
	f()
}

func (c *conn) callDrained() {
	c.cb.Lock()
	defer c.cb.Unlock()
	if !c.told {
		c.guard(func() { c.h.onDrained(c) })
	}
}

// panicked ends a connection whose handler panicked. The caller holds cb.
func (c *conn) panicked(r any) {
	c.e.cfg.Logger.Error("panic in a connection's handler", "remote", c.remoteAddr(), "panic", r, "stack", string(debug.Stack()))
	c.fail(closeInternal, "")
}
