package notify

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/delivery/follow"
	"github.com/quorate/quorate/sequencer/wire"
)

// sharer shares the groups out between all notifiers of a cluster by leases, as hubs share out those of a region: one that each notifier has for
// itself, by which the others know of it, and one for each group. An offset that is committed only rises, so that two who look after a group for
// a moment do no harm but to tell somebody twice.
type sharer struct {
	notifier *Notifier
	self     string
	epoch    uint64 // of the cluster; 0 until it is known
	seat     int    // the number of this notifier's own lease; -1 while it has none
	seen     follow.Sightings
	epochs   map[string]uint64 // of the leases, by name
	warned   bool              // a failure was logged
	ending   sync.WaitGroup    // of groups that are given back
}

// leases begin the names of all leases of notifiers. The meta group never forgets a name, so they take turns at the same seats.
const leases = "push/"

// maxNotifiers is how many notifiers a cluster can have.
const maxNotifiers = 256

var errOutdated = errors.New("the cluster was restored from a backup since this notifier began: it is to be opened anew")

var errNoSeat = errors.New("the cluster has as many notifiers as it can have")

// run goes on until ctx ends, and hands over then.
func (s *sharer) run(ctx context.Context) {
	tick := time.NewTicker(s.notifier.shared.limits.LeaseTime / 4)
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := s.round(ctx); err == nil {
			s.warned = false
		} else if !s.warned && ctx.Err() == nil {
			s.warned = true
			s.notifier.shared.log.Warn("the leases of the notifiers are out of reach", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	s.giveBack(s.notifier.kept()...)
	s.ending.Wait()
}

// round looks at the leases once, and takes and keeps those that are this notifier's. What it has it goes on with while it cannot: nobody else
// can take it either.
func (s *sharer) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.notifier.shared.limits.LeaseTime/2)
	defer cancel()
	groups, err := s.notifier.client.Groups(ctx)
	if err != nil {
		return err
	}
	if err := s.heedEpoch(ctx); err != nil {
		return err
	}
	held, err := s.notifier.client.ListLeases(ctx, leases)
	if err != nil {
		return err
	}
	others, holders := s.look(held)
	if s.seat < 0 {
		return errNoSeat
	}
	keep, drop := follow.FairShare(s.self, others, holders, groups)
	names := []string{s.seatName()}
	for _, g := range keep {
		names = append(names, groupName(g))
	}
	results, err := s.notifier.client.RenewLeases(ctx, s.self, s.notifier.shared.limits.LeaseTime, names)
	if err != nil {
		return err
	}
	if results[0].Err != nil { // another one was quicker: the next round tries another seat
		s.seat = -1
		return nil
	}
	for i, g := range keep {
		s.granted(g, results[i+1])
	}
	s.giveBack(drop...)
	return nil
}

// heedEpoch looks whether the cluster is still the one that this notifier serves.
func (s *sharer) heedEpoch(ctx context.Context) error {
	settings, err := s.notifier.client.Settings(ctx)
	if err != nil {
		return err
	}
	says := wire.EpochOf(settings)
	if s.epoch == 0 {
		s.epoch = says
	}
	if s.epoch != says {
		s.notifier.shared.outdated.Store(true)
		return errOutdated
	}
	return nil
}

// look says who the others are and who has which group, and finds a seat where this one has none.
func (s *sharer) look(held []wire.HeldLease) (others []string, holders map[wire.GroupID]string) {
	holders, s.epochs = map[wire.GroupID]string{}, map[string]uint64{}
	taken := map[int]bool{}
	mine := func(holder string) bool { return holder == s.self }
	for _, l := range s.seen.Alive(held, time.Now(), s.notifier.shared.limits.LeaseTime, mine) {
		kind, text, _ := strings.Cut(strings.TrimPrefix(l.Name, leases), "/")
		number, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			continue
		}
		s.epochs[l.Name] = l.Epoch
		switch kind {
		case "seat":
			taken[int(number)] = true
			if l.Holder != s.self {
				others = append(others, l.Holder)
			}
		case "group":
			holders[wire.GroupID(number)] = l.Holder
		}
	}
	for seat := 0; s.seat < 0 && seat < maxNotifiers; seat++ {
		if !taken[seat] {
			s.seat = seat
		}
	}
	return others, holders
}

// granted looks after a group whose lease this notifier has got, or stops where another one has it.
func (s *sharer) granted(g wire.GroupID, r wire.LeaseResult) {
	switch {
	case r.Err == nil:
		s.epochs[r.Name] = r.Epoch
		s.notifier.keep(g)
	case errors.Is(r.Err, wire.ErrConflict):
		s.ending.Go(func() { s.notifier.release(g) })
	}
}

// giveBack ends the work for groups and then gives their leases back, so that others need not wait for their end. It does not wait for it.
func (s *sharer) giveBack(groups ...wire.GroupID) {
	for _, g := range groups {
		name, epoch := groupName(g), s.epochs[groupName(g)]
		s.ending.Go(func() {
			if !s.notifier.release(g) || epoch == 0 {
				return
			}
			ctx, cancel := context.WithTimeout(context.Background(), s.notifier.shared.limits.LeaseTime)
			defer cancel()
			_ = s.notifier.client.DropLease(ctx, name, s.self, epoch) // one that stays ends by itself
		})
	}
}

func (s *sharer) seatName() string { return leases + "seat/" + strconv.Itoa(s.seat) }

func groupName(g wire.GroupID) string { return leases + "group/" + strconv.Itoa(int(g)) }
