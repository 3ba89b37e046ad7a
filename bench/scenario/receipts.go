package scenario

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/quorate/quorate/bench/check"
	"github.com/quorate/quorate/bench/load"
	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/bench/socket"
	"github.com/quorate/quorate/sequencer/wire"
)

// receipts has members read each message as soon as they are shown it, and measures until its sender is told.
type receipts struct {
	r     *run
	crowd *crowd
	post  *post
	rooms []*room
	seats [][]*person
	told  *measure.Recorder
	marks []map[*person][]reading // of each room: what was read, and the sender was not told of; ascending
	open  int
}

// reading is one message that a member has read.
type reading struct {
	seq wire.Seq
	at  time.Time
}

func newReceipts(r *run) (scenario, error) {
	c := &receipts{r: r, told: r.recorder("read to receipt")}
	var err error
	c.crowd, err = r.newCrowd(c)
	c.post = newPost(c.crowd, r.recorder("send to ack"))
	return c, err
}

func (c *receipts) close() { c.crowd.close() }

func (c *receipts) prepare(ctx context.Context) (err error) {
	if c.rooms, err = c.r.makeRooms(ctx, c.r.apart(c.r.share(c.r.Chats), c.r.Members)); err != nil {
		return err
	}
	for _, room := range c.rooms {
		var seats []*person
		for _, user := range room.members {
			seats = append(seats, c.crowd.enroll(user, room))
		}
		c.seats, c.marks = append(c.seats, seats), append(c.marks, map[*person][]reading{})
	}
	return c.crowd.gather(ctx)
}

// drive has the first member of each room send, and the others read.
func (c *receipts) drive(ctx context.Context) error {
	w := c.r.window
	schedule := load.NewSchedule(c.r.rate(), w.Began, w.To)
	slept, began := c.crowd.pool.Slept, time.Now()
	err := c.crowd.until(ctx, schedule, func(n int64, planned time.Time) {
		i := n % int64(len(c.rooms))
		c.post.send(c.seats[i][0], c.rooms[i], planned)
	}, func() bool { return !time.Now().Before(w.To) })
	c.crowd.limits(c.crowd.pool.Slept-slept, time.Since(began))
	if err != nil {
		return err
	}
	return c.post.settle(func() bool { return c.open == 0 && everybodyHas(c.crowd) })
}

func (c *receipts) shown(p *person, at *place, m *check.Shown, _ int, now time.Time) {
	i := at.room.number
	if p == c.seats[i][0] {
		return
	}
	c.crowd.mark(p, at, "read", m.Seq)
	c.marks[i][p] = append(c.marks[i][p], reading{m.Seq, now})
	c.told.Sent(now, now, 1)
	c.open++
}

func (c *receipts) frame(p *person, kind string, payload []byte, now time.Time) {
	if c.post.answer(p, kind, payload, now); kind != "receipt" {
		return
	}
	at := p.in(socket.Text(payload, `"chatId":"`))
	if at == nil || p != c.seats[at.room.number][0] {
		return
	}
	user, upTo := socket.Text(payload, `"userId":"`), wire.Seq(socket.Number(payload, `"readUpTo":`))
	for _, reader := range c.seats[at.room.number] {
		if reader.user == user {
			c.cover(at.room.number, reader, upTo, now)
		}
	}
}

// cover ends all readings of a member up to a seq.
func (c *receipts) cover(i int, reader *person, upTo wire.Seq, now time.Time) {
	open := c.marks[i][reader]
	for len(open) > 0 && open[0].seq <= upTo {
		c.told.Done(open[0].at, open[0].at, now)
		c.open--
		open = open[1:]
	}
	c.marks[i][reader] = open
}

func (c *receipts) gone(*person, error) {}

// asked bounds how many chats' receipts are asked for afterwards.
const asked = 100

// verify looks that a sender who asks is told that everyone has read the last message, for whoever has told so.
func (c *receipts) verify(ctx context.Context) error {
	for i, room := range c.rooms[:min(len(c.rooms), asked)] {
		last := c.seats[i][0].places[0].reader.Next() - 1
		if last == 0 || len(c.marks[i][c.seats[i][1]]) > 0 {
			continue
		}
		var answer struct {
			Receipts []struct {
				UserID              string
				DeliveredAt, ReadAt *time.Time
			}
		}
		at := fmt.Sprintf("%s/messages/%s:%d/receipts", c.r.target(i), room.id, last)
		if err := c.r.rest.do(ctx, room.members[0], http.MethodGet, at, nil, &answer); err != nil {
			return err
		}
		for _, r := range answer.Receipts {
			if r.UserID != room.members[0] && (r.ReadAt == nil || r.DeliveredAt == nil) {
				room.chat.Broken(check.Receipt, "%s was told that %s has read up to %d; asked for it, he is not", room.members[0], r.UserID, last)
			}
		}
	}
	return c.r.readBack(ctx, c.rooms)
}
