//go:build linux

package chaos

import (
	"flag"
	"testing"
	"time"
)

var (
	timings = flag.String("timing", "", "heartbeat/election/lease for TestFailover alone, such as 300ms/300ms/200ms; default: the list")
	kills   = flag.Int("kills", 30, "how many leaders TestFailover kills with each timing")
)

// timing is a choice of Raft's timeouts; the zero value is the default of the binary.
type timing struct{ heartbeat, election, lease time.Duration }

func (w timing) flags() []string {
	if w == (timing{}) {
		return nil
	}
	return []string{
		"--heartbeat-timeout", w.heartbeat.String(), "--election-timeout", w.election.String(), "--lease-timeout", w.lease.String(),
	}
}

func (w timing) String() string {
	if w == (timing{}) {
		return "default timing"
	}
	return w.heartbeat.String() + "/" + w.election.String() + "/" + w.lease.String()
}

const ms = time.Millisecond

// candidates are the timings that were weighed for the default.
var candidates = []timing{{}, {300 * ms, 300 * ms, 200 * ms}, {200 * ms, 200 * ms, 150 * ms}, {500 * ms, 500 * ms, 300 * ms}}

func chosenTimings(t *testing.T) []timing {
	t.Helper()
	if *timings == "" {
		return candidates
	}
	w, err := parseTiming(*timings)
	if err != nil {
		t.Fatal(err)
	}
	return []timing{w}
}

// TestFailover kills leaders under load, with several timings. It measures how long until another node serves each of
// their groups, and how long no message of the group was acknowledged: the difference is the client's.
func TestFailover(t *testing.T) {
	needs(t, modeAll)
	for _, w := range chosenTimings(t) {
		t.Run(w.String(), func(t *testing.T) { failover(t, w) })
	}
}

func failover(t *testing.T, w timing) {
	c := start(t, setup{nodes: 3, groups: 4, flags: w.flags()})
	l := startLoad(c)
	killed, served := rowOf("kill -9 leader, "+w.String()), rowOf("the same, until another node serves")
	for n := range *kills {
		c.spread()
		l.awaitRate()
		victim := c.nodes[n%len(c.nodes)]
		at, _ := c.leaders()
		from, began := l.now(), time.Now()
		victim.kill()
		for g, i := range at {
			if i == victim.i {
				await(t, "another leader", func() bool { now, _ := c.leaders(); return now[g] >= 0 && now[g] != i })
				served.hit = append(served.hit, time.Since(began))
			}
		}
		l.awaitAll(5)
		victim.start(t)
		c.awaitCaughtUp(victim.i)
		l.awaitAll(5)
		killed.note(c, l, from, func(g int) bool { return at[g] == victim.i })
	}
	served.runs = killed.runs
	served.fault += ", " + w.String()
	c.verify(l)
}

// TestTransfer hands groups over under load.
func TestTransfer(t *testing.T) {
	needs(t, modeShort)
	c := start(t, setup{nodes: 3, groups: 2})
	l := startLoad(c)
	row := rowOf("transfer of leadership")
	for n := range 20 {
		l.awaitRate()
		at := c.awaitLeaders()
		group := n % c.setup.groups
		to := (at[group] + 1 + n%2) % len(c.nodes)
		from, refused := l.now(), l.refused()
		if err := c.transfer(group, at[group], to); err != nil {
			t.Errorf("transfer of group %d from %s to %s: %v", group, c.nodes[at[group]].id, c.nodes[to].id, err)
		}
		l.awaitAll(5)
		row.note(c, l, from, func(g int) bool { return g == group })
		row.refused += l.refused() - refused
	}
	if row.refused > 0 {
		t.Errorf("%d calls came back without an ack: a transfer must be hidden by the client's own retries", row.refused)
	}
	c.verify(l)
}
