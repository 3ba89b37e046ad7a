//go:build !linux

package load

import "time"

// Clock wakes one goroutine at times.
type Clock struct{}

// NewClock makes a clock. The caller must Close it.
func NewClock() (*Clock, error) { return &Clock{}, nil }

// Sleep waits so long.
func (*Clock) Sleep(d time.Duration) { time.Sleep(d) }

// Close ends the clock.
func (*Clock) Close() error { return nil }
