package uring

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// open makes a ring, or ends the test well where this kernel has none to give.
func open(t *testing.T, places, frames int) *Ring {
	t.Helper()
	r, err := Open(places, frames)
	if errors.Is(err, ErrUnavailable) {
		t.Log(err)
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func socketPair(t *testing.T) (a, b int) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) })
	return pair[0], pair[1]
}

func TestRing_SendsToManyAndReceivesFromMany(t *testing.T) {
	const n = 16
	r := open(t, n, 3)
	if r == nil {
		return
	}
	var ends [n][2]int
	for i := range ends {
		ends[i][0], ends[i][1] = socketPair(t)
	}
	for round := range 3 * n { // the ring comes round several times
		for i := range n {
			r.Send(ends[i][0], [][]byte{{byte(round)}, []byte("and"), {byte(i)}}[:1+(round+i)%3])
		}
		r.Do()
		var bufs [n][8]byte
		for i := range n {
			if k, err := r.Result(i); err != nil || k != []int{1, 4, 5}[(round+i)%3] {
				t.Fatalf("send %d: %d %v", i, k, err)
			}
		}
		for i := range n {
			r.Receive(ends[i][1], bufs[i][:])
		}
		r.Do()
		for i := range n {
			want := bytes.Join([][]byte{{byte(round)}, []byte("and"), {byte(i)}}[:1+(round+i)%3], nil)
			if k, err := r.Result(i); err != nil || !bytes.Equal(bufs[i][:k], want) {
				t.Fatalf("receive %d: %q %v, want %q", i, bufs[i][:k], err, want)
			}
		}
	}
}

// TestRing_EachHasItsOwnAnswer sends to a full socket, to one whose other end is closed, to no socket and to one that takes a part, and to
// others between them.
func TestRing_EachHasItsOwnAnswer(t *testing.T) {
	r := open(t, 8, 1)
	if r == nil {
		return
	}
	full, drain := socketPair(t)
	some := make([]byte, 1<<10)
	for _, err := unix.Write(full, some); err == nil; {
		_, err = unix.Write(full, some)
	}
	gone, other := socketPair(t)
	if err := unix.Shutdown(other, unix.SHUT_RDWR); err != nil {
		t.Fatal(err)
	}
	good, reads := socketPair(t)
	part, _ := socketPair(t)
	large := make([]byte, 32<<20)
	for _, fd := range []int{full, good, gone, good, 1 << 20, good, part} {
		if fd == part {
			r.Send(fd, [][]byte{large})
			continue
		}
		r.Send(fd, [][]byte{[]byte("x")})
	}
	r.Do()
	for i, want := range []error{ErrAgain, nil, unix.EPIPE, nil, unix.EBADF, nil, nil} {
		n, err := r.Result(i)
		if !errors.Is(err, want) || (err == nil && n == 0) {
			t.Errorf("send %d: %d %v, want %v", i, n, err, want)
		}
		if i == 6 && n == len(large) {
			t.Error("all of 32 MiB taken")
		}
	}
	if n, err := unix.Read(reads, some); n != 3 || err != nil {
		t.Errorf("%d %v came, 3 were sent", n, err)
	}
	r.Receive(good, some)
	r.Receive(gone, some)
	r.Receive(drain, some)
	r.Do()
	for i, want := range []error{ErrAgain, nil, nil} {
		if n, err := r.Result(i); !errors.Is(err, want) || n != []int{0, 0, len(some)}[i] {
			t.Errorf("receive %d: %d %v, want %v", i, n, err, want)
		}
	}
}

func TestRing_RefusedTriesNothing(t *testing.T) {
	r := Broken()
	a, b := socketPair(t)
	r.Send(a, [][]byte{[]byte("x")})
	r.Do()
	if _, err := r.Result(0); !errors.Is(err, ErrUntried) {
		t.Error(err)
	}
	if _, err := unix.Read(b, make([]byte, 1)); !errors.Is(err, unix.EAGAIN) {
		t.Error("something was sent:", err)
	}
}
