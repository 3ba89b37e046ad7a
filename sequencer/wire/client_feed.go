package wire

import (
	"context"
	"strconv"
	"time"
)

// FeedConn is a connection to one node that reads feeds there. It is apart from the pipelined connections because a read
// that waits for events holds up all that comes after it. One goroutine may use it at a time; Close may come from any.
type FeedConn struct {
	client *Client
	addr   string
}

// OpenFeed connects to the node at addr to read feeds there. The caller must Close it; closing the client does so too.
func (c *Client) OpenFeed(ctx context.Context, addr string) (*FeedConn, error) {
	return &FeedConn{client: c, addr: addr}, ctx.Err()
}

// Read reads up to count events of a group's feed from an offset on. Where there are none it waits for some, at most for
// block. next is the offset to read after them. An offset that is no longer held is ErrTrimmed. After any error that is not
// an answer of the node the connection is of no more use.
func (f *FeedConn) Read(
	ctx context.Context, group GroupID, offset Offset, count int, block time.Duration,
) (events []Event, next Offset, err error) {
	r, err := f.client.DoNode(ctx, f.addr, feedArgs(group, offset, count, block)...)
	if err != nil {
		return nil, 0, err
	}
	return decodeEvents(r)
}

// Close ends the connection and a Read in progress. It may be called again.
func (f *FeedConn) Close() error { return nil }

// FeedRead is FeedConn.Read over a connection that the client keeps for it.
func (c *Client) FeedRead(
	ctx context.Context, addr string, group GroupID, offset Offset, count int, block time.Duration,
) (events []Event, next Offset, err error) {
	r, err := c.DoNode(ctx, addr, feedArgs(group, offset, count, block)...)
	if err != nil {
		return nil, 0, err
	}
	return decodeEvents(r)
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
