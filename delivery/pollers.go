package delivery

import (
	"fmt"
	"net"
	"os"
	"time"

	"github.com/lesismal/nbio"
	"golang.org/x/sys/unix"
)

// sink is what stands behind a connection of nbio.
type sink interface {
	onData(data []byte) // on the poller; the bytes are the poller's own buffer
	onWritten(n int)    // under nbio's lock, when n bytes of those that nbio was given are out
	onGone()            // once, from a goroutine that holds no lock
}

// knock is the sink of a socket that only tells that its poller runs.
type knock struct {
	heard chan struct{}
	gone  chan struct{}
}

func (k *knock) onData([]byte) { k.heard <- struct{}{} }
func (k *knock) onWritten(int) {}
func (k *knock) onGone()       { close(k.gone) }

// pollerStart is how long a poller may take to run for the first time.
const pollerStart = 10 * time.Second

// awaitPollers returns when every poller has handled an event. nbio v1.6.12 forgets a Stop that comes before its pollers have
// begun to run, and then waits for them for ever.
//
// nbio chooses the poller by the number of the descriptor, and the kernel gives the lowest number that is free. A try that
// reached no new poller therefore keeps its one number until the end and nothing else: the next try gets the next number.
func (e *engine) awaitPollers() error {
	pollers := e.cfg.Pollers
	running := make([]bool, pollers)
	for left, tries := pollers, 0; left > 0; tries++ {
		if tries == 64*pollers+256 { // others in the process open and close descriptors too, but not so many in step
			return fmt.Errorf("no descriptor reaches %d of %d pollers", left, pollers)
		}
		nc, far, err := nbioPair()
		if err != nil {
			return err
		}
		i := nc.Hash() % pollers
		if running[i] {
			_ = far.Close()
			defer func() { _ = nc.Close() }()
			continue
		}
		err = e.knockAt(nc, far)
		_ = far.Close()
		if err != nil {
			return err
		}
		running[i] = true
		left--
	}
	return nil
}

// nbioPair is a pair of connected sockets of which one end is a connection of nbio that no poller has yet.
func nbioPair() (*nbio.Conn, net.Conn, error) {
	near, far, err := socketPair()
	if err != nil {
		return nil, nil, err
	}
	nc, err := nbio.NBConn(near)
	if err != nil {
		_ = near.Close()
		_ = far.Close()
		return nil, nil, err
	}
	return nc, far, nil
}

// knockAt adds nc to its poller, sends a byte and waits until the poller has read it.
func (e *engine) knockAt(nc *nbio.Conn, far net.Conn) error {
	k := &knock{heard: make(chan struct{}, 1), gone: make(chan struct{})}
	nc.SetSession(k)
	e.entered.Add(1)
	if _, err := e.nb.AddConn(nc); err != nil {
		return err
	}
	_, err := far.Write([]byte{0})
	if err == nil {
		select {
		case <-k.heard:
		case <-time.After(pollerStart):
			err = fmt.Errorf("no poller in %v", pollerStart)
		}
	}
	_ = nc.Close()
	<-k.gone
	return err
}

func socketPair() (near, far net.Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	if near, err = fileConn(fds[0]); err != nil {
		_ = unix.Close(fds[1])
		return nil, nil, err
	}
	if far, err = fileConn(fds[1]); err != nil {
		_ = near.Close()
		return nil, nil, err
	}
	return near, far, nil
}

// fileConn makes a net.Conn of a descriptor, and closes the descriptor.
func fileConn(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "poller")
	defer func() { _ = f.Close() }()
	return net.FileConn(f)
}
