package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"
)

// feedGrace is how much longer than it asked to be held up a read of a feed may take.
const feedGrace = 5 * time.Second

// maxIdleFeeds bounds the connections that FeedRead keeps.
const maxIdleFeeds = 64

// FeedConn is a connection to one node that reads feeds there. It is apart from the pipelined connections because a read
// that waits for events holds up all that comes after it. One goroutine may use it at a time; Close may come from any.
type FeedConn struct {
	client  *Client
	conn    net.Conn
	replies *replyReader
	buf     []byte
	broken  bool // an answer may still be on its way: the next one would be taken for another's
	once    sync.Once
}

// feedKey says for which reads an idle connection is kept.
type feedKey struct {
	addr  string
	group string
}

// OpenFeed connects to the node at addr to read feeds there. The caller must Close it; closing the client does so too.
func (c *Client) OpenFeed(ctx context.Context, addr string) (*FeedConn, error) {
	conn, replies, err := c.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	f := &FeedConn{client: c, conn: conn, replies: replies}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close() // nothing was sent on it
		return nil, ErrClosed
	}
	c.feeds[f] = struct{}{}
	return f, nil
}

// Read reads up to count events of a group's feed from an offset on. Where there are none it waits for some, at most for
// block. next is the offset to read after them. An offset that is no longer held is ErrTrimmed. After any error that is not
// an answer of the node the connection is of no more use.
func (f *FeedConn) Read(
	ctx context.Context, group GroupID, offset Offset, count int, block time.Duration,
) (events []Event, next Offset, err error) {
	r, err := f.do(ctx, feedArgs(group, offset, count, block), block)
	if err != nil {
		return nil, 0, err
	}
	events, next, err = decodeEvents(r)
	if err == nil && next < offset {
		err = fmt.Errorf("%w: the feed goes back from offset %d to %d", errReply, offset, next)
	}
	if err != nil {
		return nil, 0, err
	}
	return events, next, nil
}

// do sends a command and waits for its answer, for block and a grace at most. A read of a feed changes nothing, so every
// error is definite.
func (f *FeedConn) do(ctx context.Context, args []string, block time.Duration) (Reply, error) {
	if f.broken {
		return Reply{}, fmt.Errorf("%w: the connection is broken", ErrClusterDown)
	}
	if _, err := checkCommand(args); err != nil {
		return Reply{}, err
	}
	f.broken = true
	stop := context.AfterFunc(ctx, f.shut)
	r, err := f.exchange(args, time.Now().Add(block+feedGrace))
	if !stop() && err == nil {
		return r, r.Err() // ctx ended just now, and the connection with it
	}
	switch {
	case ctx.Err() != nil:
		return Reply{}, ctx.Err()
	case f.client.ctx.Err() != nil:
		return Reply{}, ErrClosed
	case err != nil:
		return Reply{}, fmt.Errorf("%w: read a feed: %w", ErrClusterDown, err)
	}
	f.broken = false
	err = r.Err()
	var moved *MovedError
	if errors.As(err, &moved) {
		f.client.refresh(nil) // the node no longer holds the group
	}
	return r, err
}

func (f *FeedConn) exchange(args []string, deadline time.Time) (Reply, error) {
	if err := f.conn.SetDeadline(deadline); err != nil {
		return Reply{}, err
	}
	f.buf = appendCommand(f.buf[:0], args)
	if _, err := f.conn.Write(f.buf); err != nil {
		return Reply{}, err
	}
	for {
		if r, err := f.replies.read(); err != nil || r.kind != KindPush {
			return r, err
		}
	}
}

// Close ends the connection and a Read in progress. It may be called again.
func (f *FeedConn) Close() error {
	f.shut()
	f.client.mu.Lock()
	defer f.client.mu.Unlock()
	delete(f.client.feeds, f)
	return nil
}

func (f *FeedConn) shut() {
	f.once.Do(func() { _ = f.conn.Close() }) // a Read in progress tells of it
}

// FeedRead is FeedConn.Read over a connection that the client keeps for the next read of the same group at the same node.
func (c *Client) FeedRead(
	ctx context.Context, addr string, group GroupID, offset Offset, count int, block time.Duration,
) (events []Event, next Offset, err error) {
	err = c.withFeed(ctx, feedKey{addr, utoa(group)}, func(f *FeedConn) error {
		events, next, err = f.Read(ctx, group, offset, count, block)
		return err
	})
	return events, next, err
}

// feedDo is DoNode for a read of a feed.
func (c *Client) feedDo(ctx context.Context, addr string, args []string) (r Reply, err error) {
	key := feedKey{addr: addr}
	if len(args) > 1 {
		key.group = args[1]
	}
	err = c.withFeed(ctx, key, func(f *FeedConn) error {
		r, err = f.do(ctx, args, c.timeLeft(ctx))
		return err
	})
	return r, err
}

// withFeed lends a connection that nobody else uses. One that was kept may have been closed by its node meanwhile; then
// read is called again with a new one, which does no harm.
func (c *Client) withFeed(ctx context.Context, key feedKey, read func(*FeedConn) error) error {
	c.mu.Lock()
	f := c.idle[key]
	delete(c.idle, key)
	c.mu.Unlock()
	if f != nil {
		err := read(f)
		again := f.broken && ctx.Err() == nil
		c.returnFeed(key, f)
		if !again {
			return err
		}
	}
	f, err := c.OpenFeed(ctx, key.addr)
	if err != nil {
		return err
	}
	defer c.returnFeed(key, f)
	return read(f)
}

// returnFeed keeps a connection for the next read, where it is good and there is room.
func (c *Client) returnFeed(key feedKey, f *FeedConn) {
	c.mu.Lock()
	kept := !f.broken && !c.closed && c.idle[key] == nil && len(c.idle) < maxIdleFeeds
	if kept {
		c.idle[key] = f
	}
	c.mu.Unlock()
	if !kept {
		_ = f.Close() // never fails
	}
}

// FeedHead asks the node at addr about a group's feed: next is the offset that the next event will have, floor the first
// one that is still held.
func (c *Client) FeedHead(ctx context.Context, addr string, group GroupID) (next, floor Offset, err error) {
	r, err := c.DoNode(ctx, addr, "FEED.HEAD", utoa(group))
	if err != nil {
		return 0, 0, err
	}
	f := fields{Reply: r}
	next, floor = Offset(f.must("next")), Offset(f.num("floor"))
	return next, floor, f.err
}

func feedArgs(group GroupID, offset Offset, count int, block time.Duration) []string {
	args := []string{"FEED.READ", utoa(group), utoa(offset), "COUNT", strconv.Itoa(max(count, 1))}
	if ms := block.Milliseconds(); ms > 0 {
		args = append(args, "BLOCK", strconv.FormatInt(ms, 10))
	}
	return args
}
