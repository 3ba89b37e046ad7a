package wire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// link is one connection of a node.
type link struct {
	node    *node
	conn    net.Conn
	replies *replyReader
	once    sync.Once
	broken  chan struct{} // closed by shut
	err     error         // why, set before broken is closed

	writing sync.Mutex      // of what follows, and of writing
	raw     syscall.RawConn // nil where a write cannot be tried without waiting
	batch   []*request
	out     []byte
	unsent  []byte // the end of out that the socket had no room for
	ended   bool   // nothing is taken from the queue any more

	mu      sync.Mutex // guards unanswered
	waiting fifo       // requests sent and not yet answered, in their order

	progress atomic.Int64 // when an answer came last, or began to be due, on the client's clock; 0: none is due
	bursts   bursts
	patience *time.Timer   // pokes the node when a burst has been waited for long enough
	doubted  time.Duration // when breakStalled last asked whether the node still leads; for that alone
}

// shut ends the link; the first reason stays.
func (l *link) shut(err error) {
	l.once.Do(func() {
		l.err = err
		close(l.broken)
		_ = l.conn.Close() // both goroutines learn of it from their calls
	})
}

// serve writes what the node's queue holds until the link ends, and returns when its reader has ended too.
func (l *link) serve() error {
	reader := make(chan struct{})
	go func() { // serve waits for it
		defer close(reader)
		l.shut(l.read())
	}()
	l.shut(l.write())
	<-reader
	l.writing.Lock()
	defer l.writing.Unlock()
	l.ended = true
	return l.err
}

// newLink makes a link of a connection that has said hello.
func newLink(n *node, conn net.Conn, replies *replyReader) *link {
	l := &link{node: n, conn: conn, replies: replies, broken: make(chan struct{}), patience: time.AfterFunc(time.Hour, n.poke)}
	l.patience.Stop()
	if tcp, ok := conn.(*net.TCPConn); ok { // what TLS writes is not what the socket gets
		if raw, err := tcp.SyscallConn(); err == nil {
			l.raw = raw
		}
	}
	return l
}

func (l *link) write() error {
	for {
		select {
		case <-l.node.wake:
		case <-l.broken:
			return l.err
		}
		if err := l.writeSome(); err != nil {
			return err
		}
	}
}

// writeSome writes all that waits, however long it takes.
func (l *link) writeSome() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	for {
		if len(l.unsent) == 0 {
			l.takeSome()
		}
		if len(l.unsent) == 0 {
			return l.conn.SetWriteDeadline(time.Time{}) // writeNow would find it passed
		}
		if err := l.conn.SetWriteDeadline(time.Now().Add(l.node.client.cfg.WriteTimeout)); err != nil {
			return err
		}
		if _, err := l.conn.Write(l.unsent); err != nil {
			return err
		}
		l.unsent = nil
	}
}

// writeNow writes what waits where the link has nothing else to do: so a lone request need not wait for another goroutine. It does not wait itself,
// and leaves the rest to writeSome. While answers are due it is false, as what comes meanwhile had better leave together.
func (l *link) writeNow() bool {
	if l.raw == nil || l.progress.Load() != 0 || !l.bursts.lone() || !l.writing.TryLock() {
		return false
	}
	defer l.writing.Unlock()
	if len(l.unsent) > 0 || l.ended {
		return false
	}
	l.takeSome()
	if len(l.unsent) == 0 {
		return true
	}
	var n int
	var err error
	broken := l.raw.Write(func(fd uintptr) bool {
		n, err = syscall.Write(int(fd), l.unsent)
		return true
	})
	if err = cmp.Or(broken, err); err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR) {
		l.shut(err)
		return true
	}
	l.unsent = l.unsent[max(n, 0):]
	return len(l.unsent) == 0
}

// holds tells whether a message that waits, with so many in all, is to wait for more like it. It is not forgotten meanwhile.
func (l *link) holds(waiting int) bool {
	if l.progress.Load() != 0 || !l.bursts.awaits(waiting) {
		return false
	}
	if waiting == 1 {
		l.patience.Reset(burstWait)
	}
	return true
}

