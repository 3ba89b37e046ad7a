package scenario

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/quorate/quorate/bench/check"
	"github.com/quorate/quorate/bench/load"
	"github.com/quorate/quorate/bench/socket"
	"github.com/quorate/quorate/sequencer/wire"
)

// crowd is people with one connection each, all of one goroutine. Whoever loses his connection comes back and resumes, as clients do.
type crowd struct {
	r      *run
	pool   *socket.Pool
	people []*person
	away   []*person // that wait to come back
	events crowdEvents
	acks   bool // people acknowledge what they are shown
	lost   int  // connections
	ready  int  // people who are caught up
	fatal  error
}

// crowdEvents is what a scenario is told of its crowd.
type crowdEvents interface {
	// shown: a message came to a person. n is its number in its room, as its sender gave it.
	shown(p *person, at *place, m *check.Shown, n int, now time.Time)
	// frame: another frame came. The payload is good until it returns.
	frame(p *person, kind string, payload []byte, now time.Time)
	// gone: a person's connection ended, and with it all that he waits for on it.
	gone(p *person, err error)
}

// person is one user on one device.
type person struct {
	number  int
	user    string
	conn    *socket.Conn
	places  []*place
	last    *place       // where the last message came; nil before the first
	ready   bool         // he has all that he had missed
	seen    wire.Lamport // the highest stamp that he was shown
	retryAt time.Time
	resumes bool // he tells what he has when he connects for the first time, too
	tries   int
	begun   time.Time // of the connection
	since   time.Time // he is caught up
	back    bool      // he has come back after all were dropped
	done    bool      // he has what he came for, and does not come back
}

// place is a person in a room.
type place struct {
	room   *room
	reader *check.Reader
	acked  time.Time // his last acknowledgement
	upTo   wire.Seq  // that he was shown
}

const (
	ackEvery     = 250 * time.Millisecond
	longestSleep = 50 * time.Millisecond // of the loop, so that it sees that it is to end
	backFirst    = 100 * time.Millisecond
	backMost     = 5 * time.Second
	rampUsual    = 2000 // connections begun in a second
	gatherTime   = 5 * time.Minute
)

func (r *run) newCrowd(events crowdEvents) (*crowd, error) {
	c := &crowd{r: r, events: events}
	var err error
	c.pool, err = socket.NewPool(socket.Config{Token: r.access.Token, Device: "bench"}, c)
	return c, err
}

func (c *crowd) close() { c.pool.Close() }

// enroll makes a person who is in these rooms, and is to be shown everything in them from the next message on.
func (c *crowd) enroll(user string, rooms ...*room) *person {
	p := &person{number: len(c.people), user: user}
	for _, room := range rooms {
		p.places = append(p.places, &place{room: room, reader: room.chat.Reader(user, wire.Seq(room.next)+1)})
	}
	c.people = append(c.people, p)
	return p
}

// gather connects all people and waits until each has caught up.
func (c *crowd) gather(ctx context.Context) error {
	if err := socket.RaiseFiles(len(c.people) + 256); err != nil {
		return err
	}
	ramp := c.r.Ramp
	or(&ramp, rampUsual)
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, gatherTime)
	defer cancel()
	schedule := load.NewSchedule(ramp, began, began.Add(gatherTime))
	err := c.until(ctx, schedule, func(n int64, _ time.Time) {
		if n < int64(len(c.people)) {
			c.connect(c.people[n])
		}
	}, func() bool { return c.ready == len(c.people) })
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("%d of %d people are connected and have caught up: %w", c.ready, len(c.people), ctx.Err())
	}
	return err
}

// until drives the crowd until done, the end of ctx, or something that ends the run. What the schedule plans is done on time; nil plans
// nothing. What was due by the end is done then, late as it is.
func (c *crowd) until(ctx context.Context, schedule *load.Schedule, do func(n int64, planned time.Time), done func() bool) error {
	for {
		now := time.Now()
		wake := now.Add(longestSleep)
		if schedule != nil {
			for n, planned, due := schedule.Due(now); due; n, planned, due = schedule.Due(now) {
				do(n, planned)
			}
			if at, over := schedule.Next(); !over && at.Before(wake) {
				wake = at
			}
		}
		if c.fatal != nil || done() || ctx.Err() != nil {
			return c.fatal
		}
		if at := c.comeBack(now); at.Before(wake) {
			wake = at
		}
		if err := c.pool.Wait(wake); err != nil {
			return err
		}
	}
}

// connect begins a person's connection. He tells what he has where he was there before.
func (c *crowd) connect(p *person) {
	cursors := ""
	if p.tries > 0 || p.resumes {
		var b strings.Builder
		for i, at := range p.places {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "%q:%d", at.room.id, at.reader.Next())
		}
		cursors = "{" + b.String() + "}"
	}
	p.tries++
	p.begun = time.Now()
	var err error
	if p.conn, err = c.pool.Connect(c.r.target(p.number), p.user, p.number, cursors); err != nil {
		c.fatal = err
	}
}

