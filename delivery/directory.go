package delivery

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/quorate/quorate/delivery/relay"
)

// directory knows at which other edges of the region each user is, as those have told, and what this hub has told others of how present he
// is. A hub knows every user of its region, so a user costs it an id and 4 bytes in a map, and no object of his own while he is at one
// edge. It is safe for concurrent use.
type directory struct {
	seed   maphash.Seed
	total  atomic.Int64 // users, each counted at each of his edges
	shards [64]directoryShard

	mu    sync.Mutex
	edges atomic.Pointer[[]*remoteEdge] // by number; nil where a number is free. The slice is never changed, only replaced, under mu
}

type directoryShard struct {
	mu    sync.RWMutex
	users map[string]whereabouts
	more  map[string][]spot // of users who are at several edges
}

// whereabouts are where a user is, and what others have been told. There are none of a user who is nowhere and offline to others.
type whereabouts struct {
	at   spot
	told relay.Status
}

// spot is an edge by its number, and how present a user is there: the number above, the status in the two lowest bits.
type spot uint16

const (
	nowhere  spot = 0 // no edge has the number 0
	several  spot = 1<<16 - 1
	maxSpots      = int(several>>2) - 1
)

func newSpot(e *remoteEdge, s relay.Status) spot { return spot(e.number)<<2 | spot(s) }

func (p spot) edge() uint16         { return uint16(p >> 2) }
func (p spot) status() relay.Status { return relay.Status(p & 3) }

func newDirectory() *directory {
	d := &directory{seed: maphash.MakeSeed()}
	d.edges.Store(&[]*remoteEdge{nil})
	for i := range d.shards {
		d.shards[i].users, d.shards[i].more = map[string]whereabouts{}, map[string][]spot{}
	}
	return d
}

func (d *directory) shard(user string) *directoryShard {
	return &d.shards[maphash.String(d.seed, user)%uint64(len(d.shards))]
}

// enter gives an edge its number. It is false where there are too many.
func (d *directory) enter(e *remoteEdge) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	edges := slices.Clone(*d.edges.Load())
	n := 1
	for n < len(edges) && edges[n] != nil {
		n++
	}
	if n > maxSpots {
		return false
	}
	if n == len(edges) {
		edges = append(edges, nil)
	}
	edges[n], e.number = e, uint16(n)
	d.edges.Store(&edges)
	return true
}

// leave takes the number of an edge back, which has no users any more.
func (d *directory) leave(e *remoteEdge) {
	d.mu.Lock()
	defer d.mu.Unlock()
	edges := slices.Clone(*d.edges.Load())
	edges[e.number] = nil
	d.edges.Store(&edges)
}

// at appends the edges where a user is.
func (d *directory) at(dst []*remoteEdge, user string) []*remoteEdge {
	if d.total.Load() == 0 {
		return dst
	}
	shard := d.shard(user)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	edges := *d.edges.Load()
	shard.each(user, func(p spot) { dst = append(dst, edges[p.edge()]) })
	return dst
}

// anywhere tells whether a user is at any edge.
func (d *directory) anywhere(user string) bool {
	shard := d.shard(user)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	return shard.users[user].at != nowhere
}

// status returns how present the user is at the edge where he is most.
func (d *directory) status(user string) (s relay.Status) {
	shard := d.shard(user)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	shard.each(user, func(p spot) { s = max(s, p.status()) })
	return s
}

// told returns what others have been told of a user.
func (d *directory) told(user string) relay.Status {
	shard := d.shard(user)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	return shard.users[user].told
}

// tell notes what others are told of a user.
func (d *directory) tell(user string, s relay.Status) {
	shard := d.shard(user)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	w := shard.users[user]
	w.told = s
	shard.put(user, w)
}

// count is the number of users, each counted at each of his edges.
func (d *directory) count() int { return int(d.total.Load()) }

// set notes how present a user is at an edge.
func (d *directory) set(e *remoteEdge, user string, s relay.Status) {
	shard := d.shard(user)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	var spots []spot
	shard.each(user, func(p spot) {
		if p.edge() != e.number {
			spots = append(spots, p)
		}
	})
	if was := shard.spots(user); was > len(spots) {
		d.total.Add(-1)
	}
	if s != relay.Offline {
		spots = append(spots, newSpot(e, s))
		d.total.Add(1)
	}
	shard.place(user, spots)
}

// drop forgets who is at an edge, and returns those users.
func (d *directory) drop(e *remoteEdge) (users []string) {
	for i := range d.shards {
		shard := &d.shards[i]
		shard.mu.RLock()
		for user, w := range shard.users {
			if w.at.edge() == e.number || w.at == several && slices.ContainsFunc(shard.more[user], func(p spot) bool { return p.edge() == e.number }) {
				users = append(users, user)
			}
		}
		shard.mu.RUnlock()
	}
	for _, user := range users {
		d.set(e, user, relay.Offline)
	}
	return users
}

// each visits a user's edges. Called with mu held, as all that follow.
func (s *directoryShard) each(user string, visit func(spot)) {
	switch at := s.users[user].at; at {
	case nowhere:
	case several:
		for _, p := range s.more[user] {
			visit(p)
		}
	default:
		visit(at)
	}
}

// spots is at how many edges a user is.
func (s *directoryShard) spots(user string) int {
	switch s.users[user].at {
	case nowhere:
		return 0
	case several:
		return len(s.more[user])
	}
	return 1
}

// place notes where a user is.
func (s *directoryShard) place(user string, spots []spot) {
	w := s.users[user]
	delete(s.more, user)
	switch len(spots) {
	case 0:
		w.at = nowhere
	case 1:
		w.at = spots[0]
	default:
		w.at = several
		s.more[user] = spots
	}
	s.put(user, w)
}

func (s *directoryShard) put(user string, w whereabouts) {
	if w == (whereabouts{}) {
		delete(s.users, user)
		return
	}
	s.users[user] = w
}
