package delivery

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/quorate/quorate/delivery/relay"
)

// registry knows which sessions each user has on this edge. It is safe for concurrent use; the slices it returns are never
// changed afterwards, so that a feed reader can walk over them without a lock.
type registry struct {
	perUser int
	changed func(user string) // is called when a user is more or less present than before; under the lock of his shard
	seed    maphash.Seed
	total   atomic.Int64
	shards  [64]registryShard
}

type registryShard struct {
	mu    sync.RWMutex
	users map[string]presentUser
}

// presentUser is a user with sessions here.
type presentUser struct {
	sessions []*session // in the order in which they came
	away     bool       // on all of them
}

func (u presentUser) status() relay.Status {
	switch {
	case len(u.sessions) == 0:
		return relay.Offline
	case u.away:
		return relay.Away
	}
	return relay.Online
}

func newRegistry(perUser int, changed func(user string)) *registry {
	r := &registry{perUser: perUser, changed: changed, seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].users = map[string]presentUser{}
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
	have := shard.users[s.user].sessions
	kept := make([]*session, 0, len(have)+1)
	for _, old := range have {
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
	r.put(shard, s.user, append(kept, s))
	r.total.Add(1 - int64(len(replaced)))
	return replaced
}

// remove forgets s. It may be called again, and for a session that was replaced.
func (r *registry) remove(s *session) {
	shard := r.shard(s.user)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	have := shard.users[s.user].sessions
	i := slices.Index(have, s)
	if i < 0 {
		return
	}
	r.total.Add(-1)
	kept := make([]*session, 0, len(have)-1)
	r.put(shard, s.user, append(append(kept, have[:i]...), have[i+1:]...))
}

// put sets the sessions of a user, and tells where that changes how present he is. Called with the shard's lock held.
func (r *registry) put(shard *registryShard, user string, sessions []*session) {
	was := shard.users[user].status()
	now := presentUser{sessions: sessions, away: !slices.ContainsFunc(sessions, func(s *session) bool { return !s.away.Load() })}
	if len(sessions) == 0 {
		delete(shard.users, user)
	} else {
		shard.users[user] = now
	}
	if now.status() != was {
		r.changed(user)
	}
}

// presence notes that one of a user's sessions is away, or back.
func (r *registry) presence(user string) {
	shard := r.shard(user)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	r.put(shard, user, shard.users[user].sessions)
}

// status returns how present a user is here.
func (r *registry) status(user string) relay.Status {
	shard := r.shard(user)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	return shard.users[user].status()
}

// present lists the users here.
func (r *registry) present() []relay.User {
	out := make([]relay.User, 0, r.count())
	for i := range r.shards {
		shard := &r.shards[i]
		shard.mu.RLock()
		for user, u := range shard.users {
			out = append(out, relay.User{ID: user, Status: u.status()})
		}
		shard.mu.RUnlock()
	}
	return out
}

// sessions returns the user's sessions on this edge.
func (r *registry) sessions(user string) []*session {
	shard := r.shard(user)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	return shard.users[user].sessions
}

// count returns the number of registered sessions.
func (r *registry) count() int { return int(r.total.Load()) }

// all returns every registered session at some time during the call.
func (r *registry) all() []*session {
	out := make([]*session, 0, r.count())
	for i := range r.shards {
		shard := &r.shards[i]
		shard.mu.RLock()
		for _, u := range shard.users {
			out = append(out, u.sessions...)
		}
		shard.mu.RUnlock()
	}
	return out
}
