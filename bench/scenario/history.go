package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/bench/load"
	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/sequencer/wire"
)

// history reads pages of chats from random places, over REST or RESP; historyWS does so over WebSocket. What is read is hot, or in the archive.
type history struct {
	r     *run
	rooms []*room
	pages *measure.Recorder
	open  atomic.Int64
	group sync.WaitGroup
}

func newHistory(r *run) (scenario, error) {
	switch {
	case r.Protocol == "ws":
		return newHistoryWS(r)
	case r.Protocol != "rest" && r.Protocol != "resp":
		return nil, fmt.Errorf("history is read over rest, ws or resp, not %q", r.Protocol)
	case r.Protocol == "resp" && (r.client == nil || r.Archived):
		return nil, errors.New("RESP needs the addresses of sequencers, and only a delivery node reads the archive")
	}
	return &history{r: r, pages: r.recorder("page of " + fmt.Sprint(r.Page))}, nil
}

func (h *history) close() {}

func (h *history) prepare(ctx context.Context) (err error) {
	h.rooms, err = h.r.makeHistory(ctx)
	return err
}

// makeHistory makes the chats that are read, with what is in them, and where it is to be.
func (r *run) makeHistory(ctx context.Context) (rooms []*room, err error) {
	if rooms, err = r.makeRooms(ctx, r.apart(r.share(r.Chats), r.Members)); err != nil {
		return nil, err
	}
	if err := r.fill(ctx, rooms, r.Behind); err != nil || !r.Archived {
		return rooms, err
	}
	return rooms, r.awaitArchive(ctx, rooms)
}

func (h *history) drive(ctx context.Context) error {
	random, skew := load.Random(h.r.Seed, h.r.Part), load.NewSkew(len(h.rooms), h.r.Skew)
	pacer, err := load.NewPacer(load.NewSchedule(h.r.rate(), h.r.window.Began, h.r.window.To))
	if err != nil {
		return err
	}
	defer pacer.Close() //nolint:errcheck // a timer
	pacer.Run(ctx, func(_ int64, planned time.Time) {
		room, from := h.rooms[skew.Pick(random)], wire.Seq(1+random.IntN(h.r.Behind))
		if h.open.Load() >= int64(h.r.InFlight) {
			h.pages.Dropped(planned)
			return
		}
		h.read(room, from, pick(random, room.members), planned)
	})
	if pacer.Limited() {
		h.r.limited("%d of %d reads were begun over 10 ms late, by the generator's own fault", pacer.Behind, pacer.Planned)
	}
	h.r.enter("settle")
	h.group.Wait()
	return nil
}

func pick(random *rand.Rand, list []string) string { return list[random.IntN(len(list))] }

// read reads one page.
func (h *history) read(room *room, from wire.Seq, user string, planned time.Time) {
	h.open.Add(1)
	begun := time.Now()
	h.pages.Sent(planned, begun, 1)
	h.group.Go(func() {
		defer h.open.Add(-1)
		ctx, cancel := context.WithTimeout(context.Background(), sendTime)
		defer cancel()
		var page []wire.Message
		var err error
		if h.r.Protocol == "resp" {
			var p wire.Page
			p, err = h.r.client.Range(ctx, wire.RangeRequest{ChatID: room.id, From: from, Count: h.r.Page, ForUser: user})
			page = p.Messages
		} else {
			page, _, err = h.r.rest.page(ctx, h.r.target(int(from)), room.id, user, from, h.r.Page)
		}
		now := time.Now()
		if err != nil {
			h.pages.Failed(planned, now, err)
			return
		}
		h.pages.Done(planned, begun, now)
		room.chat.Page("a reader", from, h.r.Page, wire.Seq(h.r.Behind), page)
	})
}

func (h *history) verify(ctx context.Context) error {
	return h.r.readBack(ctx, h.rooms)
}
