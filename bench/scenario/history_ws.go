package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/quorate/quorate/bench/check"
	"github.com/quorate/quorate/bench/load"
	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/bench/socket"
	"github.com/quorate/quorate/sequencer/wire"
)

// historyWS is history over WebSocket: members who are online ask for pages.
type historyWS struct {
	r      *run
	crowd  *crowd
	rooms  []*room
	seats  [][]*person // the members of each room
	pages  *measure.Recorder
	lastID uint64
	asked  map[uint64]pageAsked
}

// pageAsked is a page that has not come.
type pageAsked struct {
	by             *person
	from           wire.Seq
	planned, begun time.Time
}

func newHistoryWS(r *run) (scenario, error) {
	h := &historyWS{r: r, pages: r.recorder("page of " + fmt.Sprint(r.Page)), asked: map[uint64]pageAsked{}}
	var err error
	h.crowd, err = r.newCrowd(h)
	return h, err
}

func (h *historyWS) close() { h.crowd.close() }

func (h *historyWS) prepare(ctx context.Context) (err error) {
	if h.rooms, err = h.r.makeHistory(ctx); err != nil {
		return err
	}
	for _, room := range h.rooms {
		var seats []*person
		for _, user := range room.members {
			p := h.crowd.enroll(user, room)
			p.resumes = true
			seats = append(seats, p)
		}
		h.seats = append(h.seats, seats)
	}
	return h.crowd.gather(ctx)
}

func (h *historyWS) drive(ctx context.Context) error {
	w, random, skew := h.r.window, load.Random(h.r.Seed, h.r.Part), load.NewSkew(len(h.rooms), h.r.Skew)
	slept, began := h.crowd.pool.Slept, time.Now()
	err := h.crowd.until(ctx, load.NewSchedule(h.r.rate(), w.Began, w.To), func(_ int64, planned time.Time) {
		seats, from := h.seats[skew.Pick(random)], wire.Seq(1+random.IntN(h.r.Behind))
		by := seats[random.IntN(len(seats))]
		if len(h.asked) >= h.r.InFlight {
			h.pages.Dropped(planned)
			return
		}
		h.ask(by, from, planned)
	}, func() bool { return !time.Now().Before(w.To) })
	h.crowd.limits(h.crowd.pool.Slept-slept, time.Since(began))
	if err != nil {
		return err
	}
	h.r.enter("settle")
	ends := time.Now().Add(settleTime)
	err = h.crowd.until(ctx, nil, nil, func() bool { return len(h.asked) == 0 || time.Now().After(ends) })
	for id := range h.asked {
		h.failed(id, errors.New("no answer came"))
	}
	return err
}

// ask asks for a page of a person's room.
func (h *historyWS) ask(by *person, from wire.Seq, planned time.Time) {
	h.lastID++
	begun := time.Now()
	h.pages.Sent(planned, begun, 1)
	h.asked[h.lastID] = pageAsked{by, from, planned, begun}
	if !h.crowd.say(by, fmt.Appendf(nil, `{"type":"history","id":%d,"chatId":%q,"cursor":%d,"limit":%d}`, h.lastID, by.places[0].room.id, from, h.r.Page)) {
		h.failed(h.lastID, errors.New("he has no connection"))
	}
}

func (h *historyWS) failed(id uint64, err error) {
	if q, is := h.asked[id]; is {
		delete(h.asked, id)
		h.pages.Failed(q.planned, time.Now(), err)
	}
}

func (h *historyWS) shown(*person, *place, *check.Shown, int, time.Time) {}

func (h *historyWS) frame(_ *person, kind string, payload []byte, now time.Time) {
	if kind != "page" && kind != "error" {
		return
	}
	id := socket.Number(payload, `"id":`)
	q, is := h.asked[id]
	if !is {
		return
	}
	if kind == "error" {
		h.failed(id, errorText(payload))
		return
	}
	delete(h.asked, id)
	h.pages.Done(q.planned, q.begun, now)
	room := q.by.places[0].room
	var page restPage
	if err := json.Unmarshal(payload, &page); err != nil {
		h.r.result.Notes = append(h.r.result.Notes, fmt.Sprintf("a page of %s is no JSON: %v", room.id, err))
		return
	}
	room.chat.Page("a reader", q.from, h.r.Page, wire.Seq(h.r.Behind), page.wire(room.id))
}

// gone gives up the pages that a person waits for.
func (h *historyWS) gone(p *person, err error) {
	for id, q := range h.asked {
		if q.by == p {
			h.failed(id, err)
		}
	}
}

func (h *historyWS) verify(ctx context.Context) error { return h.r.readBack(ctx, h.rooms) }
