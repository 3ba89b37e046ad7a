package uring

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Ring takes up to so many sends and receives and has the kernel carry them out together. It is for one goroutine at a time, whichever.
//
// The descriptors must stay open from their Send or Receive until Do has returned, and the bytes where they are.
type Ring struct {
	m       *memory
	vectors []unix.Iovec  // of all that was added; they keep its bytes from the garbage collector, and never move
	heads   []unix.Msghdr // by place
	results []result      // by place
	used    int           // places
	broken  bool          // the kernel has refused the ring: nothing is tried any more
}

type result struct {
	n   int
	err error
}

// Open makes a ring for so many sends and receives at a time, each send of so many frames at most. It tries the ring out first: a kernel
// that would wait for a full socket is of no use. The error is ErrUnavailable.
func Open(places, frames int) (*Ring, error) {
	m, err := openMemory(places)
	if err != nil {
		return nil, err
	}
	r := &Ring{
		m: m, vectors: make([]unix.Iovec, 0, places*frames), heads: make([]unix.Msghdr, places), results: make([]result, places),
	}
	if err := r.try(); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrUnavailable, err), r.Close())
	}
	return r, nil
}

// Broken is a ring that the kernel has refused, for tests of its users.
func Broken() *Ring {
	const places = 64
	return &Ring{broken: true, vectors: make([]unix.Iovec, 0, 64*places), heads: make([]unix.Msghdr, places), results: make([]result, places)}
}

// Send adds a send of frames, of one after the other as far as the socket has room. There is at least one, and none is empty.
func (r *Ring) Send(fd int, frames [][]byte) {
	from := len(r.vectors)
	for _, f := range frames {
		r.vector(f)
	}
	vectors := r.vectors[from:]
	s := submission{fd: int32(fd), messageFlags: unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL}
	if len(frames) == 1 {
		s.opcode, s.address, s.length = opSend, addressOf(vectors[0].Base), uint32(len(frames[0]))
	} else {
		head := &r.heads[r.used]
		head.Iov = &vectors[0]
		head.SetIovlen(len(vectors))
		s.opcode, s.address, s.length = opSendmsg, addressOf(head), 1
	}
	r.add(s)
}

// Receive adds a receive of at most as much as to has room for.
func (r *Ring) Receive(fd int, to []byte) {
	r.vector(to)
	r.add(submission{
		opcode: opRecv, fd: int32(fd), address: addressOf(&to[0]), length: uint32(len(to)), messageFlags: unix.MSG_DONTWAIT,
	})
}

func (r *Ring) vector(b []byte) {
	if len(r.vectors) == cap(r.vectors) {
		panic("BUG: more frames than the ring was opened for")
	}
	v := unix.Iovec{Base: &b[0]}
	v.SetLen(len(b))
	r.vectors = append(r.vectors, v)
}

func addressOf[T any](p *T) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }

func (r *Ring) add(s submission) {
	s.user = uint64(r.used)
	r.results[r.used] = result{err: ErrUntried}
	if !r.broken {
		*r.m.submission(r.used) = s
	}
	r.used++
}

// Do carries out what was added, in that order. Result tells what came of it, until the next Send or Receive.
func (r *Ring) Do() {
	n := r.used
	if n > 0 && !r.broken {
		r.carryOut(n)
	}
	clear(r.vectors)
	r.vectors, r.used = r.vectors[:0], 0
}

func (r *Ring) carryOut(n int) {
	r.m.offer(n)
	for taken, done := 0, 0; done < n && !r.broken; {
		k, err := r.m.enter(n-taken, n-done)
		r.broken = err != nil && !errors.Is(err, unix.EINTR)
		taken += k
		done += r.m.completed(r.finished) // what was taken is complete, as nothing waits
	}
}

func (r *Ring) finished(user uint64, code int32) {
	one := result{n: int(max(code, 0))}
	switch errno := unix.Errno(-min(code, 0)); errno {
	case 0:
	case unix.EAGAIN, unix.EINTR:
		one.err = ErrAgain
	default:
		one.err = errno
	}
	r.results[user] = one
}

// Result tells how many bytes went, or came, in the send or receive that was added after i others. The error is ErrAgain, ErrUntried or the
// socket's. A receive of 0 bytes without an error is the end.
func (r *Ring) Result(i int) (int, error) { return r.results[i].n, r.results[i].err }

// Close gives the ring back.
func (r *Ring) Close() error {
	if r.m == nil {
		return nil
	}
	return r.m.close()
}

// try finds out whether a send to a full socket, and a receive from an empty one, come back at once.
func (r *Ring) try() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()
	some := make([]byte, 64<<10)
	for err == nil {
		_, err = unix.Write(pair[0], some)
	}
	r.Send(pair[0], [][]byte{some})
	r.Receive(pair[0], some)
	n := r.used
	r.vectors, r.used = r.vectors[:0], 0
	r.m.offer(n)
	if k, err := r.m.enter(n, 0); err != nil || k < n {
		return fmt.Errorf("%d of %d taken: %w", k, n, err)
	}
	if done := r.m.completed(r.finished); done < n {
		return errors.New("it waits for sockets")
	}
	for i := range n {
		if _, err := r.Result(i); !errors.Is(err, ErrAgain) {
			return fmt.Errorf("a socket that is not ready: %w", err)
		}
	}
	return nil
}

// submission is a place for the next offer.
func (m *memory) submission(i int) *submission {
	return &m.submissions[(*m.sqTail+uint32(i))&m.sqMask]
}

// offer shows the kernel n submissions.
func (m *memory) offer(n int) { atomic.AddUint32(m.sqTail, uint32(n)) }

// enter has the kernel take up to n submissions, and waits until so many are complete.
func (m *memory) enter(n, complete int) (taken int, err error) {
	k, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(m.fd), uintptr(n), uintptr(complete), enterGetEvents, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(k), nil
}

// completed hands on what is complete.
func (m *memory) completed(to func(user uint64, code int32)) (n int) {
	head, tail := *m.cqHead, atomic.LoadUint32(m.cqTail)
	for ; head != tail; head++ {
		c := &m.completions[head&m.cqMask]
		to(c.user, c.result)
		n++
	}
	atomic.StoreUint32(m.cqHead, head)
	return n
}