// comeBack connects those whose time it is, and tells when the next one's is.
func (c *crowd) comeBack(now time.Time) (next time.Time) {
	next = now.Add(time.Hour)
	kept := c.away[:0]
	for _, p := range c.away {
		if !p.retryAt.After(now) {
			c.connect(p) // which adds nobody to those who are away
			continue
		}
		if p.retryAt.Before(next) {
			next = p.retryAt
		}
		kept = append(kept, p)
	}
	c.away = kept
	return next
}

// drop has a person lose his connection and come back after a while.
func (c *crowd) drop(p *person, after time.Duration) {
	p.conn.Drop()
	c.leave(p, after)
}

func (c *crowd) leave(p *person, after time.Duration) {
	if p.ready {
		p.ready = false
		c.ready--
	}
	p.retryAt = time.Now().Add(after)
	c.away = append(c.away, p)
}

// Welcomed implements socket.Handler.
func (c *crowd) Welcomed(conn *socket.Conn, now time.Time) {
	c.events.frame(c.people[conn.Number], "welcome", nil, now)
}

// Frame implements socket.Handler.
func (c *crowd) Frame(conn *socket.Conn, payload []byte, now time.Time) {
	p := c.people[conn.Number]
	switch kind := socket.Kind(payload); kind {
	case "message":
		c.message(p, payload, now)
	case "receipt":
		c.receipt(p, payload)
		c.events.frame(p, kind, payload, now)
	case "caughtUp":
		if !p.ready {
			p.ready, p.since = true, now
			c.ready++
		}
		c.events.frame(p, kind, payload, now)
	default:
		c.events.frame(p, kind, payload, now)
	}
}

// Ended implements socket.Handler.
func (c *crowd) Ended(conn *socket.Conn, err error) {
	p := c.people[conn.Number]
	c.lost++
	if c.events.gone(p, err); p.done {
		return
	}
	wait := min(backFirst<<min(p.tries, 10), backMost)
	var closed *socket.CloseError
	if errors.As(err, &closed) {
		if closed.Stops() {
			c.fatal = err
		}
		wait = max(wait, closed.RetryAfter())
	}
	if c.lost > maxLost+10*len(c.people) {
		c.fatal = fmt.Errorf("%d connections were lost, the last: %w", c.lost, err)
	}
	c.leave(p, wait)
}

// maxLost is how often a connection may be lost before it is no use to go on.
const maxLost = 1000

// in finds a person's place in a room, nil where he has none.
func (p *person) in(chatID string) *place {
	for _, at := range p.places {
		if at.room.id == chatID {
			return at
		}
	}
	return nil
}

// expects gives the message that comes next in the room of the last one, where these are the bytes in which somebody else got it.
func (p *person) expects(payload []byte) (*place, *parsedMessage) {
	if p.last == nil {
		return nil, nil
	}
	m := p.last.room.parsed.known(payload, p.last.upTo+1)
	if m == nil {
		return nil, nil
	}
	return p.last, m
}

// message takes one delivery.
func (c *crowd) message(p *person, payload []byte, now time.Time) {
	at, m := p.expects(payload)
	if at == nil {
		if at = p.in(socket.Text(payload, `"chatId":"`)); at == nil {
			return // a chat of no concern
		}
		m = at.room.parsed.message(payload, at.upTo+1)
		p.last = at
	}
	p.seen = max(p.seen, m.shown.Stamp)
	if !at.reader.Shown(&m.shown) {
		return
	}
	at.upTo = m.shown.Seq
	if m.number >= 0 {
		c.events.shown(p, at, &m.shown, m.number, now)
	}
	if c.acks && now.Sub(at.acked) > ackEvery {
		at.acked = now
		c.mark(p, at, "ack", at.upTo)
	}
}

// mark tells the server how far a person is: with "ack" what he was shown, with "read" what he has read.
func (c *crowd) mark(p *person, at *place, kind string, seq wire.Seq) {
	c.say(p, fmt.Appendf(nil, `{"type":%q,"chatId":%q,"seq":%d}`, kind, at.room.id, seq))
}

// say sends a frame, where the person has a connection. One that fails ends, and he comes back.
func (c *crowd) say(p *person, payload []byte) bool {
	if p.conn == nil || !p.conn.Open() {
		return false
	}
	if err := p.conn.Send(payload); err != nil {
		p.conn.Drop()
		c.Ended(p.conn, err)
		return false
	}
	return true
}

func (c *crowd) receipt(p *person, payload []byte) {
	if at := p.in(socket.Text(payload, `"chatId":"`)); at != nil {
		at.reader.Receipt(socket.Text(payload, `"userId":"`), check.Marks{
			Delivered: wire.Seq(socket.Number(payload, `"deliveredUpTo":`)), Read: wire.Seq(socket.Number(payload, `"readUpTo":`)),
		})
	}
}

// limits notes where the one goroutine of the crowd had too little rest to be believed.
func (c *crowd) limits(slept, took time.Duration) {
	if took > 0 && slept < took/10 {
		c.r.limited("the goroutine of the clients was busy for %.0f %% of the time", 100-100*slept.Seconds()/took.Seconds())
	}
}
