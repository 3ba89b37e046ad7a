package wire

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

var (
	errQueueFull = fmt.Errorf("%w: too many requests wait for the node", ErrBusy)
	errRetired   = fmt.Errorf("%w: the node is no part of the cluster any more", ErrClusterDown)
	errStalled   = errors.New("the node is silent")
)

const (
	writeBytes   = 256 << 10 // of one write; more goes into the next
	downPauseMin = 20 * time.Millisecond
	downPauseMax = 500 * time.Millisecond
)

// node is one address, with at most one connection. A goroutine runs while there is a connection or something in the
// queue: it connects, and then writes what waits, all in one write. A second one reads the answers, which come in the order
// of the requests.
type node struct {
	client *Client
	addr   string
	wake   chan struct{} // holds one token while there may be something in the queue
	held   budget        // of requests in the queue and in links; one that has timed out keeps its place until its answer

	mu      sync.Mutex // guards all below
	queue   []*request
	running bool
	retired bool // takes nothing any more
	link    *link
	downErr error // of the last try to connect, nil where that was well
	pause   time.Duration

	downUntil atomic.Int64 // after a failure to connect nothing is taken until then, on the client's clock; 0: it was well
}

func newNode(c *Client, addr string) *node {
	n := &node{client: c, addr: addr, wake: make(chan struct{}, 1)}
	n.held.limit, n.held.limitBytes = int64(c.cfg.MaxInFlight), int64(c.cfg.MaxInFlightBytes)
	return n
}

// enqueue takes a request that is marked as queued. It never blocks. An error is definite.
func (n *node) enqueue(req *request) error {
	if !n.held.take(req.bytes) {
		return errQueueFull
	}
	l, waiting, err := n.push(req)
	if err != nil {
		n.held.give(req.bytes)
		return err
	}
	switch {
	case l != nil && l.writeNow():
	case l != nil && req.appends && l.holds(waiting):
	default:
		n.poke()
	}
	return nil
}

// poke has the link look into the queue.
func (n *node) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// push puts a request into the queue, and gives the link, nil where there is none yet, and how many wait there now.
func (n *node) push(req *request) (l *link, waiting int, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.retired {
		return nil, 0, errRetired
	}
	if n.down() {
		return nil, 0, n.downErr
	}
	if !n.running {
		if !n.client.spawn(n.run) {
			return nil, 0, ErrClosed
		}
		n.running = true
	}
	n.queue = append(n.queue, req)
	return n.link, len(n.queue), nil
}

// down reports whether the last try to connect failed just now.
func (n *node) down() bool {
	until := n.downUntil.Load()
	return until != 0 && int64(n.client.now()) < until
}

// silent reports whether the node owes an answer for so long that it is doubted.
func (n *node) silent() bool {
	n.mu.Lock()
	l := n.link
	n.mu.Unlock()
	if l == nil {
		return false
	}
	at := time.Duration(l.progress.Load())
	return at != 0 && n.client.now()-at > n.client.cfg.StallTimeout/doubtShare
}

// run serves the queue until it is empty without a connection.
func (n *node) run() {
	for {
		l, err := n.connect()
		if err == nil {
			err = l.serve()
			n.lost(l, err)
		} else {
			n.failAll(err)
		}
		n.mu.Lock()
		if n.retired || len(n.queue) == 0 {
			n.running = false
			rest := n.queue
			n.queue = nil
			n.mu.Unlock()
			n.giveBack(rest, errRetired, false)
			return
		}
		n.mu.Unlock()
	}
}

// connect opens a link.
func (n *node) connect() (*link, error) {
	c := n.client
	conn, replies, err := c.dial(c.ctx, n.addr)
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		n.pause = min(max(2*n.pause, downPauseMin), downPauseMax)
		n.downUntil.Store(int64(c.now() + n.pause))
		if n.downErr == nil && !n.retired {
			c.log.Warn("no connection to a sequencer", "addr", n.addr, "err", err)
		}
		n.downErr = err
		return nil, err
	}
	if n.retired {
		_ = conn.Close() // nothing was sent on it
		return nil, errRetired
	}
	if n.downErr != nil {
		c.log.Info("connected to a sequencer again", "addr", n.addr)
	}
	n.downErr, n.pause = nil, 0
	n.downUntil.Store(0)
	n.link = newLink(n, conn, replies)
	return n.link, nil
}

// lost ends a link: what was sent on it and not answered may have been executed.
func (n *node) lost(l *link, err error) {
	n.mu.Lock()
	n.link = nil
	retired := n.retired
	n.mu.Unlock()
	if !retired {
		n.client.log.Info("lost a connection to a sequencer", "addr", n.addr, "err", err)
	}
	n.giveBack(l.takeAll(), fmt.Errorf("%w: lost the connection to %s: %w", ErrUnknown, n.addr, err), true)
}

// failAll gives back the whole queue, since there is no connection for it.
func (n *node) failAll(err error) {
	n.mu.Lock()
	all := n.queue
	n.queue = nil
	n.mu.Unlock()
	n.giveBack(all, err, false)
}

func (n *node) giveBack(all []*request, err error, maybe bool) {
	for _, req := range all {
		n.held.give(req.bytes)
		n.client.failed(req, err, maybe)
	}
}

// close retires the node and ends its connection.
func (n *node) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.retired = true
	if n.link != nil {
		n.link.shut(ErrClosed)
	}
}

// retire is close of a node that has nothing to do; it is false for one that has.
func (n *node) retire() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held.used.Load() > 0 {
		return false // enqueue takes its place before it asks whether the node is retired
	}
	n.retired = true
	if n.link != nil {
		n.link.shut(errRetired)
	}
	return true
}

// takeSome moves what waits from the queue to batch, as much as makes up one write.
func (n *node) takeSome(batch []*request) []*request {
	n.mu.Lock()
	defer n.mu.Unlock()
	bytes, count := 0, 0
	for count < len(n.queue) && bytes < writeBytes {
		bytes += n.queue[count].bytes + 32
		count++
	}
	batch = append(batch, n.queue[:count]...)
	if count == len(n.queue) {
		clear(n.queue)
		n.queue = n.queue[:0]
		return batch
	}
	clear(n.queue[:count])
	n.queue = n.queue[count:]
	select {
	case n.wake <- struct{}{}: // there is more
	default:
	}
	return batch
}

// doubtShare is the part of StallTimeout in which a node must answer something, or the others are asked who leads now. It
// is a little more than an election takes: much sooner they would name the same leader.
const doubtShare = 24

// breakStalled gives up the connections on which answers are due and none has come for too long. Well before that it asks
// the other nodes who leads now, for the requests to come.
func (c *Client) breakStalled(now time.Duration) {
	for _, n := range c.known() {
		n.mu.Lock()
		l := n.link
		n.mu.Unlock()
		if l == nil {
			continue
		}
		at := time.Duration(l.progress.Load())
		switch {
		case at == 0:
		case now-at > c.cfg.StallTimeout:
			l.shut(errStalled)
		case now-at > c.cfg.StallTimeout/doubtShare && now-l.doubted > c.cfg.StallTimeout/doubtShare:
			l.doubted = now
			c.refresh(nil)
		}
	}
}
