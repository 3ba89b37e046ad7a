package scenario

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quorate/quorate/sequencer/wire"
)

// courier gives the way in for messages that are not what is measured: RESP where there are sequencers, else REST.
func (r *run) courier() courier {
	if r.client != nil {
		return respCourier{r.client}
	}
	return restCourier{r}
}

// fillAtOnce is how many messages of a room are under way while it is filled: more over RESP, where they are one batch.
const fillAtOnce = 64

// fill puts so many messages into each room.
func (r *run) fill(ctx context.Context, rooms []*room, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(makersAtOnce)
	for _, room := range rooms {
		group.Go(func() error { return r.fillRoom(ctx, room, n) })
	}
	return group.Wait()
}

func (r *run) fillRoom(ctx context.Context, room *room, n int) error {
	way, free := r.courier(), make(chan struct{}, fillAtOnce)
	var failed atomic.Pointer[error]
	var open sync.WaitGroup
	for range n {
		if failed.Load() != nil || ctx.Err() != nil {
			break
		}
		free <- struct{}{}
		open.Add(1)
		m := r.write(room, room.members[room.next%len(room.members)], 0, time.Now())
		r.fillOne(ctx, way, m, func(err error) {
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
			<-free
			open.Done()
		})
	}
	open.Wait()
	if err := failed.Load(); err != nil {
		return fmt.Errorf("fill %s: %w", room.id, *err)
	}
	return ctx.Err()
}

// fillOne offers a message until it is acknowledged.
func (r *run) fillOne(ctx context.Context, way courier, m *mail, done func(error)) {
	way.carry(m, func(seq wire.Seq, stamp wire.Lamport, err error) {
		switch {
		case err == nil:
			m.known.Acked(seq, stamp)
			done(nil)
		case ctx.Err() == nil && time.Since(m.planned) < time.Minute:
			time.AfterFunc(50*time.Millisecond, func() { r.fillOne(ctx, way, m, done) })
		default:
			done(err)
		}
	})
}

// archiveTime is how long messages may take to be in the archive.
const archiveTime = 3 * time.Minute

// awaitArchive waits until all that rooms hold has left the hot store, but the last message of each, which stays. A group alone writes no small
// objects, so it asks for rounds.
func (r *run) awaitArchive(ctx context.Context, rooms []*room) error {
	if r.client == nil {
		return errors.New("what is in the archive only the sequencers tell: their addresses are needed")
	}
	ctx, cancel := context.WithTimeout(ctx, archiveTime)
	defer cancel()
	for _, room := range rooms {
		for tries := 0; ; tries++ {
			answer, err := r.client.Do(ctx, room.id, "CHAT.HEAD", room.id)
			if err != nil {
				return fmt.Errorf("wait for the archive: %w", err)
			}
			if heads := answer.Elems(); len(heads) == 1 && int(heads[0].Field("hotFrom").Num()) >= room.next {
				break
			}
			if tries%archiveAsk == 0 {
				r.askArchive(ctx)
			}
			sleep(ctx, archiveLook)
		}
	}
	return nil
}

const (
	archiveLook = 100 * time.Millisecond
	archiveAsk  = 10 // looks between two questions
)

// askArchive asks every group for a round. Where that is not this user's right, the messages are archived when they are old enough for it.
func (r *run) askArchive(ctx context.Context) {
	for _, g := range r.client.Topology().Groups {
		if g.Leader != "" {
			_, _ = r.client.DoFollow(ctx, g.Leader, "ARCHIVE", "RUN", strconv.Itoa(int(g.Group)))
		}
	}
}
