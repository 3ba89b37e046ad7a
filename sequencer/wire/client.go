package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// ClientConfig is how a Client works. Only Seeds is needed; what is zero gets the default named at the field.
type ClientConfig struct {
	Seeds              []string // host:port of some nodes; the others are learned from them
	Username, Password string   // for AUTH; Username "" is "default", Password "" is no AUTH
	Name               string   // the name that nodes show for the connections; "" is none

	MaxPending       int // requests under way in all, those that wait for a retry included; beyond it ErrBusy. 65,536
	MaxPendingBytes  int // bytes of their arguments; beyond it ErrBusy. 128 MiB
	MaxInFlight      int // of these on one node: queued, or sent and unanswered; beyond it ErrBusy. 16,384
	MaxInFlightBytes int // bytes of their arguments; beyond it ErrBusy. 32 MiB
	MaxNodes         int // addresses known at a time. 256

	RequestTimeout time.Duration // of a request whose context has no deadline. 30 s
	DialTimeout    time.Duration // to connect and say hello. 1 s
	WriteTimeout   time.Duration // for one write to a connection; then the connection is given up. 5 s
	StallTimeout   time.Duration // without any answer while some are due; then the connection is given up. 6 s
	RetryBase      time.Duration // the first pause before a retry is between 0 and this; it doubles. 5 ms
	RetryMax       time.Duration // the longest pause. 500 ms
	RefreshEvery   time.Duration // the topology is asked for at most this often. 100 ms
	RefreshIdle    time.Duration // and at least so often, when nothing gave a reason: nodes come and go quietly. 30 s

	Breaker BreakerConfig

	// Dial connects to a node; nil is TCP. The client closes what it returns.
	Dial   func(ctx context.Context, addr string) (net.Conn, error)
	Logger *slog.Logger // slog.Default()
}

// ErrClosed is what a request gets that a closed client never sent.
var ErrClosed = errors.New("client is closed")

// errEmpty is what a request ends with that has met no node at all.
var errEmpty = fmt.Errorf("%w: no node was reached in time", ErrClusterDown)

// Client sends commands to the nodes that lead the groups of their keys. It keeps one connection per node, on which all
// requests are pipelined, and sends a request again until its time is over where that may help. All methods may be called
// from any goroutine.
//
// A request that is sent again has the same arguments, so one that carries its identity, as CHAT.APPEND does, happens
// once. The outcome is ErrUnknown where some attempt may have been executed and none came back with a result; every other
// error is definite.
type Client struct {
	cfg   ClientConfig
	log   *slog.Logger
	epoch time.Time // the client's clock starts here

	wheel   wheel // holds every request that is under way
	pending budget
	routing routing
	cold    *breaker // of requests sent while no topology is known

	slotsApart atomic.Int64           // on the client's clock: until when chats of different slots are not asked for together
	meta       atomic.Pointer[string] // address of the node for commands of the meta group: its leader, as soon as one has told

	mu     sync.Mutex // guards all below
	nodes  map[string]*node
	feeds  map[*FeedConn]struct{}
	idle   map[feedKey]*FeedConn
	closed bool
	start  sync.Once

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	done   sync.WaitGroup // every goroutine
}

// NewClient makes a client. It opens nothing: connections are made when they are needed. The caller must Close it.
func NewClient(cfg ClientConfig) *Client {
	cfg.fill()
	c := &Client{
		cfg: cfg, log: cfg.Logger, epoch: time.Now(), nodes: map[string]*node{},
		feeds: map[*FeedConn]struct{}{}, idle: map[feedKey]*FeedConn{}, cold: newBreaker(cfg.Breaker),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.pending.limit, c.pending.limitBytes = int64(cfg.MaxPending), int64(cfg.MaxPendingBytes)
	c.wheel.init()
	return c
}

func (cfg *ClientConfig) fill() {
	orElse(&cfg.Username, "default")
	orElse(&cfg.MaxPending, 64<<10)
	orElse(&cfg.MaxPendingBytes, 128<<20)
	orElse(&cfg.MaxInFlight, 16<<10)
	orElse(&cfg.MaxInFlightBytes, 32<<20)
	orElse(&cfg.MaxNodes, 256)
	orElse(&cfg.RequestTimeout, 30*time.Second)
	orElse(&cfg.DialTimeout, time.Second)
	orElse(&cfg.WriteTimeout, 5*time.Second)
	orElse(&cfg.StallTimeout, 6*time.Second) // a sequencer answers a read after 5 s at the latest
	orElse(&cfg.RetryBase, 5*time.Millisecond)
	orElse(&cfg.RetryMax, 500*time.Millisecond)
	orElse(&cfg.RefreshEvery, 100*time.Millisecond)
	orElse(&cfg.RefreshIdle, 30*time.Second)
	cfg.Breaker.fill()
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}
	}
}

