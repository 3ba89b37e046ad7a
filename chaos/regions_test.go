//go:build linux

package chaos

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/delivery/deliverytest"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

const (
	regionNodes   = 2               // delivery nodes of each
	regionText    = 100             // bytes of a message's text
	regionSends   = 200             // messages that are measured
	regionIdle    = 4 * time.Second // without any, before
	speakers      = 4               // in the first region, at 10 messages a second each
	regionReceipt = time.Second     // for the last receipts to be written and told
)

// farMembers are how many members of a chat are online in the second region.
var farMembers = []int{1, 10, 100}

// world is a cluster over several regions, its delivery nodes and borders.
type world struct {
	*cluster
	name      string
	borders   map[[2]int]*border
	edges     []*node // of all regions, in order
	listeners *deliverytest.Crowd
	speakers  map[int]*deliverytest.Crowd // by the number of far members of their chat

	mu   sync.Mutex
	took map[string][]time.Duration // from send to receipt, by region
}

// TestRegions measures what crosses the borders between three regions for each message, and when members in each get it. Sequencers are all in
// the first region, or one in each.
func TestRegions(t *testing.T) {
	needs(t, "")
	if os.Getenv(modeEnv) != modeRegions {
		t.Skip("runs alone; see make regions")
	}
	for _, place := range []struct {
		name string
		of   func(i int) host
	}{
		{"sequencers in a", func(i int) host { return regionHost(0, i) }},
		{"a sequencer in each", func(i int) host { return regionHost(i, 0) }},
	} {
		t.Run(place.name, func(t *testing.T) {
			w := openWorld(t, place.name, place.of)
			for _, reading := range []bool{false, true} {
				w.listeners.Read(reading)
				for _, far := range farMembers {
					w.measure(far, reading)
				}
			}
		})
	}
}

func openWorld(t *testing.T, name string, place func(int) host) *world {
	t.Helper()
	w := &world{
		name: name, borders: openRegions(t), listeners: deliverytest.NewCrowd(), speakers: map[int]*deliverytest.Crowd{},
		took: map[string][]time.Duration{},
	}
	slow := timing{500 * ms, 500 * ms, 300 * ms} // what is far answers late
	w.cluster = start(t, setup{nodes: 3, groups: 4, flags: slow.flags(), place: place, dial: dialFrom(regionNet(0))})
	w.lead(0)
	t.Cleanup(w.closeEdges)
	for r := range regions {
		for i := range regionNodes {
			n := &node{host: regionHost(r, 10+i), id: fmt.Sprintf("%s%d", regionName(r), i+1), i: len(w.edges)}
			n.argv = n.edgeArgs(w.addrs(), regionName(r))
			w.edges = append(w.edges, n)
			n.start(t)
		}
	}
	for _, n := range w.edges {
		n.awaitReady(t)
	}
	for r := range regions {
		awaitSharedOut(t, w.nodesOf(r), w.setup.groups)
	}
	w.gather()
	return w
}

func (w *world) closeEdges() {
	w.listeners.Leave()
	for _, crowd := range w.speakers {
		crowd.Leave()
	}
	for _, n := range w.edges {
		n.kill()
		if w.t.Failed() {
			n.keepLog(w.t)
		}
	}
}

func (w *world) nodesOf(r int) []*node { return w.edges[r*regionNodes:][:regionNodes] }

func regionChat(far int) string { return fmt.Sprintf("with-%d", far) }

// gather makes a chat for each number of far members: they, the speakers of the chat in the first region, and a listener in the first and in the
// third.
func (w *world) gather() {
	w.t.Helper()
	w.listeners.Shown = w.note
	everywhere := []*deliverytest.Talker{w.user(w.listeners, 0, "near"), w.user(w.listeners, 2, "third")}
	var far []*deliverytest.Talker
	for i := range slices.Max(farMembers) {
		far = append(far, w.user(w.listeners, 1, fmt.Sprintf("far-%d", i)))
	}
	for _, number := range farMembers {
		crowd := deliverytest.NewCrowd()
		crowd.Audience, crowd.Text = w.listeners.Audience, timedText
		w.speakers[number] = crowd
		members := append(slices.Clone(everywhere), far[:number]...)
		for i := range speakers {
			members = append(members, w.user(crowd, 0, fmt.Sprintf("speaker-%d-%d", number, i)))
		}
		var users []string
		for _, m := range members {
			m.Chats = append(m.Chats, regionChat(number))
			users = append(users, m.User)
		}
		sequencertest.MakeChats(w.t, w.client, users, regionChat(number))
	}
	w.listeners.Enter()
	for _, crowd := range w.speakers {
		crowd.Enter()
	}
	await(w.t, "all to be connected", func() bool {
		all := w.listeners.GoHome()
		for _, crowd := range w.speakers {
			all = crowd.GoHome() && all
		}
		return all
	})
}

