package scenario

import (
	"context"
	"time"

	"github.com/quorate/quorate/bench/check"
	"github.com/quorate/quorate/bench/load"
	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/sequencer/wire"
)

// catchup connects members who are so many messages behind, and measures until each has all of them. What they miss is hot, or in the
// archive.
type catchup struct {
	r     *run
	crowd *crowd
	rooms []*room
	times *measure.Recorder
	open  int
	shows int // messages
	plans []time.Time
}

func newCatchup(r *run) (scenario, error) {
	c := &catchup{r: r, times: r.recorder("connect to caught up")}
	var err error
	c.crowd, err = r.newCrowd(c)
	c.crowd.acks = true
	return c, err
}

func (c *catchup) close() { c.crowd.close() }

func (c *catchup) prepare(ctx context.Context) (err error) {
	if c.rooms, err = c.r.makeRooms(ctx, c.r.apart(c.r.share(c.r.Chats), c.r.Members)); err != nil {
		return err
	}
	if err := c.r.fill(ctx, c.rooms, c.r.Behind); err != nil || !c.r.Archived {
		return err
	}
	return c.r.awaitArchive(ctx, c.rooms)
}

func (c *catchup) drive(ctx context.Context) error {
	w := c.r.window
	schedule := load.NewSchedule(c.r.rate(), w.Began, w.To)
	slept, began := c.crowd.pool.Slept, time.Now()
	over := func() bool { return !time.Now().Before(w.To) }
	err := c.crowd.until(ctx, schedule, func(n int64, planned time.Time) {
		if c.open >= c.r.InFlight {
			c.times.Dropped(planned)
			return
		}
		room := c.rooms[n%int64(len(c.rooms))]
		c.come(room, room.members[int(n)/len(c.rooms)%len(room.members)], planned)
	}, over)
	c.crowd.limits(c.crowd.pool.Slept-slept, time.Since(began))
	if err != nil {
		return err
	}
	c.r.enter("settle")
	ends := time.Now().Add(2 * settleTime)
	err = c.crowd.until(context.Background(), nil, nil, func() bool { return c.open == 0 || time.Now().After(ends) })
	c.r.result.Tell("messages caught up with", float64(c.shows), "")
	return err
}

// come has a member connect who has nothing yet. Each time it is another reader, who must be shown all.
func (c *catchup) come(room *room, user string, planned time.Time) {
	p := &person{number: len(c.crowd.people), user: user, tries: 1} // one who tells where he is
	p.places = []*place{{room: room, reader: room.chat.Reader(user, 1)}}
	c.crowd.people = append(c.crowd.people, p)
	c.plans = append(c.plans, planned)
	c.open++
	c.crowd.connect(p)
	c.times.Sent(planned, p.begun, 1)
}

func (c *catchup) shown(p *person, at *place, m *check.Shown, _ int, now time.Time) {
	c.shows++
	if m.Seq != wire.Seq(c.r.Behind) {
		return
	}
	c.times.Done(c.plans[p.number], p.begun, now)
	c.end(p)
}

// end has a person leave for good.
func (c *catchup) end(p *person) {
	c.open--
	p.places[0].reader.Leave()
	p.conn.Drop()
	p.done = true
}

func (c *catchup) frame(*person, string, []byte, time.Time) {}

// gone counts one who lost his connection before he had all. He does not come back: the time would not be that of a catch-up.
func (c *catchup) gone(p *person, err error) {
	c.times.Failed(c.plans[p.number], time.Now(), err)
	c.end(p)
}

func (c *catchup) verify(ctx context.Context) error { return c.r.readBack(ctx, c.rooms) }