// takeSome makes unsent of what waits in the queue. The caller holds writing.
func (l *link) takeSome() {
	l.batch = l.node.takeSome(l.batch[:0])
	l.out = l.encode(l.out[:0], l.batch)
	clear(l.batch)
	l.unsent = l.out
}

// encode appends the commands of the requests that are still wanted, and notes that their answers are due. From here on
// they may be executed, for what a failing write has sent is not known.
func (l *link) encode(buf []byte, batch []*request) []byte {
	due := batch[:0]
	for _, req := range batch {
		args := req.take()
		if args == nil {
			l.node.held.give(req.bytes)
			continue
		}
		buf = appendCommand(buf, args)
		due = append(due, req)
	}
	if len(due) == 0 {
		return buf
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting.len() == 0 {
		l.progress.Store(int64(l.node.client.now()))
		l.bursts.begin()
	}
	for _, req := range due {
		if req.appends {
			l.bursts.add(1)
		}
		l.waiting.push(req)
	}
	return buf
}

// read hands out answers until the link ends.
func (l *link) read() error {
	n := l.node
	for {
		r, err := l.replies.read()
		if err != nil {
			return err
		}
		if r.kind == KindPush {
			continue // nobody here asked for any
		}
		req := l.next()
		if req == nil {
			return fmt.Errorf("%w: nothing was asked", errProtocol)
		}
		n.held.give(req.bytes)
		n.client.answered(req, r)
	}
}

// next gives the request whose answer has come, nil where none is due.
func (l *link) next() *request {
	l.mu.Lock()
	defer l.mu.Unlock()
	req := l.waiting.pop()
	if l.waiting.len() == 0 {
		l.progress.Store(0)
	} else if l.replies.br.Buffered() == 0 {
		l.progress.Store(int64(l.node.client.now())) // the clock is not asked for each of many
	}
	return req
}

// takeAll gives the requests whose answers will never come.
func (l *link) takeAll() []*request {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*request
	for req := l.waiting.pop(); req != nil; req = l.waiting.pop() {
		all = append(all, req)
	}
	return all
}

// fifo is a queue of requests in a ring that grows.
type fifo struct {
	ring        []*request
	head, count int
}

func (q *fifo) len() int { return q.count }

func (q *fifo) push(req *request) {
	if q.count == len(q.ring) {
		ring := make([]*request, max(64, 2*len(q.ring)))
		n := copy(ring, q.ring[q.head:])
		copy(ring[n:], q.ring[:q.head])
		q.ring, q.head = ring, 0
	}
	q.ring[(q.head+q.count)%len(q.ring)] = req
	q.count++
}

// pop gives the oldest, nil where there is none.
func (q *fifo) pop() *request {
	if q.count == 0 {
		return nil
	}
	req := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) % len(q.ring)
	q.count--
	return req
}

// dial connects to a node and says hello. An error is definite: it wraps ErrNoAuth where the node knows who this is and
// wants it not, ErrClusterDown otherwise.
func (c *Client) dial(ctx context.Context, addr string) (net.Conn, *replyReader, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	conn, err := c.cfg.Dial(ctx, addr)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: connect to %s: %w", ErrClusterDown, addr, err)
	}
	replies := newReplyReader(conn)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends the calls in hello
	if err = c.hello(conn, replies); err == nil && stop() {
		return conn, replies, nil
	}
	stop()
	_ = conn.Close()
	if errors.Is(err, ErrNoAuth) {
		return nil, nil, fmt.Errorf("hello to %s: %w", addr, err)
	}
	if err == nil {
		err = ctx.Err()
	}
	return nil, nil, fmt.Errorf("%w: hello to %s: %w", ErrClusterDown, addr, err)
}

// hello is the first thing on every connection: RESP3, and who this is.
func (c *Client) hello(conn net.Conn, replies *replyReader) error {
	args := []string{"HELLO", "3"}
	if c.cfg.Password != "" {
		args = append(args, "AUTH", c.cfg.Username, c.cfg.Password)
	}
	if c.cfg.Name != "" {
		args = append(args, "SETNAME", c.cfg.Name)
	}
	if _, err := conn.Write(appendCommand(nil, args)); err != nil {
		return err
	}
	r, err := replies.read()
	if err != nil {
		return err
	}
	return r.Err()
}
