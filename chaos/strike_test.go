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

// stormTerms is more elections than one fault explains, on a machine that does other things too.
const stormTerms = 20

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
		if after[g] > before[g]+stormTerms {
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
		cut(c.t, c.nodes[victim], d, c.others(victim)...)
		time.Sleep(howLong) // the fault itself
		if heal(c.t, c.nodes[victim]) == 0 {
			c.t.Error("no packet was dropped: the fault did not happen")
		}
	}
}

// sample is the strike of every run of the tests.
const sample = "^kill -9 leader$"

// strikes are the faults, in the order in which they are run.
func strikes() []strike {
	const victim = 0
	return []strike{
		{"none", nobody, false, false, func(c *cluster, l *load, _ int) { l.awaitAll(20) }},
		{"kill -9 leader", victim, true, true, kill9},
		{"kill -9 follower", 2, false, false, kill9},
		{"kill -9 all", everyone, true, true, kill9All},
		{"pause leader 1 s", victim, true, false, pause(time.Second)},
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
	rounds = flag.Int("rounds", 0, "how often each strike is run; 0 is once, and 10 times where all is run")
)

const allRounds = 10

// TestFaults runs the faults of the list on one cluster under load.
func TestFaults(t *testing.T) {
	needs(t, "")
	chosen, times := *only, max(*rounds, 1)
	switch mode := os.Getenv(modeEnv); {
	case mode == "" && chosen == "":
		chosen = sample
	case mode == modeAll && *rounds == 0:
		times = allRounds
	}
	wanted := regexp.MustCompile(chosen)
	c := start(t, setup{nodes: 3, groups: 4})
	l := startLoad(c)
	for range times {
		for _, s := range strikes() {
			if wanted.MatchString(s.name) {
				s.run(c, l)
			}
		}
	}
}
