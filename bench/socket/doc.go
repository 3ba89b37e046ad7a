// Package socket is many WebSocket clients of Quorate on one goroutine. Each is a descriptor of one epoll and some bytes: a client as cheap
// as can be, since it often shares the cores with the servers that are measured. It reads as much as is there, and looks for the few
// bytes that it needs.
package socket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Config is how the clients of a pool connect.
type Config struct {
	Token  func(user string) (string, error) // what a user shows
	Device string                            // of all clients
	Other  *Dialect                          // of a server that is not Quorate's; then the above counts for nothing
}

// Dialect is how another server is greeted, so that the same clients measure both.
type Dialect struct {
	Path    string                         // of the handshake
	Hello   func(user string) []byte       // the first frame
	Greeted func(payload []byte) (ok bool) // whether a frame answers it
}

// Handler takes what comes to the clients of a pool. All calls are made by the goroutine that is in Wait.
type Handler interface {
	// Welcomed says that hello was answered. What is missing comes after it.
	Welcomed(c *Conn, at time.Time)
	// Frame takes a text frame that came after that. The payload is good until it returns.
	Frame(c *Conn, payload []byte, at time.Time)
	// Ended says that a connection is gone, or never came to be. It is not called for one that Drop ended.
	Ended(c *Conn, err error)
}

// ErrTarget is a target that is not http://HOST:PORT with an IPv4 address. TLS ends at a load balancer, which is a target too.
var ErrTarget = errors.New("a target must be http://HOST:PORT")

// CloseError is a connection that the server closed.
type CloseError struct {
	Code   int
	Reason string
}

// Closed is what a close frame with this payload says.
func Closed(payload []byte) *CloseError {
	if len(payload) < 2 {
		return &CloseError{Code: 1005}
	}
	return &CloseError{Code: int(binary.BigEndian.Uint16(payload)), Reason: string(payload[2:])}
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("the server closed it: %d %s", e.Code, e.Reason)
}

// RetryAfter is how long the server asks to wait, 0 where it does not.
func (e *CloseError) RetryAfter() time.Duration {
	_, text, _ := strings.Cut(e.Reason, "retryAfterMs=")
	ms, _ := strconv.Atoi(text) // no number is no time
	return time.Duration(ms) * time.Millisecond
}

// Stops tells whether coming back would be no use: codes from 4500 on.
func (e *CloseError) Stops() bool { return e.Code >= 4500 }
