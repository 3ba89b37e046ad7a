// Package uring writes to and reads from many sockets with one system call, by Linux's io_uring. Nothing in it waits: what a socket
// cannot take or give at once is its caller's to try again, and the kernel is done with all memory of the caller's when a call returns.
package uring

import "errors"

var (
	// ErrUnavailable says that this kernel, or what this process may do, has no io_uring as it is needed here. It stays so.
	ErrUnavailable = errors.New("no io_uring here")
	// ErrAgain says that a socket had no room, or nothing to read.
	ErrAgain = errors.New("the socket is not ready")
	// ErrUntried says that nothing was tried, and may be in another way.
	ErrUntried = errors.New("not tried")
)
