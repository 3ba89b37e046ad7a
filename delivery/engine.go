package delivery

import (
	"context"
	"net/http"
	"time"
)

// connHandler is what stands behind one connection. onText, onDrained and onClose of one connection never run at the same
// time, and nothing runs after onClose. They run on the engine's own goroutines and must not block.
type connHandler interface {
	// onText gets each text message in order. The payload is valid only during the call. It may come before upgrade
	// returns to its caller.
	onText(c *conn, payload []byte)
	// onDrained says that the outbox is below its low-water mark, once after each send that was refused and after each
	// askDrained.
	onDrained(c *conn)
	// onClose comes exactly once for each connection that upgrade returned, when its TCP connection is gone. The code is
	// the one of whichever close frame came first, closeAbnormal without any.
	onClose(c *conn, code int)
}

// engineConfig holds the limits of an engine. A zero takes the default.
type engineConfig struct {
	Pollers        int           // epoll loops; default: one per CPU
	MaxConns       int           // further handshakes get 503; default 1,000,000
	MaxFrameBytes  int           // longest message of a client, fragments together; default 64 KiB
	OutboxBytes    int           // queued for one connection, over it send refuses; default 1 MiB
	OutboxLow      int           // onDrained below this; default a quarter of OutboxBytes
	StallTimeout   time.Duration // a client that takes no byte of a waiting outbox for so long is closed with 4001; default 30 s
	PingInterval   time.Duration // a client that sent nothing for so long is pinged; default 45 s
	PongTimeout    time.Duration // and given up when nothing came for so long after the ping; default 20 s
	CloseTimeout   time.Duration // how long a close frame may take to get out and be answered; default 5 s
	AllowedOrigins []string      // "https://host[:port]" exactly, or "*"; empty: only the host that was asked
}

// engine owns the upgraded connections.
type engine struct{ cfg engineConfig }

// conn is one WebSocket connection.
type conn struct {
	session any // for the handler's use
}

func newEngine(cfg engineConfig) *engine          { return &engine{cfg: cfg} }
func (e *engine) start() error                    { return nil }
func (e *engine) close(ctx context.Context) error { return ctx.Err() }
func (e *engine) upgrade(w http.ResponseWriter, r *http.Request, subprotocols []string, h connHandler) (*conn, error) {
	return nil, http.ErrNotSupported
}
func (e *engine) flush(dirty []*conn)         {}
func (c *conn) send(frames ...[]byte) bool    { return false }
func (c *conn) sendLater(frame []byte) bool   { return false }
func (c *conn) flush()                        {}
func (c *conn) buffered() int                 { return 0 }
func (c *conn) askDrained()                   {}
func (c *conn) close(code int, reason string) {}
func (c *conn) abort()                        {}
func (c *conn) remoteAddr() string            { return "" }
func (c *conn) subprotocol() string           { return "" }
