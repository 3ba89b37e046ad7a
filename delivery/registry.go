package delivery

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
)

// registry knows which sessions each user has on this edge. It is safe for concurrent use; the slices it returns are never
// changed afterwards, so that a feed reader can walk over them without a lock.
type registry struct {
	perUser int
	seed    maphash.Seed
	total   atomic.Int64
	shards  [64]registryShard
}

type registryShard struct {
	mu    sync.RWMutex
	users map[string][]*session // in the order in which they came
}

func newRegistry(perUser int) *registry {
	r := &registry{perUser: perUser, seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].users = map[string][]*session{}
	}
	return r
}

func (r *registry) shard(user string) *registryShard {
	return &r.shards[maphash.String(r.seed, user)%uint64(len(r.shards))]
}

// add registers s, whose user and device must be set. It returns the sessions that have to go: one of the same device, and
// the oldest where the user has too many. They are no longer registered.
func (r *registry) add(s *session) (replaced []*session) {
	shard := r.shard(s.user)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	kept := make([]*session, 0, len(shard.users[s.user])+1)
	for _, old := range shard.users[s.user] {
		if s.device != "" && old.device == s.device {
			replaced = append(replaced, old)
		} else {
			kept = append(kept, old)
		}
	}
	for len(kept) >= r.perUser {
		replaced = append(replaced, kept[0])
		kept = kept[1:]
	}
	shard.users[s.user] = append(kept, s)
	r.total.Add(1 - int64(len(replaced)))
	return replaced
}

// remove forgets s. It may be called again, and for a session that was replaced.
func (r *registry) remove(s *session) {
	shard := r.shard(s.user)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	have := shard.users[s.user]
	i := slices.Index(have, s)
	if i < 0 {
		return
	}
	r.total.Add(-1)
	if len(have) == 1 {
		delete(shard.users, s.user)
		return
	}
	kept := make([]*session, 0, len(have)-1)
	shard.users[s.user] = append(append(kept, have[:i]...), have[i+1:]...)
}

// sessions returns the user's sessions on this edge.
func (r *registry) sessions(user string) []*session {
	shard := r.shard(user)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	return shard.users[user]
}

// count returns the number of registered sessions.
func (r *registry) count() int { return int(r.total.Load()) }

// all returns every registered session at some time during the call.
func (r *registry) all() []*session {
	out := make([]*session, 0, r.count())
	for i := range r.shards {
		shard := &r.shards[i]
		shard.mu.RLock()
		for _, list := range shard.users {
			out = append(out, list...)
		}
		shard.mu.RUnlock()
	}
	return out
}
