package scenario

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/bench/check"
	"github.com/quorate/quorate/bench/load"
	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/sequencer/wire"
)

// reconnect drops the connections of everyone at once, while messages are sent, and measures until each has caught up. The server may ask
// them to come back later; that time counts.
type reconnect struct {
	r       *run
	crowd   *crowd
	rooms   []*room
	back    *measure.Recorder
	acks    *measure.Recorder
	dropped time.Time
	last    time.Time // somebody caught up
	open    atomic.Int64
	pending int // people who are not back
	refused int // times that somebody was told to wait
}

func newReconnect(r *run) (scenario, error) {
	c := &reconnect{r: r, back: r.recorder("drop to caught up"), acks: r.recorder("send to ack")}
	var err error
	c.crowd, err = r.newCrowd(c)
	c.crowd.acks = true
	return c, err
}

func (c *reconnect) close() { c.crowd.close() }

func (c *reconnect) prepare(ctx context.Context) (err error) {
	chats := max(1, c.r.share(c.r.Connections)/c.r.Members)
	if c.rooms, err = c.r.makeRooms(ctx, c.r.apart(chats, c.r.Members)); err != nil {
		return err
	}
	for _, room := range c.rooms {
		for _, user := range room.members {
			c.crowd.enroll(user, room)
		}
	}
	return c.crowd.gather(ctx)
}

func (c *reconnect) drive(ctx context.Context) error {
	w := c.r.window
	schedule := load.NewSchedule(c.r.rate(), w.Began, w.To)
	slept, began := c.crowd.pool.Slept, time.Now()
	err := c.crowd.until(ctx, schedule, func(n int64, planned time.Time) {
		c.send(c.rooms[n%int64(len(c.rooms))], planned)
	}, func() bool {
		now := time.Now()
		if c.dropped.IsZero() && !now.Before(w.From) {
			c.dropAll(now)
		}
		return !now.Before(w.To)
	})
	c.crowd.limits(c.crowd.pool.Slept-slept, time.Since(began))
	if err != nil {
		return err
	}
	c.r.enter("settle")
	ends := time.Now().Add(2 * settleTime)
	err = c.crowd.until(context.Background(), nil, nil, func() bool {
		return c.open.Load() == 0 && everybodyHas(c.crowd) && c.crowd.ready == len(c.crowd.people) || time.Now().After(ends)
	})
	if c.pending == 0 && !c.last.IsZero() {
		c.r.result.Tell("all caught up after", c.last.Sub(c.dropped).Seconds(), "s")
	}
	c.r.result.Tell("people", float64(len(c.crowd.people)), "")
	c.r.result.Tell("connections told to wait, or lost", float64(c.refused), "")
	return err
}

// send offers a message from outside: its sender has no connection just now.
func (c *reconnect) send(room *room, planned time.Time) {
	m := c.r.write(room, room.members[room.next%len(room.members)], 0, planned)
	c.acks.Sent(planned, m.begun, 1)
	c.open.Add(1)
	c.r.courier().carry(m, func(seq wire.Seq, stamp wire.Lamport, err error) {
		defer c.open.Add(-1)
		if err != nil {
			c.acks.Failed(planned, time.Now(), err)
			return
		}
		m.known.Acked(seq, stamp)
		c.acks.Done(planned, m.begun, time.Now())
	})
}

func (c *reconnect) dropAll(now time.Time) {
	c.dropped = now
	c.r.mark(fmt.Sprintf("all %d connections dropped", len(c.crowd.people)))
	for _, p := range c.crowd.people {
		if p.conn.Open() {
			c.pending++
			c.back.Sent(now, now, 1)
			c.crowd.drop(p, 0)
		}
	}
}

func (c *reconnect) shown(*person, *place, *check.Shown, int, time.Time) {}

func (c *reconnect) frame(p *person, kind string, _ []byte, now time.Time) {
	if kind == "caughtUp" && !c.dropped.IsZero() && !p.back {
		p.back = true
		c.pending--
		c.last = now
		c.back.Done(c.dropped, p.begun, now)
	}
}

func (c *reconnect) gone(*person, error) { c.refused++ }

func (c *reconnect) verify(ctx context.Context) error { return c.r.readBack(ctx, c.rooms) }
