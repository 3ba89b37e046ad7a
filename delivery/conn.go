package delivery

import (
	"net"
	"sync"
	"sync/atomic"

	"github.com/lesismal/nbio"

	"github.com/quorate/quorate/delivery/frame"
)

// conn is one WebSocket connection. Its methods may be called from any goroutine, from the handler's callbacks too.
//
// It has no goroutine, no timer and no buffer while it is idle. Locks are taken in this order: cb, whatever the handler locks, mu,
// then wheel.mu; and nbio's own lock, then resumer.mu. No method waits for cb.
type conn struct {
	e     *engine
	nc    *nbio.Conn
	fd    int32 // valid only under nc's lock while nc is open
	from  addressKey
	place place // guarded by wheel.mu

	lastRead atomic.Uint32 // tick of the last bytes from the client
	heldAt   atomic.Uint32 // tick since which a message is half read; 0 when none is
	parked   atomic.Int32  // bytes that nbio still holds for a socket that was full; see park
	queued   atomic.Bool   // in the resumer's list

	cb     sync.Mutex // held while bytes are read and while the handler is called
	h      connHandler
	parser frame.Parser // of cb
	flood  flood        // of cb
	deaf   bool         // of cb: whatever the client says now is ignored
	told   bool         // of cb: onClose was called

	mu       sync.Mutex // the fields below
	out      outbox
	parkLen  int32  // the length of the piece lent to nbio, at the front of out; 0 when none is
	progress uint32 // tick at which the socket last took bytes before it was full
	pinged   uint32 // tick of a ping that waits for any answer; 0 for none
	closeBy  uint32 // tick at which a connection that closes is cut off
	code     uint16 // of the first close frame, either way; 0 for none
	writing  bool   // somebody has the right to write: a goroutine in write, or nbio with a parked piece
	closing  bool   // a close frame is queued; nothing may be queued after it
	finished bool   // all that was queued is out, and our half of TCP is closed
	heard    bool   // the client's close frame has come
	dead     bool   // TCP is gone
	over     bool   // a send was refused, or askDrained; onDrained is due below the mark
	drained  bool   // onDrained is to be called
}

func newConn(e *engine, nc *nbio.Conn, h connHandler) *conn {
	c := &conn{e: e, nc: nc, fd: int32(nc.Hash()), h: h}
	c.parser.MaxMessage = uint32(e.cfg.MaxFrameBytes)
	c.lastRead.Store(e.wheel.now())
	return c
}

// send queues complete encoded frames, all or none, and writes what the socket takes now. The bytes are shared and must not be
// changed afterwards. It is false, with nothing queued, when they do not fit under the outbox's bound (onDrained follows when
// there is room; what is larger than the whole bound never fits) and when the connection closes.
func (c *conn) send(frames ...[]byte) bool {
	c.mu.Lock()
	if !c.queueLocked(frames) {
		c.mu.Unlock()
		return false
	}
	c.writeUnlock()
	return true
}

// sendLater is send of one frame without the writing: the caller calls flush, or engine.flush, when it has queued all it has, so
// that many frames leave in one system call.
func (c *conn) sendLater(frame []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := [1][]byte{frame}
	return c.queueLocked(one[:])
}

// flush writes what sendLater queued.
func (c *conn) flush() {
	c.mu.Lock()
	c.writeUnlock()
}

// buffered is what is queued and not yet taken by the socket, counted as engineConfig.OutboxBytes counts.
func (c *conn) buffered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.cost
}

// askDrained makes onDrained be called once the outbox is below its low-water mark, soon if it is so now.
func (c *conn) askDrained() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.checkDrainedLocked()
}

// close queues a close frame behind what is queued already, and from then on nothing more. TCP is closed when the client has
// answered it, or after CloseTimeout. A second close does nothing. The reason is at most 123 bytes, or is cut.
func (c *conn) close(code int, reason string) {
	c.mu.Lock()
	if !c.closeLocked(code, reason) {
		c.mu.Unlock()
		return
	}
	c.writeUnlock()
}

// abort closes TCP at once. What is queued is lost.
func (c *conn) abort() {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	_ = c.nc.Close()
}

// remoteAddr is the client's address as TCP has it.
func (c *conn) remoteAddr() net.Addr { return c.nc.RemoteAddr() }

// queueLocked puts frames into the outbox if they fit.
func (c *conn) queueLocked(frames [][]byte) bool {
	if c.closing || c.dead {
		return false
	}
	if c.out.cost+costOf(frames) > c.e.cfg.OutboxBytes {
		c.over = true
		c.checkDrainedLocked()
		return false
	}
	for _, f := range frames {
		c.out.push(f)
	}
	return true
}

// closeLocked queues the close frame. The bound does not hold for it.
func (c *conn) closeLocked(code int, reason string) bool {
	if c.closing || c.dead {
		return false
	}
	c.closing = true
	if c.code == 0 {
		c.code = uint16(code)
	}
	c.out.push(frame.AppendClose(nil, code, reason))
	c.closeBy = c.e.wheel.now() + c.e.wheel.ticks(c.e.cfg.CloseTimeout)
	c.e.wheel.sooner(c, c.closeBy)
	return true
}

// checkDrainedLocked sees to it that onDrained is called where it is due.
func (c *conn) checkDrainedLocked() {
	if !c.over || c.dead || c.closing || c.out.cost >= c.e.cfg.OutboxLow {
		return
	}
	c.over, c.drained = false, true
	c.resumer().add(c)
}

func (c *conn) resumer() *resumer { return c.e.resumers[int(c.fd)%len(c.e.resumers)] }
