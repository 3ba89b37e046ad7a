package bench

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quorate/quorate/uring"
)

const (
	readSeats = 64       // read from in one system call
	readBytes = 64 << 10 // from each
)

// reads reads from many connections at once, so that the clients take as little of the machine from the servers as can be. A message has come
// when the call that read it has returned, so it counts as late as the last one of its call.
type reads struct {
	ring *uring.Ring // nil where the kernel has none: then one after the other
	bufs [readSeats][]byte
}

func openReads() *reads {
	r := &reads{}
	for i := range r.bufs {
		r.bufs[i] = make([]byte, readBytes)
	}
	if ring, err := uring.Open(readSeats, 1); err == nil {
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
func (a *audience) readAll(events []unix.EpollEvent) error {
	for len(events) > 0 {
		n := min(len(events), readSeats)
		if err := a.readSome(events[:n]); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

func (a *audience) readSome(events []unix.EpollEvent) error {
	r := a.reads
	if r.ring == nil || len(events) == 1 {
		for _, ev := range events {
			n, err := unix.Read(int(ev.Fd), r.bufs[0])
			if err := a.came(a.seats[ev.Fd], r.bufs[0][:max(n, 0)], err, time.Now()); err != nil {
				return err
			}
		}
		return nil
	}
	for i, ev := range events {
		r.ring.Receive(int(ev.Fd), r.bufs[i])
	}
	r.ring.Do()
	now := time.Now()
	for i, ev := range events {
		n, err := r.ring.Result(i)
		if err := a.came(a.seats[ev.Fd], r.bufs[i][:n], err, now); err != nil {
			return err
		}
	}
	return nil
}

// came takes what a read came to.
func (a *audience) came(s *seat, all []byte, err error, now time.Time) error {
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) || errors.Is(err, uring.ErrAgain):
		return nil
	case err != nil || len(all) == 0:
		return fmt.Errorf("bench: the connection of %s ended: %w", s.user, err)
	}
	return a.took(s, all, now)
}
