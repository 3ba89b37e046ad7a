package delivery

import (
	"time"

	"github.com/quorate/quorate/delivery/frame"
)

// slowRetry is what a client that did not read is told to wait before it comes again.
const slowRetry = time.Second

// pingFrame is the same for all.
var pingFrame = frame.AppendPing(nil, nil)

// firstLook spreads the connections over the ping interval, so that those that came together are not pinged together.
func (c *conn) firstLook() uint32 {
	interval := c.e.wheel.ticks(c.e.cfg.PingInterval)
	return c.e.wheel.now() + interval/2 + uint32(c.fd)*7919%(interval/2+1)
}

// onTimer looks at what a connection is waiting for and ends or pings it where that is due. It runs on the wheel's goroutine and
// returns the tick of the next look.
func (c *conn) onTimer(now uint32) uint32 {
	c.mu.Lock()
	switch {
	case c.dead:
		c.mu.Unlock()
		return now + wheelSlots
	case c.closing:
		return c.lookAtCloseUnlock(now)
	case c.parkLen > 0:
		return c.lookAtStallUnlock(now)
	}
	if due, late := c.lookAtMessage(now); late {
		c.closeLocked(closePolicy, "message takes too long")
		c.writeUnlock()
		return due
	}
	return c.lookAtLifeUnlock(now)
}

// lookAtCloseUnlock cuts a connection off whose closing takes too long.
func (c *conn) lookAtCloseUnlock(now uint32) uint32 {
	due := c.closeBy
	c.mu.Unlock()
	if now < due {
		return due
	}
	_ = c.nc.Close()
	return now + wheelSlots
}

// lookAtStallUnlock gives a client up that has not taken a byte for StallTimeout. What is queued is dropped at once, but for the frame
// that is half sent; should the client read again within CloseTimeout, it learns why.
func (c *conn) lookAtStallUnlock(now uint32) uint32 {
	defer c.mu.Unlock()
	due := c.progress + c.e.wheel.ticks(c.e.cfg.StallTimeout)
	if now < due {
		return due
	}
	c.out.keepHead()
	c.closeLocked(closeSlowConsumer, retryReason(slowRetry))
	return c.closeBy
}

// lookAtMessage tells whether a message has been half read for too long.
func (c *conn) lookAtMessage(now uint32) (due uint32, late bool) {
	held := c.heldAt.Load()
	if held == 0 {
		return 0, false
	}
	due = held + c.e.wheel.ticks(c.e.cfg.MessageTimeout)
	return max(due, now+1), now >= due
}

// lookAtLifeUnlock pings a silent client, and gives it up when it does not answer. Any bytes are an answer.
func (c *conn) lookAtLifeUnlock(now uint32) uint32 {
	interval, patience := c.e.wheel.ticks(c.e.cfg.PingInterval), c.e.wheel.ticks(c.e.cfg.PongTimeout)
	last := c.lastRead.Load()
	if c.pinged != 0 && last >= c.pinged {
		c.pinged = 0
	}
	switch {
	case c.pinged != 0 && now-c.pinged >= patience:
		c.mu.Unlock()
		c.abort()
		return now + wheelSlots
	case c.pinged != 0:
		due := c.pinged + patience
		c.mu.Unlock()
		return due
	case now < last+interval:
		c.mu.Unlock()
		return last + interval
	}
	c.pinged = now
	c.out.push(pingFrame)
	c.writeUnlock()
	return now + patience
}
