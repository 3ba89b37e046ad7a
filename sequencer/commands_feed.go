package sequencer

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// group gives the group that a word names by its number.
func (c *conn) group(a args, i int) (*host, error) {
	id, err := c.groupID(a, i)
	if err != nil {
		return nil, err
	}
	if id == wire.MetaGroup {
		return nil, fmt.Errorf("%w: the meta group has no feed", wire.ErrBadRequest)
	}
	return c.replica(a, i)
}

// groupID reads the number of a group, or "meta".
func (c *conn) groupID(a args, i int) (wire.GroupID, error) {
	groups := len(c.node.replicas().groups)
	switch {
	case groups == 0:
		return 0, wire.ErrClusterDown
	case a.is(i, "meta"), a.is(i, metaNumber):
		return wire.MetaGroup, nil
	}
	n, err := a.number(i, "group", 0, uint64(groups-1))
	return wire.GroupID(n), err
}

// metaNumber is the meta group's number as text.
var metaNumber = strconv.Itoa(int(wire.MetaGroup))

// replica gives this node's replica of a group, the meta group included. Where it holds none, the error says where to turn.
func (c *conn) replica(a args, i int) (*host, error) {
	id, err := c.groupID(a, i)
	if err != nil {
		return nil, err
	}
	set := c.node.replicas()
	if h := set.host(id); h != nil {
		return h, nil
	}
	slot := wire.Slot(0)
	if id != wire.MetaGroup {
		slot, _ = wire.SlotRange(id, len(set.groups))
	}
	return nil, c.node.elsewhere(id, slot)
}

// feedHead is FEED.HEAD group. Any replica answers, for itself.
func feedHead(c *conn, k *call, a args) error {
	h, err := c.group(a, 1)
	if err != nil {
		return err
	}
	next, floor := h.store().FeedHead()
	return k.answer(func(r *reply) {
		r.maps(2)
		r.fieldInt("next", int64(next))
		r.fieldInt("floor", int64(floor))
	})
}

// feedRequest is FEED.READ group offset [COUNT n] [BLOCK ms].
type feedRequest struct {
	host   *host
	offset wire.Offset
	count  int
	block  time.Duration
}

func feedRead(c *conn, k *call, a args) error {
	limits := c.srv.limits
	q := feedRequest{count: min(feedCount, limits.FeedEvents)}
	var err error
	if q.host, err = c.group(a, 1); err != nil {
		return err
	}
	offset, err := a.number(2, "offset", 1, uint64(wire.MaxSeq))
	if err != nil {
		return err
	}
	q.offset = wire.Offset(offset)
	for o := (options{args: a, at: 3}); o.more(); {
		var n uint64
		switch {
		case o.take(0, "COUNT"):
			n, err = o.number("COUNT", 1, uint64(limits.FeedEvents))
			q.count = int(n)
		case o.take(1, "BLOCK"):
			n, err = o.number("BLOCK", 0, uint64(limits.BlockWait.Milliseconds()))
			q.block = time.Duration(n) * time.Millisecond
		default:
			return errSyntax
		}
		if err != nil {
			return err
		}
	}
	c.feeds = true
	q.host.stats.readers.read(c.id, q.offset)
	k.spawn(func(r *reply) error { return q.read(c, r) })
	return nil
}

// leaveFeeds forgets how far the connection has read, at its end.
func (c *conn) leaveFeeds() {
	if !c.feeds {
		return
	}
	for _, h := range c.node.replicas().held() {
		h.stats.readers.leave(c.id)
	}
}

// feedCount is how many events one answer has where COUNT does not say.
const feedCount = 100

func feedCost(c *conn, _ args) int { return c.srv.limits.FeedBytes + messageBytes + wire.MaxTextBytes }

// read answers what there is, or where there is nothing waits for it as long as was asked for.
func (q *feedRequest) read(c *conn, r *reply) error {
	store, size := q.host.store(), c.srv.limits.FeedBytes
	events, next, err := store.Feed(q.offset, q.count, size)
	if err == nil && len(events) == 0 && q.block > 0 {
		if err := q.wait(c, store); err != nil {
			return err
		}
		events, next, err = store.Feed(q.offset, q.count, size)
	}
	if err != nil {
		return err
	}
	r.maps(2)
	r.fieldInt("next", int64(next))
	r.field("events")
	r.array(len(events))
	for i := range events {
		eventMap(r, &events[i])
	}
	return nil
}

// wait returns when there is an event, when the time is over or when the client has gone.
func (q *feedRequest) wait(c *conn, store *raftfsm.Store) error {
	select {
	case c.srv.waiting <- struct{}{}:
		defer c.srv.waiting.give()
	default:
		return wire.ErrBusy
	}
	ctx, cancel := context.WithTimeout(c.input, q.block)
	defer cancel()
	if err := store.FeedWait(ctx, q.offset); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
