package delivery

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// holdDescriptors occupies the 60 lowest free descriptors but for every n-th, until the end of the test.
func holdDescriptors(t *testing.T, n int) {
	t.Helper()
	var free []int
	for i := range 60 {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 && i%n == 0 {
			free = append(free, fd)
			continue
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
	}
	for _, fd := range free {
		_ = unix.Close(fd)
	}
}

func TestEngine_StartsWhicheverDescriptorsAreFree(t *testing.T) {
	for pollers := 1; pollers <= 6; pollers++ {
		for n := range 7 {
			t.Run(fmt.Sprintf("%d pollers, every %d-th free", pollers, n), func(t *testing.T) {
				holdDescriptors(t, n)
				e := newEngine(engineConfig{Pollers: pollers})
				if err := e.start(); err != nil {
					t.Fatal(err)
				}
				if err := e.close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
