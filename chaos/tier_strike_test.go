//go:build linux

package chaos

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"
)

// blow is one fault of the delivery tier under a talking crowd: what strike is to a quorum. inflict does the harm to the victims, proves
// that it was done, and mends it.
type blow struct {
	name    string
	short   bool // a part of make chaos-short
	victims int  // the first delivery nodes, so many
	leader  int  // the sequencer that leads all groups; nobody: all lead their share
	inflict func(d *tier, victims []*node)
}

// run strikes, waits until all is well, checks everything, and notes for how long users were shown nothing.
func (b blow) run(d *tier) {
	d.t.Helper()
	if b.leader == nobody {
		d.spread()
	} else {
		d.lead(b.leader)
	}
	d.awaitHome()
	d.awaitTalk()
	victims := d.edges[:b.victims]
	hit := d.at(victims, true)
	if len(victims) > 0 && len(hit) == 0 {
		d.t.Fatalf("%s: nobody is at the victim: the fault would show nothing", b.name)
	}
	from := d.now()
	b.inflict(d, victims)
	d.awaitShown(5, d.at(nil, false))
	d.noteGaps(b.name, hit, from)
	d.verify()
}

// noteGaps adds a run that began at a time to the table.
func (d *tier) noteGaps(name string, hit []string, from time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	row := shownGaps.row(name)
	row.runs++
	isHit := map[string]bool{}
	for _, user := range hit {
		isHit[user] = true
	}
	for user, shown := range d.shown {
		gap, _ := longestGap(shown, from, d.now())
		if isHit[user] {
			row.hit = append(row.hit, gap)
		} else {
			row.others = append(row.others, gap)
		}
		d.shown[user] = shown[max(0, len(shown)-100):]
	}
}

// killEdges kills the victims and starts them again once their users are served by others.
func killEdges(d *tier, victims []*node) {
	d.t.Helper()
	for _, n := range victims {
		n.signal(d.t, syscall.SIGKILL)
	}
	for _, n := range victims {
		<-n.done
	}
	if len(victims) < len(d.edges) {
		d.awaitShown(5, d.at(nil, false))
		if left := d.at(victims, true); len(left) > 0 {
			d.t.Errorf("%v are at nodes that are dead: the fault did not happen", left)
		}
	}
	for _, n := range victims {
		n.start(d.t)
	}
	for _, n := range victims {
		n.awaitReady(d.t)
	}
}

// pauseEdges stops the victims for a while. Those at other nodes must be served meanwhile, if it is long enough for hubs to be relieved.
func pauseEdges(howLong time.Duration) func(*tier, []*node) {
	return func(d *tier, victims []*node) {
		d.t.Helper()
		for _, n := range victims {
			n.signal(d.t, syscall.SIGSTOP)
		}
		time.Sleep(howLong) // the fault itself
		for _, n := range victims {
			if !n.stopped() {
				d.t.Errorf("%s was not stopped: the fault did not happen", n.id)
			}
		}
		if howLong >= relief && len(victims) < len(d.edges) {
			d.awaitShown(1, d.at(victims, false))
		}
		for _, n := range victims {
			n.signal(d.t, syscall.SIGCONT)
		}
	}
}

// relief is when hubs must have taken over from one that is lost, so that the test may wait for it before the fault is mended.
const relief = 4 * time.Second

// stopped tells whether the process is stopped, as the kernel has it.
func (n *node) stopped() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.pid()))
	return err == nil && bytes.Contains(stat, []byte(") T "))
}

// edgesApart cuts the victims off from hosts, for at least a while, and until those who must be served have been: the users at other
// nodes, or all.
func edgesApart(from func(d *tier, victim *node) []string, dir direction, howLong time.Duration, all bool) func(*tier, []*node) {
	return func(d *tier, victims []*node) {
		d.t.Helper()
		for _, n := range victims {
			cut(d.t, n, dir, from(d, n)...)
		}
		time.Sleep(howLong) // the fault itself
		served := d.at(victims, false)
		if all {
			served = d.at(nil, false)
		}
		if howLong >= relief {
			d.awaitShown(1, served)
		}
		for _, n := range victims {
			if heal(d.t, n) == 0 {
				d.t.Errorf("%s: no packet was dropped: the fault did not happen", n.id)
			}
		}
	}
}

// sequencers are all of them.
func sequencers(d *tier, _ *node) (ips []string) {
	for _, n := range d.nodes {
		ips = append(ips, n.ip)
	}
	return ips
}

// firstSequencer is the one that leads all groups where a blow says so.
func firstSequencer(d *tier, _ *node) []string { return []string{d.nodes[0].ip} }

