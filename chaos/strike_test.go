//go:build linux

package chaos

import (
	"flag"
	"os"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// strike is one fault under load. inflict does the harm, proves that it was done, and mends it. The groups that the
// victim leads are hit, those of the others are not; everyone stands for all nodes, and nobody for none.
type strike struct {
	name    string
	victim  int
	leads   bool // the victim leads its share; else it leads nothing
	moves   bool // the groups that are hit must get another leader
	inflict func(c *cluster, l *load, victim int)
}

const (
	everyone = -1
	nobody   = -2
)

// run strikes, waits until all is well, checks everything, and notes the write gaps.
func (s strike) run(c *cluster, l *load) {
	c.t.Helper()
	c.placeLeaders(s)
	l.awaitRate()
	at, before := c.leaders()
	from, refused := l.now(), l.refused()
	s.inflict(c, l, s.victim)
	l.awaitAll(5)
	to := l.now()
	_, after := c.leaders()
	for i := range c.nodes {
		c.awaitCaughtUp(i)
	}
	row := rowOf(s.name)
	row.refused += l.refused() - refused
	hit := func(g int) bool { return s.victim == everyone || at[g] == s.victim }
	row.note(c, l, from, hit)
	for g := range at {
		gap, began := l.gap(g, from, to)
		if hit(g) && s.moves && after[g] <= before[g] {
			c.t.Errorf("%s: group %d was hit and has no new term: the fault did not happen", s.name, g)
		}
		if after[g] > before[g]+5 {
			c.t.Errorf("%s: group %d went from term %d to %d: an election storm", s.name, g, before[g], after[g])
		}
		c.t.Logf("%s: group %d (hit %v) stood still for %v from %v on, terms %d -> %d", s.name, g, hit(g),
			gap.Round(time.Millisecond), (began - from).Round(time.Millisecond), before[g], after[g])
	}
	c.verify(l)
	l.resume()
	if c.t.Failed() {
		c.t.FailNow() // what follows would only say so again
	}
}

func (c *cluster) placeLeaders(s strike) {
	c.t.Helper()
	if s.victim < 0 || s.leads {
		c.spread()
		return
	}
	var by []int
	for i := range c.nodes {
		if i != s.victim {
			by = append(by, i)
		}
	}
	c.lead(by...)
}

// kill9 kills the victim and starts it again once the others have taken over.
func kill9(c *cluster, l *load, victim int) {
	c.t.Helper()
	c.nodes[victim].kill()
	l.awaitAll(5)
	c.nodes[victim].start(c.t)
}

// kill9All kills all nodes at once and starts them again, the last one first.
func kill9All(c *cluster, _ *load, _ int) {
	c.t.Helper()
	for _, n := range c.nodes {
		n.signal(c.t, syscall.SIGKILL)
	}
	for _, n := range c.nodes {
		<-n.done
	}
	for i := range c.nodes {
		c.nodes[len(c.nodes)-1-i].start(c.t)
	}
}

// pause stops the victim's process, or all, for a while.
func pause(d time.Duration) func(*cluster, *load, int) {
	return func(c *cluster, _ *load, victim int) {
		c.t.Helper()
		var stopped []*node
		for _, n := range c.nodes {
			if n.i == victim || victim == everyone {
				n.signal(c.t, syscall.SIGSTOP)
				stopped = append(stopped, n)
			}
		}
		time.Sleep(d) // the fault itself
		for _, n := range stopped {
			n.signal(c.t, syscall.SIGCONT)
		}
	}
}

// apart cuts the victim off from the other nodes, not from the clients, for a while, and says in which direction.
func apart(d direction, howLong time.Duration) func(*cluster, *load, int) {
	return func(c *cluster, _ *load, victim int) {
		c.t.Helper()
		cut(c.t, victim, d, c.others(victim)...)
		time.Sleep(howLong) // the fault itself
		if heal(c.t, victim) == 0 {
			c.t.Error("no packet was dropped: the fault did not happen")
		}
	}
}

// strikes are the faults of FAULTS rows 1-3, 7-13, in the order in which they are run.
func strikes() []strike {
	const victim = 0
	return []strike{
		{"none", nobody, false, false, func(c *cluster, l *load, _ int) { l.awaitAll(20) }},
		{"kill -9 leader", victim, true, true, kill9},
		{"kill -9 follower", 2, false, false, kill9},
		{"kill -9 all", everyone, true, true, kill9All},
		{"pause leader 1 s", victim, true, true, pause(time.Second)},
		{"pause leader 5 s", victim, true, true, pause(5 * time.Second)},
		{"pause follower 5 s", 2, false, false, pause(5 * time.Second)},
		{"pause all 2 s", everyone, true, false, pause(2 * time.Second)},
		{"leader isolated 4 s", victim, true, true, apart(isolated, 4*time.Second)},
		{"leader deaf 4 s", victim, true, true, apart(deaf, 4*time.Second)},
		{"leader mute 4 s", victim, true, true, apart(mute, 4*time.Second)},
		{"follower isolated 4 s", 2, false, false, apart(isolated, 4*time.Second)},
	}
}

var (
	only   = flag.String("strike", "", "run only the strikes whose name matches this expression")
	rounds = flag.Int("rounds", 0, "how often each strike is run; 0 is once, and 10 times in all")
)

// TestFaults runs every fault of the list on one cluster under load.
func TestFaults(t *testing.T) {
	needs(t, modeShort)
	c := start(t, setup{nodes: 3, groups: 4})
	l := startLoad(c)
	chosen := regexp.MustCompile(*only)
	times := *rounds
	if times == 0 {
		times = 1
		if os.Getenv(modeEnv) == modeAll {
			times = 10
		}
	}
	for range times {
		for _, s := range strikes() {
			if chosen.MatchString(s.name) {
				s.run(c, l)
			}
		}
	}
}
