package socket

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quorate/quorate/uring"
)

const (
	readConns = 64       // read from in one system call
	readBytes = 64 << 10 // from each
)

// reads reads from many connections at once, so that the clients take as little of the machine from the servers as can be. A message has come
// when the call that read it has returned, so it counts as late as the last one of its call.
type reads struct {
	ring *uring.Ring // nil where the kernel has none: then one after the other
	bufs [readConns][]byte
}

func openReads() *reads {
	r := &reads{}
	for i := range r.bufs {
		r.bufs[i] = make([]byte, readBytes)
	}
	if ring, err := uring.Open(readConns, 1); err == nil {
		r.ring = ring
	}
	return r
}

func (r *reads) close() {
	if r.ring != nil {
		_ = r.ring.Close()
	}
}

// readAll reads from all connections that have something.
func (p *Pool) readAll() {
	for all := p.ready; len(all) > 0; {
		n := min(len(all), readConns)
		p.readSome(all[:n])
		all = all[n:]
	}
	clear(p.ready)
	p.ready = p.ready[:0]
}

func (p *Pool) readSome(conns []*Conn) {
	r := p.reads
	if r.ring == nil || len(conns) == 1 {
		for _, c := range conns {
			c.readSome(r.bufs[0])
		}
		return
	}
	for i, c := range conns {
		r.ring.Receive(c.fd, r.bufs[i])
	}
	r.ring.Do()
	at := time.Now()
	for i, c := range conns {
		n, err := r.ring.Result(i)
		if errors.Is(err, uring.ErrUntried) || errors.Is(err, uring.ErrAgain) {
			c.readSome(r.bufs[i])
			continue
		}
		c.failed(c.came(r.bufs[i][:n], err, at))
		if n == len(r.bufs[i]) {
			c.readSome(r.bufs[i]) // there may be more, which epoll does not tell again
		}
	}
}

// readSome reads until a read gives less than there is room for.
func (c *Conn) readSome(buf []byte) {
	for n := len(buf); n == len(buf); {
		n = c.readOne(buf)
	}
}

// readAll reads until there is nothing, or the end.
func (c *Conn) readAll(buf []byte) {
	for n := 1; n > 0; {
		n = c.readOne(buf)
	}
}

func (c *Conn) readOne(buf []byte) (n int) {
	if c.state == ended {
		return 0
	}
	n, err := unix.Read(c.fd, buf)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Read(c.fd, buf)
	}
	c.failed(c.came(buf[:max(n, 0)], err, time.Now()))
	return max(n, 0)
}
