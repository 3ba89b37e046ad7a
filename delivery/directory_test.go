package delivery

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/quorate/quorate/delivery/relay"
)

// TestDirectory_AsPlainMapsWould compares it with maps of maps, over edges that come, go and come again.
func TestDirectory_AsPlainMapsWould(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	d := newDirectory()
	edges := map[*remoteEdge]map[string]relay.Status{}
	told := map[string]relay.Status{}
	users := make([]string, 40)
	for i := range users {
		users[i] = fmt.Sprintf("user-%d", i)
	}
	for range 20_000 {
		user := users[random.IntN(len(users))]
		all := slices.Collect(maps.Keys(edges))
		switch n := random.IntN(100); {
		case n < 2 && len(edges) < 9 || len(edges) == 0:
			e := &remoteEdge{}
			if !d.enter(e) {
				t.Fatal("no number for an edge")
			}
			edges[e] = map[string]relay.Status{}
		case n < 3:
			e := all[random.IntN(len(all))]
			gone := d.drop(e)
			d.leave(e)
			slices.Sort(gone)
			if want := slices.Sorted(maps.Keys(edges[e])); !slices.Equal(gone, want) {
				t.Fatalf("an edge had %v, dropped %v", want, gone)
			}
			delete(edges, e)
		case n < 10:
			told[user] = relay.Status(random.IntN(3))
			d.tell(user, told[user])
		default:
			e, s := all[random.IntN(len(all))], relay.Status(random.IntN(3))
			d.set(e, user, s)
			if edges[e][user] = s; s == relay.Offline {
				delete(edges[e], user)
			}
		}
		compareDirectory(t, d, user, edges, told)
	}
}

func compareDirectory(t *testing.T, d *directory, user string, edges map[*remoteEdge]map[string]relay.Status, told map[string]relay.Status) {
	t.Helper()
	var best relay.Status
	total, at := 0, d.at(nil, user)
	here := 0
	for e, have := range edges {
		total += len(have)
		s, there := have[user]
		if there != slices.Contains(at, e) {
			t.Fatalf("%s at edge %d: %v", user, e.number, !there)
		}
		if there {
			here++
		}
		best = max(best, s)
	}
	if len(at) != here || d.anywhere(user) != (here > 0) || d.status(user) != best || d.told(user) != told[user] || d.count() != total {
		t.Fatalf("%s: at %d edges, not %d; %v, not %v; told %v, not %v; %d in all, not %d", user, len(at), here, d.status(user), best,
			d.told(user), told[user], d.count(), total)
	}
}

// TestDirectory_ForgetsWhoIsNowhere has nothing left of users who were somewhere and told of.
func TestDirectory_ForgetsWhoIsNowhere(t *testing.T) {
	d, a, b := newDirectory(), &remoteEdge{}, &remoteEdge{}
	d.enter(a)
	d.enter(b)
	for i := range 1000 {
		user := fmt.Sprint(i)
		d.set(a, user, relay.Online)
		d.set(b, user, relay.Away)
		d.tell(user, relay.Online)
	}
	d.drop(a)
	d.drop(b)
	for i := range 1000 {
		d.tell(fmt.Sprint(i), relay.Offline)
	}
	for i := range d.shards {
		if s := &d.shards[i]; len(s.users)+len(s.more) > 0 {
			t.Fatalf("%d users and %d lists are left", len(s.users), len(s.more))
		}
	}
}

func TestDirectory_HasNumbersForSoManyEdges(t *testing.T) {
	d := newDirectory()
	for i := range maxSpots {
		if !d.enter(&remoteEdge{}) {
			t.Fatalf("edge %d has no number", i)
		}
	}
	if maxSpots < maxEdges {
		t.Errorf("numbers for %d edges, connections of %d", maxSpots, maxEdges)
	}
	if d.enter(&remoteEdge{}) {
		t.Error("an edge too many has a number")
	}
}

// BenchmarkDirectory tells what a user costs a hub, at one edge and at four.
func BenchmarkDirectory(b *testing.B) {
	for _, at := range []int{1, 4} {
		b.Run(fmt.Sprintf("edges=%d", at), func(b *testing.B) {
			for b.Loop() {
				const users = 200_000
				d, before := newDirectory(), heapBytes()
				for e := range at {
					edge := &remoteEdge{number: uint16(e + 1)}
					for i := range users {
						user := fmt.Sprintf("bench-%07d", i)
						d.set(edge, user, relay.Online)
						d.tell(user, relay.Online)
					}
				}
				b.ReportMetric(float64(heapBytes()-before)/users, "B/user")
				runtime.KeepAlive(d)
			}
		})
	}
}