func orElse[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// Submit sends a command to the leader of key's group and never waits. done is called exactly once with the reply, which
// is then no error reply, or an error: before Submit returns where the request is refused at once, else on a goroutine of
// the client, where it must not block. Until timeout has passed, what can be tried again is. args must not change.
func (c *Client) Submit(key string, timeout time.Duration, done func(Reply, error), args ...string) {
	c.submit(&request{key: SlotOf(key), args: args, done: done}, timeout)
}

// Do is Submit that waits, at most until ctx ends. The error wraps that of ctx too where it was ctx that ended the request.
func (c *Client) Do(ctx context.Context, key string, args ...string) (Reply, error) {
	return c.await(ctx, &request{key: SlotOf(key), args: args})
}

// DoNode sends a command to the node at addr, once, whatever its key. An error may be a *MovedError.
func (c *Client) DoNode(ctx context.Context, addr string, args ...string) (Reply, error) {
	if len(args) > 0 && args[0] == "FEED.READ" {
		return c.feedDo(ctx, addr, args)
	}
	return c.await(ctx, &request{addr: addr, direct: true, args: args})
}

// maxFollow is how many MOVED answers DoFollow goes after.
const maxFollow = 5

// DoFollow is DoNode that goes where MOVED answers send it: for commands of operators, which one node of the cluster
// carries out and which have no key that tells which.
func (c *Client) DoFollow(ctx context.Context, addr string, args ...string) (Reply, error) {
	for hops := 0; ; hops++ {
		r, err := c.DoNode(ctx, addr, args...)
		var moved *MovedError
		if !errors.As(err, &moved) || hops == maxFollow {
			return r, err
		}
		addr = moved.Addr
	}
}

// await submits a request and waits for what becomes of it.
func (c *Client) await(ctx context.Context, req *request) (Reply, error) {
	if err := ctx.Err(); err != nil {
		return Reply{}, err
	}
	type outcome struct {
		r   Reply
		err error
	}
	got := make(chan outcome, 1)
	req.done = func(r Reply, err error) { got <- outcome{r, err} }
	c.submit(req, c.timeLeft(ctx))
	select {
	case o := <-got:
		return o.r, o.err
	case <-ctx.Done():
		c.giveUp(req, ctx.Err())
		o := <-got // the answer may have come just now
		return o.r, o.err
	}
}

func (c *Client) timeLeft(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return time.Until(deadline)
	}
	return c.cfg.RequestTimeout
}

// now is the time since the client was made.
func (c *Client) now() time.Duration { return time.Since(c.epoch) }

// spawn starts a goroutine that Close waits for; false after Close.
func (c *Client) spawn(run func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.done.Add(1)
	go func() {
		defer c.done.Done()
		run()
	}()
	return true
}

// Close ends all connections and calls done of all requests that are under way; then it waits for every goroutine. It may
// be called again, but not from a done.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	nodes, feeds := c.nodes, c.feeds
	c.nodes, c.feeds, c.idle = map[string]*node{}, map[*FeedConn]struct{}{}, map[feedKey]*FeedConn{}
	c.mu.Unlock()
	c.cancel()
	for _, req := range c.wheel.close() {
		c.giveUp(req, ErrClosed)
	}
	for _, n := range nodes {
		n.close()
	}
	for f := range feeds {
		f.shut()
	}
	c.done.Wait()
	return nil
}

// budget bounds a number of things and their bytes.
type budget struct {
	limit, limitBytes int64
	used, usedBytes   atomic.Int64
}

// take is false where there is no room; then nothing was taken.
func (b *budget) take(bytes int) bool {
	used, usedBytes := b.used.Add(1), b.usedBytes.Add(int64(bytes))
	if used <= b.limit && usedBytes <= b.limitBytes {
		return true
	}
	b.give(bytes)
	return false
}

func (b *budget) give(bytes int) {
	b.used.Add(-1)
	b.usedBytes.Add(-int64(bytes))
}
