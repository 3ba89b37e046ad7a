package wal

import (
	"errors"
	"os"
	"syscall"
)

// allocate reserves blocks for all of the file. Where the file system cannot, zeros are written.
func allocate(f *os.File, size int64) error {
	for {
		err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
			return writeZeros(f, 0, size)
		}
		return os.NewSyscallError("fallocate", err)
	}
}

// datasync makes the data durable, and of the rest only what is needed to find it.
func datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
