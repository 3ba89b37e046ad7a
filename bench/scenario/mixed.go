package scenario

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/quorate/quorate/bench/check"
	"github.com/quorate/quorate/bench/load"
	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/sequencer/wire"
)

// mixed is a day in small: chats as large and people as active as in a messenger, who type, read, lose their connections, and answer in
// one chat what they were shown in another.
type mixed struct {
	r        *run
	crowd    *crowd
	post     *post
	rooms    []*room
	seats    [][]*person
	tracks   [][]track
	random   *rand.Rand
	skew     *load.Skew // of rooms
	arrivals *measure.Recorder
	resumed  *measure.Recorder
	nextDrop time.Time
	drops    int
}

// The shares of a messenger's traffic that are neither settings nor sizes.
const (
	directShare  = 0.70 // of the chats have two members
	largeShare   = 0.03 // have as many as there can be
	typingShare  = 0.3  // of the messages are announced
	readShare    = 0.6  // of what is shown is read at once
	dropEvery    = 200 * time.Millisecond
	dropShortest = 100 * time.Millisecond
	dropLongest  = 2 * time.Second
	smallGroup   = 20
)

func newMixed(r *run) (scenario, error) {
	m := &mixed{
		r: r, random: load.Random(r.Seed, r.Part), arrivals: r.recorder("send to receive"), resumed: r.recorder("resumed"),
	}
	var err error
	m.crowd, err = r.newCrowd(m)
	m.crowd.acks = true
	m.post = newPost(m.crowd, r.recorder("send to ack"))
	return m, err
}

func (m *mixed) close() { m.crowd.close() }

func (m *mixed) prepare(ctx context.Context) (err error) {
	users := (m.r.share(m.r.Connections) + 1) / 2 * 2 // so that neighbours are pairs
	members := make([][]string, m.r.share(m.r.Chats))
	numbers := make([][]int, len(members))
	for c := range members {
		// A pair has one direct chat; groups are of whoever it falls to.
		for _, n := range m.pickMembers(users, c) {
			members[c], numbers[c] = append(members[c], m.r.user(n)), append(numbers[c], n)
		}
	}
	if m.rooms, err = m.r.makeRooms(ctx, members); err != nil {
		return err
	}
	m.enroll(users, numbers)
	m.skew = load.NewSkew(len(m.rooms), m.r.Skew)
	return m.crowd.gather(ctx)
}

// pickMembers gives the members of a chat, each once.
func (m *mixed) pickMembers(users, c int) []int {
	size := 2
	switch x := m.random.Float64(); {
	case x > directShare+largeShare || c == 1:
		size = 3 + m.random.IntN(smallGroup-2)
	case x > directShare || c == 0:
		size = m.r.Members
	}
	if size == 2 { // of neighbours, and no pair twice
		return []int{(2 * c) % users, (2*c + 1 + 2*((2*c)/users)) % users}
	}
	return m.random.Perm(users)[:min(size, users)]
}

func (m *mixed) enroll(users int, numbers [][]int) {
	of := make([][]*room, users)
	for c, list := range numbers {
		for _, n := range list {
			of[n] = append(of[n], m.rooms[c])
		}
	}
	for n := range users {
		m.crowd.enroll(m.r.user(n), of[n]...)
	}
	m.seats, m.tracks = make([][]*person, len(numbers)), make([][]track, len(numbers))
	for c, list := range numbers {
		for _, n := range list {
			m.seats[c] = append(m.seats[c], m.crowd.people[n])
		}
	}
}

func (m *mixed) drive(ctx context.Context) error {
	w := m.r.window
	schedule := load.NewSchedule(m.r.rate(), w.Began, w.To)
	slept, began := m.crowd.pool.Slept, time.Now()
	m.nextDrop = began.Add(dropEvery)
	err := m.crowd.until(ctx, schedule, func(_ int64, planned time.Time) { m.send(planned) }, func() bool {
		now := time.Now()
		if now.After(m.nextDrop) {
			m.nextDrop = now.Add(dropEvery)
			m.dropOne()
		}
		return !now.Before(w.To)
	})
	m.crowd.limits(m.crowd.pool.Slept-slept, time.Since(began))
	m.r.result.Tell("connections dropped and resumed", float64(m.drops), "")
	m.r.result.Tell("people", float64(len(m.crowd.people)), "")
	m.r.result.Tell("chats", float64(len(m.rooms)), "")
	if err != nil {
		return err
	}
	return m.post.settle(func() bool { return everybodyHas(m.crowd) })
}

// send has somebody who is there say something. Whatever he was shown, in any chat, comes before it.
func (m *mixed) send(planned time.Time) {
	i := m.skew.Pick(m.random)
	seats := m.seats[i]
	p := seats[m.random.IntN(len(seats))]
	for range seats {
		if p.ready {
			break
		}
		p = seats[m.random.IntN(len(seats))]
	}
	if m.random.Float64() < typingShare {
		m.crowd.say(p, fmt.Appendf(nil, `{"type":"typing","chatId":%q}`, m.rooms[i].id))
	}
	m.tracks[i] = append(m.tracks[i], track{planned: planned, sender: p})
	mail := m.post.send(p, m.rooms[i], planned)
	m.tracks[i][mail.number].begun = mail.begun
}

// dropOne has somebody lose his connection for a while.
func (m *mixed) dropOne() {
	p := m.crowd.people[m.random.IntN(len(m.crowd.people))]
	if p.conn == nil || !p.conn.Open() {
		return
	}
	m.drops++
	m.crowd.drop(p, dropShortest+time.Duration(m.random.Int64N(int64(dropLongest-dropShortest))))
}

func (m *mixed) shown(p *person, at *place, _ *check.Shown, n int, now time.Time) {
	i := at.room.number
	if n < 0 || n >= len(m.tracks[i]) {
		return
	}
	t := &m.tracks[i][n]
	switch {
	case p == t.sender:
	case p.since.After(t.planned) || !p.ready: // he was away when it was sent
		m.resumed.Sent(t.planned, t.begun, 1)
		m.resumed.Done(t.planned, t.begun, now)
	default:
		m.arrivals.Sent(t.planned, t.begun, 1)
		m.arrivals.Done(t.planned, t.begun, now)
	}
	if p != t.sender && m.random.Float64() < readShare {
		m.crowd.mark(p, at, "read", wire.Seq(at.upTo))
	}
}

func (m *mixed) frame(p *person, kind string, payload []byte, now time.Time) {
	m.post.answer(p, kind, payload, now)
}

func (m *mixed) gone(*person, error) {}

func (m *mixed) verify(ctx context.Context) error { return m.r.readBack(ctx, m.rooms) }