// otherEdges are the delivery nodes but for the victim.
func otherEdges(d *tier, victim *node) (ips []string) {
	for _, n := range d.edges {
		if n != victim {
			ips = append(ips, n.ip)
		}
	}
	return ips
}

// everything is all nodes but the victim, and not its clients.
func everything(d *tier, victim *node) []string {
	return append(sequencers(d, victim), otherEdges(d, victim)...)
}

// clients are where the crowd is.
func clients(*tier, *node) []string { return []string{clientIP} }

// killLeader kills the sequencer that leads all groups and starts it again once everybody is served.
func killLeader(d *tier, _ []*node) {
	d.t.Helper()
	leader := d.nodes[0]
	leader.kill()
	d.awaitShown(5, d.at(nil, false))
	leader.start(d.t)
	d.awaitCaughtUp(leader.i)
}

// blowSample is the blow of every run of the tests.
const blowSample = "^kill -9 edge$"

// blows are the faults, in the order in which they are run.
func blows() []blow {
	const long = 5 * time.Second
	return []blow{
		{"no fault, edges", true, 0, nobody, func(d *tier, _ []*node) { d.awaitShown(20, d.at(nil, false)) }},
		{"kill -9 edge", true, 1, nobody, killEdges},
		{"kill -9 two edges of three", false, 2, nobody, killEdges},
		{"kill -9 all edges", true, 3, nobody, killEdges},
		{"kill -9 leader behind edges", true, 0, 0, killLeader},
		{"pause edge 1 s", false, 1, nobody, pauseEdges(time.Second)},
		{"pause edge 5 s", true, 1, nobody, pauseEdges(5 * time.Second)},
		{"pause all edges 2 s", false, 3, nobody, pauseEdges(2 * time.Second)},
		{"edge isolated from sequencers", true, 1, nobody, edgesApart(sequencers, isolated, long, false)},
		{"edge deaf to sequencers", false, 1, nobody, edgesApart(sequencers, deaf, long, false)},
		{"edge mute to sequencers", false, 1, nobody, edgesApart(sequencers, mute, long, false)},
		{"all edges isolated from sequencers 2 s", false, 3, nobody, edgesApart(sequencers, isolated, 2*time.Second, false)},
		{"edge isolated from the leaders", true, 1, 0, edgesApart(firstSequencer, isolated, long, false)},
		{"edge deaf to the leaders", false, 1, 0, edgesApart(firstSequencer, deaf, long, false)},
		{"hub isolated from the others", true, 1, nobody, edgesApart(otherEdges, isolated, long, true)},
		{"hub deaf to the others", true, 1, nobody, edgesApart(otherEdges, deaf, long, true)},
		{"hub mute to the others", false, 1, nobody, edgesApart(otherEdges, mute, long, true)},
		{"all hubs apart", false, 2, nobody, edgesApart(otherEdges, isolated, long, true)},
		{"edge isolated from all nodes", false, 1, nobody, edgesApart(everything, isolated, long, false)},
		{"edge isolated from its clients", true, 1, nobody, edgesApart(clients, isolated, long, false)},
		{"edge mute to its clients", false, 1, nobody, edgesApart(clients, mute, long, false)},
	}
}

// TestEdgeFaults runs the faults of the list on one cluster whose delivery nodes serve a talking crowd, and then checks the check.
func TestEdgeFaults(t *testing.T) {
	needs(t, "")
	chosen, times, mode := *only, max(*rounds, 1), os.Getenv(modeEnv)
	if mode == "" && chosen == "" {
		chosen = blowSample
	}
	if mode == modeAll && *rounds == 0 {
		times = edgeRounds
	}
	wanted := regexp.MustCompile(chosen)
	run := slices.DeleteFunc(blows(), func(b blow) bool {
		return !wanted.MatchString(b.name) || mode == modeShort && *only == "" && !b.short
	})
	if len(run) == 0 {
		t.Skipf("no fault of edges is called %q", chosen)
	}
	d := startTier(t, setup{nodes: 3, groups: 2 * maxEdges}, maxEdges)
	d.watchMarks()
	for range times {
		for _, b := range run {
			began := time.Now()
			b.run(d)
			acked, _ := d.crowd.Record.Acks()
			t.Logf("%s: %v, checked with %d messages over %d connections", b.name, time.Since(began).Round(time.Second/10), acked,
				d.crowd.Audience.Connections())
		}
	}
	d.checkTheCheck(t)
}

// edgeRounds is how often each is run where all is.
const edgeRounds = 3
