package follow

import (
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// Sightings tell which leases go on. Whether one does is told by whether it changes, and by this machine's clock alone: those of the nodes may
// be far apart.
type Sightings struct{ seen map[string]sighting }

// sighting is a lease as it was seen to change last.
type sighting struct {
	until wire.Millis
	at    time.Time
}

// Alive gives the leases that have been prolonged within term, or that are seen for the first time, and those of holders that are known
// otherwise to be there: when the meta group has no leader for a while, nobody can prolong anything.
func (s *Sightings) Alive(held []wire.HeldLease, now time.Time, term time.Duration, known func(holder string) bool) (alive []wire.Lease) {
	seen := make(map[string]sighting, len(held))
	for _, l := range held {
		at, before := s.seen[l.Name]
		if !before || at.until != l.Until {
			at = sighting{l.Until, now}
		}
		seen[l.Name] = at
		if now.Sub(at.at) <= term || known(l.Holder) {
			alive = append(alive, l.Lease)
		}
	}
	s.seen = seen
	return alive
}

// FairShare says which groups a node is to have: those it has and those that nobody has, up to its share, rounded up, and which it is to give
// back.
func FairShare(self string, others []string, holders map[wire.GroupID]string, groups int) (keep, drop []wire.GroupID) {
	share := (groups + len(others)) / (len(others) + 1)
	for g := range groups {
		if holders[wire.GroupID(g)] == self {
			keep = append(keep, wire.GroupID(g))
		}
	}
	if len(keep) > share {
		return keep[:share], keep[share:]
	}
	for g := range groups {
		if len(keep) < share && holders[wire.GroupID(g)] == "" {
			keep = append(keep, wire.GroupID(g))
		}
	}
	return keep, nil
}
