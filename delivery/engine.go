package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lesismal/nbio"
)

// connHandler is what stands behind one connection. onText, onDrained and onClose of one connection never run at the same
// time, and nothing runs after onClose. They run on the engine's own goroutines, never inside a call of send, flush or close,
// and must not block: the other connections wait.
type connHandler interface {
	// onText gets each text message in order. The payload is valid only during the call. It may come before upgrade
	// returns to its caller, and does not come any more after close or abort.
	onText(c *conn, payload []byte)
	// onDrained says that the outbox is below its low-water mark, once after sends were refused for the bound and once after
	// askDrained.
	onDrained(c *conn)
	// onClose comes exactly once for each connection that upgrade returned, when its TCP connection is gone. The code is that
	// of whichever close frame came first, the server's or the client's, or closeAbnormal when there was none.
	onClose(c *conn, code int)
}

// engineConfig holds the limits of an engine. A zero takes the default.
type engineConfig struct {
	Pollers        int            // epoll loops; default one per CPU
	MaxConns       int            // further handshakes get 503; default 1,000,000
	MaxFrameBytes  int            // longest message of a client, its fragments together; default 64 KiB
	OutboxBytes    int            // queued for one connection, 32 bytes per frame added; over it send refuses; default 1 MiB
	OutboxLow      int            // onDrained comes below this; default a quarter of OutboxBytes
	StallTimeout   time.Duration  // a client that takes no byte of a waiting outbox for so long is closed with 4001; default 30 s
	PingInterval   time.Duration  // a client that sent nothing for so long is pinged; default 45 s
	PongTimeout    time.Duration  // a client that sent nothing for so long after a ping is given up; default 20 s
	MessageTimeout time.Duration  // a message that takes longer than this from first byte to last ends with 1008; default 60 s
	CloseTimeout   time.Duration  // a close frame that is not out and answered after so long does not count; default 5 s
	AllowedOrigins []string       // "https://host[:port]" exactly, or "*"; empty: only the host that was asked
	Addresses      *addresses     // what each client address may have; nil is no limit
	Logger         *slog.Logger   // default slog.Default()
	Closed         func(code int) // told of the end of each connection, as onClose is; default nobody
}

func (c engineConfig) withDefaults() engineConfig {
	set := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	wait := func(v *time.Duration, def time.Duration) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&c.Pollers, runtime.GOMAXPROCS(0))
	set(&c.MaxConns, 1_000_000)
	set(&c.MaxFrameBytes, 64<<10)
	set(&c.OutboxBytes, 1<<20)
	set(&c.OutboxLow, c.OutboxBytes/4)
	wait(&c.StallTimeout, 30*time.Second)
	wait(&c.PingInterval, 45*time.Second)
	wait(&c.PongTimeout, 20*time.Second)
	wait(&c.MessageTimeout, time.Minute)
	wait(&c.CloseTimeout, 5*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Closed == nil {
		c.Closed = func(int) {}
	}
	return c
}

// tick is the grain of the deadlines: fine enough for the shortest, and not finer than is worth waking up for.
func (c engineConfig) tick() time.Duration {
	shortest := min(c.StallTimeout, c.PingInterval, c.PongTimeout, c.MessageTimeout, c.CloseTimeout)
	return min(max(shortest/8, 5*time.Millisecond), 250*time.Millisecond)
}

// errEngineClosed is the answer to handshakes after close.
var errEngineClosed = errors.New("delivery: engine is closed")

// engine owns the connections after their handshake. Its goroutines are few and of a fixed number: the pollers, which read and
// call handlers; one resumer per poller, which goes on writing to clients that could not take all at once; and the wheel.
type engine struct {
	pairs    pairs // of clients behind TLS
	cfg      engineConfig
	nb       *nbio.Engine
	wheel    *wheel
	resumers []*resumer
	flushers *flushers
	rings    rings
	stop     chan struct{} // closed when the last connection is gone
	running  sync.WaitGroup

	entered atomic.Uint64 // connections given to nbio; see sinkOf

	writes atomic.Uint64 // system calls that wrote to clients

	count atomic.Int64  // connections admitted and not yet closed
	left  chan struct{} // one token when count may have fallen to 0 while closing

	mu      sync.RWMutex // held for reading while a connection enters, for writing to set closing
	started bool
	closing bool
	ended   chan struct{} // closed when close has done all its work
}

// newEngine makes an engine that does nothing yet.
func newEngine(cfg engineConfig) *engine {
	cfg = cfg.withDefaults()
	e := &engine{
		cfg:   cfg,
		wheel: newWheel(cfg.tick()), flushers: newFlushers(),
		stop: make(chan struct{}), left: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	e.nb = nbio.NewEngine(nbio.Config{
		Name:    "delivery",
		NPoller: cfg.Pollers,
		// Writes go past nbio but for one piece of at most parkBytes; see conn.park. Its bound is only a second fence.
		MaxWriteBufferSize: 2 * parkBytes,
	})
	e.nb.OnData(func(nc *nbio.Conn, data []byte) { e.sinkOf(nc).onData(data) })
	e.nb.OnWrittenSize(func(nc *nbio.Conn, _ []byte, n int) { e.sinkOf(nc).onWritten(n) })
	e.nb.OnClose(func(nc *nbio.Conn, _ error) { e.sinkOf(nc).onGone() })
	for range cfg.Pollers {
		e.resumers = append(e.resumers, newResumer())
	}
	return e
}

// start begins to serve. The engine is used once: after close it cannot start again.
func (e *engine) start() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.started || e.closing {
		return errors.New("delivery: engine was started before")
	}
	quietLogs.Do(func() { quietNbio(e.cfg.Logger) })
	if err := e.nb.Start(); err != nil {
		return fmt.Errorf("start pollers: %w", err)
	}
	if err := e.awaitPollers(); err != nil {
		return fmt.Errorf("start pollers: %w", err)
	}
	e.started = true
	e.running.Add(1 + len(e.resumers))
	e.wheel.started = time.Now()
	go func() {
		defer e.running.Done()
		e.wheel.run(e.stop, (*conn).onTimer)
	}()
	e.rings = openRings(e.cfg.Pollers, e.cfg.Logger)
	e.flushers.open(e.cfg.Pollers-1, e.rings.flush, e.stop)
	for _, r := range e.resumers {
		go func() {
			defer e.running.Done()
			r.run(e.stop)
		}()
	}
	return nil
}