// user adds one who is in a region, at one of its nodes.
func (w *world) user(c *deliverytest.Crowd, r int, name string) *deliverytest.Talker {
	user := regionName(r) + "-" + name
	t := &deliverytest.Talker{User: user, Token: "user:" + user, Home: len(c.Talkers) % regionNodes, Silent: c == w.listeners, Dial: dialFrom(regionNet(r))}
	for _, n := range w.nodesOf(r) {
		t.Edges = append(t.Edges, "http://"+n.edgeAddr())
	}
	return c.Add(t)
}

// timedText is a text that tells when it was sent.
func timedText(string, int) string {
	head := strconv.FormatInt(time.Now().UnixNano(), 10) + " "
	return head + strings.Repeat("x", regionText-len(head))
}

// note takes the time that a message took to a listener.
func (w *world) note(t *deliverytest.Talker, m wire.Message) {
	head, _, _ := strings.Cut(m.Text, " ")
	sent, err := strconv.ParseInt(head, 10, 64)
	if err != nil {
		w.listeners.Audience.Complain("%s was shown %q, which nobody sent", t.User, m.Text)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.took[t.User[:1]] = append(w.took[t.User[:1]], time.Since(time.Unix(0, sent)))
}

// crossed is what has crossed the border between the first region and the r-th, in both directions.
func (w *world) crossed(r int) (out, back crossing) {
	b := w.borders[[2]int{0, r}]
	return b.count[0].now(), b.count[1].now()
}

// measure has the speakers of one chat speak, checks that all are shown all, and prints what crossed the borders for each message.
func (w *world) measure(far int, reading bool) {
	w.t.Helper()
	crowd, chat := w.speakers[far], regionChat(far)
	time.Sleep(2 * regionReceipt) // what went before
	idle, began := w.crossings(), time.Now()
	time.Sleep(regionIdle)
	before, idleTook := w.crossings(), time.Since(began)
	w.mu.Lock()
	clear(w.took)
	w.mu.Unlock()

	began = time.Now()
	acked, _ := crowd.Record.Acks()
	crowd.Talk(true)
	await(w.t, "messages to be acknowledged", func() bool { now, _ := crowd.Record.Acks(); return now >= acked+regionSends })
	crowd.Talk(false)
	await(w.t, "all of them to be acknowledged", crowd.Quiet)
	log, err := sequencertest.ReadLog(w.t.Context(), w.client, chat)
	if err != nil {
		w.t.Fatal(err)
	}
	w.awaitShown(chat, log)
	time.Sleep(regionReceipt)
	after, took := w.crossings(), time.Since(began)
	sent, _ := crowd.Record.Acks()
	sent -= acked

	for i, r := range []int{1, 2} {
		var per, rest [2]crossing
		for way := range per {
			rest[way] = before[i][way].plus(idle[i][way], -1).per(idleTook.Seconds())
			per[way] = after[i][way].plus(before[i][way], -1).plus(rest[way], -took.Seconds()).per(float64(sent))
		}
		in, back := per[0], per[1]
		members := 1
		if r == 1 {
			members = far
		}
		borderTable.add(borderRow{w.name, r, members, reading, in, back, rest, w.spread(regionName(r)), w.spread(regionName(0))})
		if !reading && in.delivery()+back.delivery() > mostCopies*regionText {
			w.t.Errorf("%d bytes cross into region %s for a message of %d bytes to %d members", int(in.delivery()+back.delivery()),
				regionName(r), regionText, members)
		}
	}
}

// mostCopies bounds what crosses a border for a message without receipts, in lengths of its text: the message with its envelope, the asking for it, and
// the headers of their packets, and far from the hundred that one for each member would be.
const mostCopies = 20

// crossings is crossed for the second region and the third.
func (w *world) crossings() (all [2][2]crossing) {
	for i, r := range []int{1, 2} {
		all[i][0], all[i][1] = w.crossed(r)
	}
	return all
}

// awaitShown waits until all members were shown a chat's log, and checks that.
func (w *world) awaitShown(chat string, log []wire.Message) {
	w.t.Helper()
	audience := w.listeners.Audience
	var users []string
	for _, c := range []*deliverytest.Crowd{w.listeners, w.speakers[farOf(chat)]} {
		users = append(users, c.Members()[chat]...)
	}
	await(w.t, "all members to be shown all", func() bool {
		return !slices.ContainsFunc(users, func(user string) bool { return int(audience.Next(user, chat)) <= len(log) })
	})
	for _, user := range users {
		audience.Check(user, chat, log)
	}
	if err := w.speakers[farOf(chat)].Record.Check(chat, log); err != nil {
		w.t.Error(err)
	}
	for _, fault := range audience.Faults() {
		w.t.Error(fault)
	}
}

func farOf(chat string) int {
	number, _ := strconv.Atoi(strings.TrimPrefix(chat, "with-")) // it is one of ours
	return number
}

// spread gives the middle and the 99th percentile of the times in a region.
func (w *world) spread(region string) [2]time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	times := w.took[region]
	if len(times) == 0 {
		w.t.Errorf("nobody in region %s was shown anything", region)
		return [2]time.Duration{}
	}
	slices.Sort(times)
	return [2]time.Duration{percentile(times, 50), percentile(times, 99)}
}
