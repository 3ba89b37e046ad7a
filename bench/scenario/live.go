package scenario

import (
	"context"
	"time"

	"github.com/quorate/quorate/bench/check"
	"github.com/quorate/quorate/bench/load"
	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/bench/socket"
)

// live sends messages to members who are online, and measures the time until each of the others has each. Fanout is the same of one large
// chat.
type live struct {
	r        *run
	crowd    *crowd
	post     *post
	rooms    []*room
	seats    [][]*person // the members of each room
	tracks   [][]track   // of each room, by number
	arrivals *measure.Recorder
	loop     bool // a closed loop goes on
	shows    int  // deliveries
}

// track is a message on its way to its members.
type track struct {
	planned, begun time.Time
	sender         *person
	left           int // members who have not been shown it
}

func newLive(r *run) (scenario, error) {
	l := &live{r: r, arrivals: r.recorder("send to receive")}
	var err error
	l.crowd, err = r.newCrowd(l)
	l.post = newPost(l.crowd, r.recorder("send to ack"))
	l.crowd.acks = !r.NoAcks
	return l, err
}

func (l *live) close() { l.crowd.close() }

func (l *live) prepare(ctx context.Context) (err error) {
	if l.rooms, err = l.r.makeRooms(ctx, l.r.apart(l.r.share(l.r.Chats), l.r.Members)); err != nil {
		return err
	}
	for _, room := range l.rooms {
		var seats []*person
		for _, user := range room.members {
			seats = append(seats, l.crowd.enroll(user, room))
		}
		l.seats, l.tracks = append(l.seats, seats), append(l.tracks, nil)
	}
	return l.crowd.gather(ctx)
}

func (l *live) drive(ctx context.Context) error {
	w := l.r.window
	slept, received, began := l.crowd.pool.Slept, l.crowd.pool.Received, time.Now()
	over := func() bool { return !time.Now().Before(w.To) }
	var schedule *load.Schedule
	if l.loop = l.r.Closed; l.loop {
		for i := range l.rooms {
			for range max(1, l.r.InFlight) {
				l.send(i, time.Now())
			}
		}
	} else {
		schedule = load.NewSchedule(l.r.rate(), w.Began, w.To)
	}
	err := l.crowd.until(ctx, schedule, func(n int64, planned time.Time) {
		if l.post.open >= l.r.InFlight {
			l.arrivals.Dropped(planned)
			return
		}
		l.send(int(n%int64(len(l.rooms))), planned)
	}, over)
	l.loop = false
	l.crowd.limits(l.crowd.pool.Slept-slept, time.Since(began))
	if err != nil {
		return err
	}
	err = l.post.settle(func() bool { return everybodyHas(l.crowd) })
	if l.shows > 0 {
		l.r.result.Tell("bytes received per delivery", float64(l.crowd.pool.Received-received)/float64(l.shows), "bytes")
	}
	return err
}

// send sends a room's next message, by one member after the other: each may send so many in a second.
func (l *live) send(i int, planned time.Time) {
	room := l.rooms[i]
	p := l.seats[i][room.next%len(l.seats[i])]
	l.tracks[i] = append(l.tracks[i], track{planned: planned, sender: p, left: len(l.seats[i])})
	m := l.post.send(p, room, planned)
	l.tracks[i][m.number].begun = m.begun
	l.arrivals.Sent(planned, m.begun, int64(len(l.seats[i])-1))
}

func (l *live) shown(p *person, at *place, _ *check.Shown, n int, now time.Time) {
	l.shows++
	i := at.room.number
	if n < 0 || n >= len(l.tracks[i]) {
		return // the judge knows it for invented
	}
	t := &l.tracks[i][n]
	if p != t.sender {
		l.arrivals.Done(t.planned, t.begun, now)
	}
	if t.left--; t.left == 0 && l.loop {
		l.send(i, now)
	}
}

func (l *live) frame(p *person, kind string, payload []byte, now time.Time) {
	l.post.answer(p, kind, payload, now)
	if kind == "error" && l.loop && socket.Number(payload, `"id":`) > 0 {
		l.loop = false // what was refused never comes to all, so the loop would stand still for ever
		l.r.result.Notes = append(l.r.result.Notes, "the closed loop ended with a refusal: "+string(payload))
	}
}

func (l *live) gone(*person, error) {}

func (l *live) verify(ctx context.Context) error { return l.r.readBack(ctx, l.rooms) }
