package scenario

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/bench/load"
	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/sequencer/wire"
)

// send offers messages and waits for each ack, over RESP or REST. Each sender writes to one chat; after the run all logs are read back.
type send struct {
	r       *run
	rooms   []*room
	users   []string // of the senders
	acks    *measure.Recorder
	courier courier
	ctx     context.Context // of the run: a closed loop goes on until it ends

	mu    sync.Mutex // guards what number a room's next message has
	open  atomic.Int64
	empty chan struct{} // gets something when nothing is under way
}

// courier carries one message and calls done when its fate is known. It does not wait.
type courier interface {
	carry(m *mail, done func(seq wire.Seq, stamp wire.Lamport, err error))
}

// sendTime bounds one message, with all that the client tries.
const sendTime = 10 * time.Second

func newSend(r *run) (scenario, error) {
	switch r.Protocol {
	case "ws":
		return newSendWS(r)
	case "resp":
		if r.client == nil {
			return nil, errors.New("RESP needs the addresses of sequencers")
		}
	case "rest":
	default:
		return nil, fmt.Errorf("a protocol is resp, ws or rest, not %q", r.Protocol)
	}
	s := &send{r: r, acks: r.recorder("send to ack"), empty: make(chan struct{}, 1)}
	s.courier = respCourier{r.client}
	if r.Protocol == "rest" {
		s.courier = restCourier{r}
	}
	return s, nil
}

func (s *send) close() {}

func (s *send) prepare(ctx context.Context) (err error) {
	s.rooms, s.users, err = s.r.senders(ctx)
	return err
}

// senders makes the chats that senders write to, some senders each.
func (r *run) senders(ctx context.Context) (rooms []*room, users []string, err error) {
	n := r.share(r.Senders)
	chats := min(r.share(r.Chats), n)
	members := make([][]string, chats)
	for i := range n {
		user := r.user(i)
		users = append(users, user)
		members[i%chats] = append(members[i%chats], user)
	}
	if len(members[0]) > maxMembers {
		return nil, nil, fmt.Errorf("%d senders are too many for %d chats of at most %d", n, chats, maxMembers)
	}
	for i := range members {
		if len(members[i]) < 3 { // no direct chats: of those a pair has one
			members[i] = append(members[i], r.user(n+2*i), r.user(n+2*i+1))
		}
	}
	rooms, err = r.makeRooms(ctx, members)
	return rooms, users, err
}

func (s *send) drive(ctx context.Context) error {
	var cancel context.CancelFunc
	s.ctx, cancel = context.WithDeadline(ctx, s.r.window.To)
	defer cancel()
	if s.r.Closed {
		for i := range s.users {
			for range max(1, s.r.InFlight) {
				s.offer(i, time.Now(), true)
			}
		}
		<-s.ctx.Done()
		return s.drain()
	}
	pacer, err := load.NewPacer(load.NewSchedule(s.r.rate(), s.r.window.Began, s.r.window.To))
	if err != nil {
		return err
	}
	defer pacer.Close() //nolint:errcheck // a timer
	most := int64(s.r.InFlight)
	pacer.Run(s.ctx, func(n int64, planned time.Time) {
		if s.open.Load() >= most {
			s.acks.Dropped(planned)
			return
		}
		s.offer(int(n%int64(len(s.users))), planned, false)
	})
	if pacer.Limited() {
		s.r.limited("%d of %d sends were begun over 10 ms late, by the generator's own fault", pacer.Behind, pacer.Planned)
	}
	return s.drain()
}

// offer sends a user's next message. In a closed loop the one after it follows when this one is acknowledged.
func (s *send) offer(user int, planned time.Time, loop bool) {
	s.mu.Lock()
	m := s.r.write(s.rooms[user%len(s.rooms)], s.users[user], 0, planned)
	s.mu.Unlock()
	s.acks.Sent(planned, m.begun, 1)
	s.carry(m, func(err error) {
		if !loop || s.ctx.Err() != nil {
			return
		}
		if err != nil { // whoever is refused at once must not come back at once
			s.open.Add(1)
			time.AfterFunc(10*time.Millisecond, func() {
				s.offer(user, time.Now(), true)
				s.ended()
			})
			return
		}
		s.offer(user, time.Now(), true)
	})
}

func (s *send) carry(m *mail, then func(err error)) {
	s.open.Add(1)
	s.courier.carry(m, func(seq wire.Seq, stamp wire.Lamport, err error) {
		defer s.ended()
		now := time.Now()
		if err != nil {
			if !m.replay {
				s.acks.Failed(m.planned, now, err)
			}
			then(err)
			return
		}
		m.known.Acked(seq, stamp)
		if m.replay {
			then(nil)
			return
		}
		s.acks.Done(m.planned, m.begun, now)
		if m.twice {
			m.replay = true
			m.known.Again()
			s.carry(m, func(error) {})
		}
		then(nil)
	})
}

func (s *send) ended() {
	if s.open.Add(-1) == 0 {
		select {
		case s.empty <- struct{}{}:
		default:
		}
	}
}

// drain waits for what is under way.
func (s *send) drain() error {
	s.r.enter("settle")
	late := time.NewTimer(sendTime + settleTime)
	defer late.Stop()
	for s.open.Load() > 0 {
		select {
		case <-s.empty:
		case <-late.C:
			s.r.result.Notes = append(s.r.result.Notes, fmt.Sprintf("%d sends never ended", s.open.Load()))
			return nil
		}
	}
	return nil
}

func (s *send) verify(ctx context.Context) error { return s.r.readBack(ctx, s.rooms) }

// respCourier goes to the sequencers.
type respCourier struct{ client *wire.Client }

func (c respCourier) carry(m *mail, done func(wire.Seq, wire.Lamport, error)) {
	q := wire.AppendRequest{ChatID: m.room.id, SenderID: m.user, ClientMessageID: messageID(m.number), Text: m.text}
	c.client.AppendAsync(sendTime, q, func(a wire.AppendAck, err error) { done(a.Seq, a.Lamport, err) })
}

// restCourier goes to the delivery nodes, on a goroutine for each message.
type restCourier struct{ r *run }

func (c restCourier) carry(m *mail, done func(wire.Seq, wire.Lamport, error)) {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), sendTime)
		defer cancel()
		a, err := c.r.rest.send(ctx, c.r.target(m.number), m.room.id, m.user, messageID(m.number), m.text)
		done(a.SequenceNumber, a.Lamport, err)
	}()
}
