package delivery

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/quorate/quorate/delivery/relay"
)

// directory knows at which other edges of the region each user is, as those have told. It is safe for concurrent use; the slices
// that edges returns are never changed afterwards.
type directory struct {
	seed   maphash.Seed
	total  atomic.Int64 // users, each counted at each of his edges
	shards [64]directoryShard
}

type directoryShard struct {
	mu    sync.RWMutex
	users map[string]whereabouts
}

// whereabouts are a user's edges, and how present he is at each.
type whereabouts struct {
	edges    []*remoteEdge
	statuses []relay.Status
}

func newDirectory() *directory {
	d := &directory{seed: maphash.MakeSeed()}
	for i := range d.shards {
		d.shards[i].users = map[string]whereabouts{}
	}
	return d
}

func (d *directory) shard(user string) *directoryShard {
	return &d.shards[maphash.String(d.seed, user)%uint64(len(d.shards))]
}

// edges returns the edges where the user is.
func (d *directory) edges(user string) []*remoteEdge {
	if d.total.Load() == 0 {
		return nil
	}
	shard := d.shard(user)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	return shard.users[user].edges
}

// status returns how present the user is at the edge where he is most.
func (d *directory) status(user string) (s relay.Status) {
	shard := d.shard(user)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	for _, at := range shard.users[user].statuses {
		s = max(s, at)
	}
	return s
}

func (d *directory) count() int { return int(d.total.Load()) }

// set notes how present a user is at an edge.
func (d *directory) set(e *remoteEdge, user string, s relay.Status) {
	shard := d.shard(user)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	have := shard.users[user]
	i := slices.Index(have.edges, e)
	next := whereabouts{slices.Clone(have.edges), slices.Clone(have.statuses)}
	switch {
	case i < 0 && s == relay.Offline:
		return
	case i < 0:
		next.edges, next.statuses = append(next.edges, e), append(next.statuses, s)
		d.total.Add(1)
	case s == relay.Offline:
		next.edges, next.statuses = slices.Delete(next.edges, i, i+1), slices.Delete(next.statuses, i, i+1)
		d.total.Add(-1)
	default:
		next.statuses[i] = s
	}
	if len(next.edges) == 0 {
		delete(shard.users, user)
		return
	}
	shard.users[user] = next
}

// drop forgets an edge, and returns the users it had.
func (d *directory) drop(e *remoteEdge) (users []string) {
	for i := range d.shards {
		shard := &d.shards[i]
		shard.mu.RLock()
		for user, have := range shard.users {
			if slices.Contains(have.edges, e) {
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
