package scenario

import (
	"context"
	"time"

	"github.com/quorate/quorate/bench/check"
	"github.com/quorate/quorate/bench/load"
	"github.com/quorate/quorate/bench/measure"
)

// sendWS is send over WebSocket. Senders are alone in the rooms of one another's kind, so they are shown what they all send, too.
type sendWS struct {
	r     *run
	crowd *crowd
	rooms []*room
	acks  *measure.Recorder
	post  *post

	loop    bool    // a closed loop goes on
	refused []pause // in it, the longest first
}

func newSendWS(r *run) (scenario, error) {
	s := &sendWS{r: r, acks: r.recorder("send to ack")}
	var err error
	s.crowd, err = r.newCrowd(s)
	s.post = newPost(s.crowd, s.acks)
	return s, err
}

func (s *sendWS) close() { s.crowd.close() }

func (s *sendWS) prepare(ctx context.Context) error {
	rooms, users, err := s.r.senders(ctx)
	if err != nil {
		return err
	}
	s.rooms = rooms
	for i, user := range users {
		s.crowd.enroll(user, rooms[i%len(rooms)])
	}
	return s.crowd.gather(ctx)
}

func (s *sendWS) drive(ctx context.Context) error {
	w := s.r.window
	slept, began := s.crowd.pool.Slept, time.Now()
	people := s.crowd.people
	var schedule *load.Schedule
	if s.r.Closed {
		s.loop = true
		for _, p := range people {
			for range max(1, s.r.InFlight) {
				s.post.send(p, p.places[0].room, time.Now())
			}
		}
	} else {
		schedule = load.NewSchedule(s.r.rate(), w.Began, w.To)
	}
	err := s.crowd.until(ctx, schedule, func(n int64, planned time.Time) {
		p := people[n%int64(len(people))]
		if s.post.open >= s.r.InFlight {
			s.acks.Dropped(planned)
			return
		}
		s.post.send(p, p.places[0].room, planned)
	}, s.over)
	s.loop = false
	s.crowd.limits(s.crowd.pool.Slept-slept, time.Since(began))
	if err != nil {
		return err
	}
	return s.post.settle(s.allShown)
}

// allShown tells whether every sender was shown all that was acknowledged.
func (s *sendWS) allShown() bool { return everybodyHas(s.crowd) }

func (s *sendWS) verify(ctx context.Context) error { return s.r.readBack(ctx, s.rooms) }

func (s *sendWS) shown(*person, *place, *check.Shown, int, time.Time) {}

func (s *sendWS) frame(p *person, kind string, payload []byte, now time.Time) {
	m, good := s.post.answer(p, kind, payload, now)
	switch {
	case m == nil || !s.loop:
	case good:
		s.post.send(p, m.room, now)
	default: // whoever is refused must not come back at once
		s.refused = append(s.refused, pause{p, now.Add(refusedPause)})
	}
}

func (s *sendWS) gone(*person, error) {}

// pause is a sender of a closed loop who goes on later.
type pause struct {
	p     *person
	until time.Time
}

const refusedPause = 50 * time.Millisecond

// over tells whether the window has ended. Those who were refused go on when their pause is over.
func (s *sendWS) over() bool {
	now := time.Now()
	for len(s.refused) > 0 && now.After(s.refused[0].until) {
		p := s.refused[0].p
		s.refused = s.refused[1:]
		s.post.send(p, p.places[0].room, now)
	}
	return !now.Before(s.r.window.To)
}
