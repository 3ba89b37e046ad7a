package load

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Clock wakes one goroutine at exact times. A sleep of the runtime is late by up to a millisecond, and that would be counted as the
// server's; a descriptor of the kernel's is not.
type Clock struct {
	file *os.File
	buf  [8]byte
}

// NewClock makes a clock. The caller must Close it.
func NewClock() (*Clock, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	return &Clock{file: os.NewFile(uintptr(fd), "timer")}, nil
}

// Sleep waits so long, at least a microsecond.
func (c *Clock) Sleep(d time.Duration) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(d, time.Microsecond).Nanoseconds())}
	raw, err := c.file.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { err = unix.TimerfdSettime(int(fd), 0, &spec, nil) })
	}
	if err == nil {
		_, err = c.file.Read(c.buf[:])
	}
	if err != nil {
		time.Sleep(d)
	}
}

// Close ends the clock.
func (c *Clock) Close() error { return c.file.Close() }
