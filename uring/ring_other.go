//go:build !linux

package uring

// Ring is not to be had on this system.
type Ring struct{}

// Open answers ErrUnavailable.
func Open(int, int) (*Ring, error) { return nil, ErrUnavailable }

// Send does nothing.
func (*Ring) Send(int, [][]byte) {}

// Receive does nothing.
func (*Ring) Receive(int, []byte) {}

// Do does nothing.
func (*Ring) Do() {}

// Result answers ErrUntried.
func (*Ring) Result(int) (int, error) { return 0, ErrUntried }

// Close does nothing.
func (*Ring) Close() error { return nil }

// Broken is a ring that tries nothing.
func Broken() *Ring { return &Ring{} }
