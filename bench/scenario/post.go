package scenario

import (
	"context"
	"time"

	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/bench/socket"
	"github.com/quorate/quorate/sequencer/wire"
)

// post is the sends of a crowd that have no answer yet.
type post struct {
	crowd  *crowd
	acks   *measure.Recorder
	open   int
	nextID uint64
	mails  map[uint64]*letter
}

// letter is a mail and whose answer is waited for.
type letter struct {
	*mail
	by *person
}

func newPost(c *crowd, acks *measure.Recorder) *post {
	return &post{crowd: c, acks: acks, mails: map[uint64]*letter{}}
}

// send sends a person's next message to a room. One who has no connection now offers it when he is back.
func (t *post) send(p *person, room *room, planned time.Time) *mail {
	m := t.crowd.r.write(room, p.user, p.seen, planned)
	t.acks.Sent(planned, m.begun, 1)
	t.offer(p, m)
	return m
}

func (t *post) offer(p *person, m *mail) {
	t.nextID++
	t.open++
	t.mails[t.nextID] = &letter{m, p}
	t.crowd.say(p, m.frame(t.nextID))
}

// answer takes a frame that may be the answer to a send, and gives the mail that has ended with it, well or not.
func (t *post) answer(p *person, kind string, payload []byte, now time.Time) (ended *mail, good bool) {
	switch kind {
	case "sent", "error":
	case "caughtUp":
		t.again(p)
		return nil, false
	default:
		return nil, false
	}
	id := socket.Number(payload, `"id":`)
	m := t.mails[id]
	if m == nil {
		return nil, false
	}
	delete(t.mails, id)
	t.open--
	if kind == "error" {
		if m.replay {
			return nil, false
		}
		t.acks.Failed(m.planned, now, errorText(payload))
		return m.mail, false
	}
	m.known.Acked(wire.Seq(socket.Number(payload, `"sequenceNumber":`)), wire.Lamport(socket.Number(payload, `"lamport":`)))
	if m.replay {
		return nil, false
	}
	t.acks.Done(m.planned, m.begun, now)
	if m.twice {
		m.replay = true
		m.known.Again()
		t.offer(p, m.mail)
	}
	return m.mail, true
}

// again offers what a person who has come back has no answer to, under the same id, as clients do.
func (t *post) again(p *person) {
	for id, m := range t.mails {
		if m.by == p {
			t.crowd.say(p, m.frame(id))
		}
	}
}

// settle drives the crowd until every send has its answer and all is done, for a while at most.
func (t *post) settle(all func() bool) error {
	t.crowd.r.enter("settle")
	ends := time.Now().Add(settleTime)
	return t.crowd.until(context.Background(), nil, nil, func() bool {
		return t.open == 0 && all() || time.Now().After(ends)
	})
}

// everybodyHas tells whether every person was shown the last message of each of his rooms.
func everybodyHas(c *crowd) bool {
	for _, p := range c.people {
		for _, at := range p.places {
			if int(at.reader.Next()) <= at.room.next {
				return false
			}
		}
	}
	return true
}
