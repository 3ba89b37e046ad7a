package uring

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel's side, from its include/uapi/linux/io_uring.h: what io_uring_setup fills, and the entries of both queues.
type (
	setup struct {
		sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFd uint32
		_                                                                      [3]uint32
		sq                                                                     struct {
			head, tail, mask, entries, flags, dropped, array, _ uint32
			_                                                   uint64
		}
		cq struct {
			head, tail, mask, entries, overflow, entry, flags, _ uint32
			_                                                    uint64
		}
	}
	submission struct {
		opcode, flags byte
		_             uint16
		fd            int32
		_             uint64
		address       uint64
		length        uint32
		messageFlags  uint32
		user          uint64
		_             [3]uint64
	}
	completion struct {
		user   uint64
		result int32
		_      uint32
	}
)

const (
	opSendmsg = 9
	opSend    = 26
	opRecv    = 27

	enterGetEvents = 1

	offsetSubmissions = 0x10000000
	featureSingleMmap = 1
	featureNoDrop     = 2
)

// memory is what the process and the kernel share of one ring.
type memory struct {
	fd             int
	rings, entries []byte
	sqHead, sqTail *uint32
	cqHead, cqTail *uint32
	sqMask, cqMask uint32
	submissions    []submission
	completions    []completion
}

func openMemory(n int) (m *memory, err error) {
	var s setup
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(n), uintptr(unsafe.Pointer(&s)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("%w: io_uring_setup: %w", ErrUnavailable, errno)
	}
	m = &memory{fd: int(fd)}
	if s.features&featureSingleMmap == 0 || s.features&featureNoDrop == 0 {
		return nil, errors.Join(fmt.Errorf("%w: the kernel is too old", ErrUnavailable), m.close())
	}
	if err := m.mmap(&s); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: mmap: %w", ErrUnavailable, err), m.close())
	}
	return m, nil
}

func (m *memory) mmap(s *setup) (err error) {
	const access, shared = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	size := max(s.cq.entry+s.cqEntries*uint32(unsafe.Sizeof(completion{})), s.sq.array+4*s.sqEntries)
	if m.rings, err = unix.Mmap(m.fd, 0, int(size), access, shared); err != nil {
		return err
	}
	size = s.sqEntries * uint32(unsafe.Sizeof(submission{}))
	if m.entries, err = unix.Mmap(m.fd, offsetSubmissions, int(size), access, shared); err != nil {
		return err
	}
	at := func(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&m.rings[offset])) }
	m.sqHead, m.sqTail, m.sqMask = at(s.sq.head), at(s.sq.tail), *at(s.sq.mask)
	m.cqHead, m.cqTail, m.cqMask = at(s.cq.head), at(s.cq.tail), *at(s.cq.mask)
	m.submissions = unsafe.Slice((*submission)(unsafe.Pointer(&m.entries[0])), s.sqEntries)
	m.completions = unsafe.Slice((*completion)(unsafe.Pointer(&m.rings[s.cq.entry])), s.cqEntries)
	for i := range s.sqEntries { // each place of the queue is that of the entry of the same number, for good
		*at(s.sq.array + 4*i) = i
	}
	return nil
}

func (m *memory) close() error {
	err := unix.Close(m.fd)
	for _, b := range [][]byte{m.rings, m.entries} {
		if b != nil {
			err = errors.Join(err, unix.Munmap(b))
		}
	}
	return err
}
