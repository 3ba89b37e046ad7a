//go:build !linux

package socket

import (
	"errors"
	"time"
)

var errLinux = errors.New("the clients of the bench are epoll's, which is Linux's")

// Pool needs epoll.
type Pool struct {
	Slept    time.Duration
	Received int64
}

// Conn is one client's connection.
type Conn struct {
	Number int
	User   string
}

// NewPool needs epoll.
func NewPool(Config, Handler) (*Pool, error) { return nil, errLinux }

// Close does nothing.
func (*Pool) Close() {}

// Len is 0.
func (*Pool) Len() int { return 0 }

// Connect needs epoll.
func (*Pool) Connect(string, string, int, string) (*Conn, error) { return nil, errLinux }

// Wait needs epoll.
func (*Pool) Wait(time.Time) error { return errLinux }

// Began is no time.
func (*Conn) Began() time.Time { return time.Time{} }

// Welcomed is false.
func (*Conn) Welcomed() bool { return false }

// Open is false.
func (*Conn) Open() bool { return false }

// Send needs epoll.
func (*Conn) Send([]byte) error { return errLinux }

// Drop does nothing.
func (*Conn) Drop() {}

// RaiseFiles does nothing.
func RaiseFiles(int) error { return nil }
