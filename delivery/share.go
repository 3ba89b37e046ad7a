package delivery

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/delivery/follow"
	"github.com/quorate/quorate/sequencer/wire"
)

// sharer finds the hubs, and shares the feeds out between those of this node's region by leases: one that each hub has for itself, by which
// the others know of it, and one for each group. Whoever has a lease keeps it while it has no more than its share. A hub that is
// lost loses its leases when they end, and the others take them.
type sharer struct {
	srv    *Server
	isHub  bool
	self   string // the id of this process
	addr   string // where its hub is reached
	region string
	log    bool // a failure was logged
	seat   int  // the number of this hub's own lease; -1 while it has none
	seen   follow.Sightings
	epochs map[string]uint64 // of the leases, by name
}

// hubLeases begin the names of all leases of hubs: then the region, and "seat" with a number or "feed" with a group. The meta group never forgets
// a name, so hubs, which come and go, take turns at the same seats.
const hubLeases = "hub/"

// maxHubs is how many hubs a region can have.
const maxHubs = 256

func newSharer(srv *Server, self, addr string) *sharer {
	return &sharer{srv: srv, isHub: addr != "", self: self, addr: addr, region: srv.region(), seat: -1}
}

// knownHub is a hub that has a lease for itself.
type knownHub struct{ node, addr, region string }

// view is what the leases say.
type view struct {
	hubs    []knownHub                         // this one included
	holders map[wire.GroupID]string            // the hub of this region that reads each feed
	feeds   map[string]map[wire.GroupID]string // and those of all regions
	epochs  map[string]uint64                  // of all leases, by name
	taken   map[int]bool                       // seats of this region
}

// run goes on until ctx ends, and gives the leases of feeds back then, so that others need not wait for their end.
func (s *sharer) run(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-s.srv.hub.positioned:
	}
	s.region = s.srv.region() // the epoch is known now
	every := s.srv.limits.LeaseTime / 4
	if !s.isHub {
		every *= 2 // it prolongs nothing, and there may be many
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		s.round(ctx)
		select {
		case <-ctx.Done():
			s.giveBack()
			return
		case <-tick.C:
		}
	}
}

// round looks at the leases once, and takes and keeps those that are this hub's.
func (s *sharer) round(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.srv.limits.LeaseTime/2)
	defer cancel()
	v, err := s.look(ctx)
	if err == nil && s.isHub {
		err = s.take(ctx, v)
	}
	switch {
	case err == nil:
		s.log = false
	case !s.log && ctx.Err() == nil:
		s.log = true
		s.srv.log.Warn("the leases of the hubs are out of reach", "err", err)
	}
	if v != nil {
		s.srv.router.learn(v.feeds)
		s.srv.announcer.follow(s.linked(v))
	}
	s.srv.hub.watch(time.Now())
}

// look reads the leases of all hubs.
func (s *sharer) look(ctx context.Context) (*view, error) {
	held, err := s.srv.seq.ListLeases(ctx, hubLeases)
	if err != nil {
		return nil, err
	}
	v := &view{feeds: map[string]map[wire.GroupID]string{s.region: {}}, epochs: map[string]uint64{}, taken: map[int]bool{}}
	v.holders = v.feeds[s.region]
	for _, l := range s.alive(held, time.Now()) {
		parts := strings.Split(l.Name, "/")
		if len(parts) != 4 {
			continue
		}
		v.epochs[l.Name] = l.Epoch
		switch node, addr, _ := strings.Cut(l.Holder, "@"); parts[2] {
		case "seat":
			v.hubs = append(v.hubs, knownHub{node, addr, parts[1]})
			if n, err := strconv.Atoi(parts[3]); err == nil && parts[1] == s.region {
				v.taken[n] = true
			}
		case "feed":
			if g, err := strconv.ParseUint(parts[3], 10, 16); err == nil {
				if v.feeds[parts[1]] == nil {
					v.feeds[parts[1]] = map[wire.GroupID]string{}
				}
				v.feeds[parts[1]][wire.GroupID(g)] = node
			}
		}
	}
	return v, nil
}

// alive gives the leases that go on.
func (s *sharer) alive(held []wire.HeldLease, now time.Time) []wire.Lease {
	return s.seen.Alive(held, now, s.srv.limits.LeaseTime, func(holder string) bool {
		node, _, _ := strings.Cut(holder, "@")
		return node == s.self || s.srv.announcer.alive(node) // of which this node hears over its link
	})
}

// linked are the hubs that this node connects to: all of its region, and where it is a hub those of others too.
func (s *sharer) linked(v *view) []knownHub {
	return slices.DeleteFunc(slices.Clone(v.hubs), func(h knownHub) bool {
		return h.node == s.self || h.addr == "" || h.region != s.region && !s.isHub
	})
}

func (s *sharer) holder() string { return s.self + "@" + s.addr }

func (s *sharer) seatLease() string { return hubLeases + s.region + "/seat/" + strconv.Itoa(s.seat) }

func (s *sharer) feed(g wire.GroupID) string {
	return hubLeases + s.region + "/feed/" + strconv.Itoa(int(g))
}

var errNoSeat = errors.New("the region has as many hubs as it can have")

// take prolongs and takes the leases that are to be this hub's.
func (s *sharer) take(ctx context.Context, v *view) error {
	var others []string
	for _, h := range v.hubs {
		if h.region == s.region && h.node != s.self {
			others = append(others, h.node)
		}
	}
	keep, drop := follow.FairShare(s.self, others, v.holders, s.srv.hub.size())
	for n := 0; s.seat < 0 && n < maxHubs; n++ {
		if !v.taken[n] {
			s.seat = n
		}
	}
	if s.seat < 0 {
		return errNoSeat
	}
	names := []string{s.seatLease()}
	for _, g := range keep {
		names = append(names, s.feed(g))
	}
	results, err := s.srv.seq.RenewLeases(ctx, s.holder(), s.srv.limits.LeaseTime, names)
	if err != nil {
		return err // what this hub has it goes on with: nobody else can take it either
	}
	if results[0].Err != nil { // another hub was quicker: the next round tries another seat
		s.seat = -1
		return nil
	}
	s.epochs = v.epochs
	for _, r := range results {
		if r.Err == nil {
			s.epochs[r.Name] = r.Epoch
		}
	}
	for i, g := range keep {
		if err := results[i+1].Err; err == nil {
			s.srv.hub.share(g, true)
		} else if errors.Is(err, wire.ErrConflict) {
			s.srv.hub.share(g, false)
		}
	}
	for _, g := range drop {
		s.drop(ctx, s.feed(g))
	}
	for g := range s.srv.hub.size() {
		if h := v.holders[wire.GroupID(g)]; h != "" && h != s.self {
			s.srv.hub.share(wire.GroupID(g), false)
		}
	}
	return nil
}

// giveBack drops the leases of feeds. The hub still serves, until others do.
func (s *sharer) giveBack() {
	if !s.isHub {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.srv.limits.LeaseTime)
	defer cancel()
	for g := range s.srv.hub.size() {
		if s.srv.hub.shares(wire.GroupID(g)) {
			s.drop(ctx, s.feed(wire.GroupID(g)))
		}
	}
}

// drop gives one lease back, so that others need not wait for its end. One that stays ends by itself.
func (s *sharer) drop(ctx context.Context, name string) {
	if epoch := s.epochs[name]; epoch != 0 {
		_ = s.srv.seq.DropLease(ctx, name, s.holder(), epoch)
	}
}
