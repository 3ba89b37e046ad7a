package socket

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quorate/quorate/uring"
)

// Conn is one client's connection.
type Conn struct {
	Number int // the caller's
	User   string
	Chats  int // that the welcome named

	pool    *Pool
	fd      int
	state   connState
	host    string
	cursors string
	partial []byte // of a frame that has not come whole
	unsent  []byte // that the socket had no room for
	began   time.Time
	hello   bool // it was answered
}

type connState byte

const (
	connecting connState = iota
	shaking              // the handshake is sent
	greeting             // hello is sent
	open                 // welcomed
	ended
)

func (s connState) String() string {
	return [...]string{"connecting", "shaking hands", "greeting", "open", "ended"}[s]
}

// Began is when the connection was begun.
func (c *Conn) Began() time.Time { return c.began }

// Welcomed tells whether hello was ever answered.
func (c *Conn) Welcomed() bool { return c.hello }

// Open tells whether it was welcomed and has not ended.
func (c *Conn) Open() bool { return c.state == open }

// Send sends a text frame. What goes wrong ends the connection, of which the handler is told in the next Wait at the latest.
func (c *Conn) Send(payload []byte) error {
	return c.write(OpText, payload)
}

func (c *Conn) write(op byte, payload []byte) error {
	if c.state == ended {
		return errors.New("the connection has ended")
	}
	c.pool.out = AppendMasked(c.pool.out[:0], op, payload)
	return c.push(c.pool.out)
}

// push writes what the socket takes, and keeps the rest until it takes more.
func (c *Conn) push(b []byte) error {
	if len(c.unsent) == 0 {
		n, err := unix.Write(c.fd, b)
		if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("write: %w", err)
		}
		if b = b[max(n, 0):]; len(b) == 0 {
			return nil
		}
		if err := c.pool.watch(unix.EPOLL_CTL_MOD, c.fd, edges|unix.EPOLLOUT); err != nil {
			return err
		}
	}
	if len(c.unsent)+len(b) > maxUnsent {
		return errors.New("the server does not read")
	}
	c.unsent = append(c.unsent, b...)
	return nil
}

func (c *Conn) flush() error {
	n, err := unix.Write(c.fd, c.unsent)
	if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("write: %w", err)
	}
	if c.unsent = c.unsent[max(n, 0):]; len(c.unsent) > 0 {
		return nil
	}
	c.unsent = nil
	return c.pool.watch(unix.EPOLL_CTL_MOD, c.fd, edges)
}

// Drop ends the connection at once, as a client does that loses its network.
func (c *Conn) Drop() {
	if c.state == ended {
		return
	}
	c.state = ended
	delete(c.pool.conns, int32(c.fd))
	_ = unix.Close(c.fd)
	c.partial, c.unsent = nil, nil
}

// handle takes what epoll tells of the connection, and tells whether there is something to read.
func (c *Conn) handle(events uint32) (readable bool) {
	var err error
	switch {
	case c.state == connecting:
		err = c.shake()
	case events&unix.EPOLLOUT != 0 && len(c.unsent) > 0:
		err = c.flush()
		fallthrough
	default:
		readable = err == nil && events&^unix.EPOLLOUT != 0
	}
	c.failed(err)
	return readable
}

// failed ends the connection where there is an error.
func (c *Conn) failed(err error) {
	if err == nil || c.state == ended {
		return
	}
	state := c.state
	c.Drop()
	c.pool.handler.Ended(c, fmt.Errorf("connection %d of %s, %s, after %v: %w", c.Number, c.User, state, time.Since(c.began).Round(time.Millisecond), err))
}

func (c *Conn) shake() error {
	if code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
		return errors.Join(err, unix.Errno(code))
	}
	c.state = shaking
	if err := c.pool.watch(unix.EPOLL_CTL_MOD, c.fd, edges); err != nil {
		return err
	}
	path, protocol := "/stream", "Sec-WebSocket-Protocol: quorate.v1\r\n"
	if other := c.pool.cfg.Other; other != nil {
		path, protocol = other.Path, ""
	}
	return c.push([]byte("GET " + path + " HTTP/1.1\r\nHost: " + c.host + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + protocol + "\r\n"))
}

// came takes what a read came to, which had come by then.
func (c *Conn) came(all []byte, err error, at time.Time) error {
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) || errors.Is(err, uring.ErrAgain) || c.state == ended:
		return nil
	case err != nil:
		return err
	case len(all) == 0:
		return errors.New("the server closed the connection")
	}
	c.pool.Received += int64(len(all))
	if len(c.partial) > 0 {
		all = append(c.partial, all...)
	}
	rest, err := c.take(all, at)
	switch {
	case c.state == ended || len(rest) == 0:
		c.partial = nil
	case len(rest) > maxPartial:
		return errors.New("the server sends a frame without end")
	default:
		c.partial = bytes.Clone(rest)
	}
	return err
}

// take handles what is whole of the bytes and gives the rest.
func (c *Conn) take(b []byte, at time.Time) (rest []byte, err error) {
	if c.state == shaking {
		head, rest, whole := bytes.Cut(b, []byte("\r\n\r\n"))
		if !whole {
			return b, nil
		}
		if err := c.greet(head); err != nil {
			return nil, err
		}
		b = rest
	}
	for c.state != ended {
		op, payload, rest, whole := NextFrame(b)
		if !whole {
			return b, nil
		}
		b = rest
		if err := c.frame(op, payload, at); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// greet says hello, where the handshake was answered well.
func (c *Conn) greet(head []byte) error {
	if status, _, _ := strings.Cut(string(head), "\r\n"); !strings.HasPrefix(status, "HTTP/1.1 101") {
		return fmt.Errorf("the handshake was answered %q", status)
	}
	c.state = greeting
	if other := c.pool.cfg.Other; other != nil {
		return c.write(OpText, other.Hello(c.User))
	}
	token, err := c.pool.cfg.Token(c.User)
	if err != nil {
		return err
	}
	hello := `{"type":"hello","deviceId":"` + c.pool.cfg.Device + `","token":"` + token + `"`
	if c.cursors != "" {
		hello += `,"cursors":` + c.cursors
		c.cursors = ""
	}
	return c.write(OpText, []byte(hello+"}"))
}

func (c *Conn) frame(op byte, payload []byte, at time.Time) error {
	switch op {
	case OpPing:
		c.pool.Pings++
		return c.write(OpPong, payload)
	case OpClose:
		return Closed(payload)
	case OpText:
		if c.state == open {
			c.pool.handler.Frame(c, payload, at)
			return nil
		}
		return c.answer(payload, at)
	}
	return nil
}

// answer takes the answer to hello.
func (c *Conn) answer(payload []byte, at time.Time) error {
	other, kind := c.pool.cfg.Other, ""
	if other == nil {
		kind = Kind(payload)
	}
	switch {
	case kind == "error":
		return fmt.Errorf("hello was refused: %.200s", payload)
	case kind == "welcome" || other != nil && other.Greeted(payload):
		c.state, c.hello, c.Chats = open, true, bytes.Count(payload, []byte(`{"chatId":`))
		c.pool.handler.Welcomed(c, at)
	}
	return nil
}
