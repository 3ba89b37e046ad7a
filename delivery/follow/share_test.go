package follow

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

// TestFairShare_SettlesAndStays plays rounds of hubs that come and go: after a few every group has one holder, no hub has more than its
// share, and nothing moves any more.
func TestFairShare_SettlesAndStays(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		groups := 1 + rng.IntN(32)
		holders, hubs := map[wire.GroupID]string{}, []string{}
		for step := range 6 {
			if len(hubs) > 1 && rng.IntN(2) == 0 {
				gone := hubs[0]
				hubs = hubs[1:]
				for g, h := range holders {
					if h == gone {
						delete(holders, g)
					}
				}
			} else {
				hubs = append(hubs, fmt.Sprintf("h%d", step))
			}
			for range 3 {
				playRound(rng, hubs, holders, groups)
			}
			if moved := playRound(rng, hubs, holders, groups); moved > 0 {
				t.Fatalf("%d groups, %d hubs: %d leases move though all are shared out", groups, len(hubs), moved)
			}
			checkShares(t, hubs, holders, groups)
		}
	}
}

// playRound lets each hub act once on what it sees, in any order, and counts what changed hands.
func playRound(rng *rand.Rand, hubs []string, holders map[wire.GroupID]string, groups int) (moved int) {
	for _, i := range rng.Perm(len(hubs)) {
		var others []string
		for _, h := range hubs {
			if h != hubs[i] {
				others = append(others, h)
			}
		}
		keep, drop := FairShare(hubs[i], others, holders, groups)
		for _, g := range keep {
			if holders[g] == "" {
				holders[g] = hubs[i]
				moved++
			}
		}
		for _, g := range drop {
			delete(holders, g)
			moved++
		}
	}
	return moved
}

func checkShares(t *testing.T, hubs []string, holders map[wire.GroupID]string, groups int) {
	t.Helper()
	count := map[string]int{}
	for g := range groups {
		h := holders[wire.GroupID(g)]
		if h == "" {
			t.Fatalf("%d groups, %d hubs: nobody reads group %d", groups, len(hubs), g)
		}
		count[h]++
	}
	for h, n := range count {
		if most := (groups + len(hubs) - 1) / len(hubs); n > most {
			t.Fatalf("%d groups, %d hubs: %s has %d", groups, len(hubs), h, n)
		}
	}
}