// close refuses new connections, closes those there are with closeDraining and waits until they are gone and every goroutine has
// ended. When ctx ends first, what is left is cut off and the error is ctx's. Further calls wait for the first.
func (e *engine) close(ctx context.Context) error {
	e.mu.Lock()
	again, started := e.closing, e.started
	e.closing = true
	e.mu.Unlock()
	if again {
		select {
		case <-e.ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer close(e.ended)
	if !started {
		return nil
	}
	all := e.wheel.all()
	for _, c := range all {
		c.close(closeDraining, retryReason(drainRetry(len(all))))
	}
	err := e.waitEmpty(ctx)
	if err != nil {
		for _, c := range e.wheel.all() {
			c.abort()
		}
		_ = e.waitEmpty(context.Background()) // abort needs nothing of the client
	}
	e.pairs.close()
	close(e.stop)
	e.running.Wait()
	e.flushers.close()
	if broken := e.rings.close(); broken != nil {
		e.cfg.Logger.Warn("rings are not given back", "err", broken)
	}
	e.nb.Stop()
	return err
}

const (
	drainRetryMin  = 200 * time.Millisecond
	drainRetryMax  = 30 * time.Second
	drainPerSecond = 5000 // clients that are to come back to the servers that stay
)

// drainRetry is what one of n clients of a stopping server is told to wait. They go to other servers, and not all at once.
func drainRetry(n int) time.Duration {
	spread := min(time.Duration(n)*time.Second/drainPerSecond, drainRetryMax-drainRetryMin)
	return drainRetryMin + rand.N(spread+1) //nolint:gosec // nothing depends on chance
}

func (e *engine) waitEmpty(ctx context.Context) error {
	for e.count.Load() > 0 {
		select {
		case <-e.left:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// admit counts a connection in, unless there are too many, in all or from its address, or the engine is not running.
func (e *engine) admit(from addressKey) *problem {
	e.mu.RLock()
	defer e.mu.RUnlock()
	full := refuse(codeOverloaded, "no more connections at the moment")
	if e.closing || !e.started {
		return full
	}
	if p := e.cfg.Addresses.enter(from); p != nil {
		return p
	}
	if e.count.Add(1) > int64(e.cfg.MaxConns) {
		e.dismiss(from)
		return full
	}
	return nil
}

// dismiss counts a connection out.
func (e *engine) dismiss(from addressKey) {
	e.cfg.Addresses.leave(from)
	if e.count.Add(-1) == 0 {
		select {
		case e.left <- struct{}{}:
		default:
		}
	}
}

// conns is how many connections there are.
func (e *engine) conns() int { return int(e.count.Load()) }

// flush writes out what sendLater has queued on the connections.
func (e *engine) flush(dirty []*conn) { e.rings.flush(dirty) }

// flushPlain is flush with a system call for each connection.
func (e *engine) flushPlain(dirty []*conn) {
	for _, c := range dirty {
		c.flush()
	}
}

// flushSpread is flush by several goroutines, where there are many connections.
func (e *engine) flushSpread(dirty []*conn) {
	if len(dirty) < flushSpread {
		e.flush(dirty)
		return
	}
	e.flushers.flush(dirty, e.cfg.Pollers-1)
}

// adopt moves a connection from net/http into epoll. early is what the client sent right behind its handshake. The caller has
// admitted the connection, and dismisses it when there is an error.
func (e *engine) adopt(tcp *net.TCPConn, early []byte, from addressKey, h connHandler) (*conn, error) {
	_ = tcp.SetKeepAlive(false) // pings do that, with one timer for all
	nc, err := nbio.NBConn(tcp) // duplicates the descriptor and closes tcp
	if err != nil {
		_ = tcp.Close()
		return nil, fmt.Errorf("move to epoll: %w", err)
	}
	c := newConn(e, nc, h)
	c.from = from
	nc.SetSession(c)
	e.entered.Add(1)
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closing || !e.started {
		_ = nc.Close()
		return nil, errEngineClosed
	}
	// The poller may read at once; it waits for cb until what came early has been handled.
	c.cb.Lock()
	defer c.cb.Unlock()
	if _, err := e.nb.AddConn(nc); err != nil {
		c.told = true // no callback of any kind for a connection that upgrade does not return
		return nil, fmt.Errorf("move to epoll: %w", err)
	}
	e.wheel.add(c, c.firstLook())
	if len(early) > 0 {
		c.read(early)
	}
	return c, nil
}

// sinkOf is what stands behind a connection. The load pairs with the addition in adopt: the way from there to a poller leads through
// epoll and through code of nbio that is hidden from the race detector, so the two need a synchronisation that is Go's own.
func (e *engine) sinkOf(nc *nbio.Conn) sink {
	e.entered.Load()
	return nc.Session().(sink)
}
