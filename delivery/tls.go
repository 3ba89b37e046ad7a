package delivery

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// What is between a client that speaks TLS and the engine, whose connections are plain: a pair of sockets, and two goroutines of the
// standard library's TLS. So such a client costs what a goroutine costs; where there are many, TLS ends at the load balancer.

// serverTLS is what the edge speaks with a configuration: HTTP/2 has no connection to take over.
func serverTLS(with *tls.Config) *tls.Config {
	c := with.Clone()
	c.NextProtos = []string{"http/1.1"}
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	return c
}

const (
	tlsEnd   = 5 * time.Second  // for the client to answer the end of a connection
	tlsWrite = 60 * time.Second // for it to take what is written: longer than the engine waits for a client that does not read
)

// pairs makes pairs of connected sockets. They are TCP on loopback, as nbio 1.6.12 loses what does not fit into a socket of another
// kind at once.
type pairs struct {
	mu sync.Mutex
	ln *net.TCPListener
}

// pairWait bounds the making of a pair, which is a matter of the kernel's alone.
const pairWait = 5 * time.Second

// make gives the two ends of a pair.
func (p *pairs) make() (near, far *net.TCPConn, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ln == nil {
		if p.ln, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
			return nil, nil, fmt.Errorf("pair of sockets: %w", err)
		}
	}
	if near, err = net.DialTCP("tcp4", nil, p.ln.Addr().(*net.TCPAddr)); err != nil {
		return nil, nil, fmt.Errorf("pair of sockets: %w", err)
	}
	if err = p.ln.SetDeadline(time.Now().Add(pairWait)); err == nil {
		for {
			if far, err = p.ln.AcceptTCP(); err != nil {
				break
			}
			if far.RemoteAddr().String() == near.LocalAddr().String() {
				return near, far, nil
			}
			_ = far.Close() // somebody else on this machine, who has no business here
		}
	}
	return nil, nil, errors.Join(fmt.Errorf("pair of sockets: %w", err), near.Close())
}

func (p *pairs) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ln != nil {
		_ = p.ln.Close()
	}
}

// plain gives the near end of a pair whose far end is the client behind outer. Both end when either does.
func (p *pairs) plain(outer *tls.Conn) (*net.TCPConn, error) {
	near, far, err := p.make()
	if err != nil {
		return nil, err
	}
	go toClient(outer, far)
	go fromClient(outer, far)
	return near, nil
}

// toClient carries what the engine writes. When the engine has ended its half, so is the client's; then the client has some time
// to end the other one.
func toClient(outer *tls.Conn, inner *net.TCPConn) {
	buf := make([]byte, 4<<10)
	for {
		n, err := inner.Read(buf)
		if n > 0 {
			_ = outer.SetWriteDeadline(time.Now().Add(tlsWrite))
			if _, writeErr := outer.Write(buf[:n]); writeErr != nil {
				break
			}
		}
		if err != nil { // an error is an end like any other
			_ = outer.CloseWrite()
			break
		}
	}
	_ = outer.SetReadDeadline(time.Now().Add(tlsEnd))
}

// fromClient carries what the client writes, and closes both when the client has ended.
func fromClient(outer *tls.Conn, inner *net.TCPConn) {
	_, _ = io.Copy(inner, outer)
	_ = inner.Close()
	_ = outer.Close()
}
