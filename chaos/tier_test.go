//go:build linux

package chaos

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/delivery/deliverytest"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// tier is the delivery nodes of a cluster, all of one region, and a crowd that talks through them. Its methods are for the test's goroutine.
type tier struct {
	*cluster
	edges   []*node
	crowd   *deliverytest.Crowd
	planted atomic.Bool // the first user misses the next message

	began time.Time
	mu    sync.Mutex
	shown map[feedOf][]time.Duration // since began: when a user was shown something
}

// feedOf is what a user gets of a group's feed.
type feedOf struct {
	user  string
	group wire.GroupID
}

const (
	crowdUsers    = 27 // at 10 messages a second each
	crowdPatience = 2 * time.Second
)

func (n *node) edgeAddr() string { return n.addr(edgePort) }
func (n *node) hubAddr() string  { return n.addr(hubPort) }
func (n *node) opsAddr() string  { return n.addr(opsPort) }

// edgeArgs is how a delivery node is started.
func (n *node) edgeArgs(sequencers []string, region string) []string {
	return []string{
		os.Getenv(binaryEnv), "delivery", "--sequencers", strings.Join(sequencers, ","), "--addr", n.edgeAddr(), "--hub-addr", n.hubAddr(),
		"--ops-addr", n.opsAddr(), "--region", region, "--no-auth",
	}
}

// startTier runs a cluster and delivery nodes, and lets the crowd in. It ends with the test.
func startTier(t *testing.T, s setup, edges int) *tier {
	t.Helper()
	d := &tier{cluster: start(t, s), crowd: deliverytest.NewCrowd(), began: time.Now(), shown: map[feedOf][]time.Duration{}}
	t.Cleanup(d.closeEdges)
	for i := range edges {
		n := &node{host: edgeHost(i), id: fmt.Sprintf("e%d", i+1), i: i}
		n.argv = n.edgeArgs(d.addrs(), "local")
		d.edges = append(d.edges, n)
		n.start(t)
	}
	for _, n := range d.edges {
		n.awaitReady(t)
	}
	d.gather()
	return d
}

func (d *tier) closeEdges() {
	d.crowd.Leave()
	for _, n := range d.edges {
		n.kill()
		if d.t.Failed() {
			n.keepLog(d.t)
		}
	}
}

// gather makes the chats and lets the crowd in. One user in two waits for ever for a node that does not answer, the others try another one.
func (d *tier) gather() {
	d.t.Helper()
	d.crowd.Shown = d.note
	d.crowd.Read(true)
	var urls []string
	for _, n := range d.edges {
		urls = append(urls, "http://"+n.edgeAddr())
	}
	for i := range crowdUsers {
		user := fmt.Sprintf("user-%d", i)
		d.crowd.Add(&deliverytest.Talker{
			User: user, Token: "user:" + user, Edges: urls, Home: i % len(urls), Patience: time.Duration(i/len(urls)%2) * crowdPatience,
		})
	}
	d.crowd.Talkers[0].Miss = func(*deliverytest.Frame) bool { return d.planted.CompareAndSwap(true, false) }
	for i := range chatCount {
		chat := fmt.Sprintf("chat-%d", i)
		var members []string
		for _, step := range []int{0, 1, 7, 13} {
			member := d.crowd.Talkers[(i+step)%crowdUsers]
			member.Chats = append(member.Chats, chat)
			members = append(members, member.User)
		}
		sequencertest.MakeChats(d.t, d.client, members, chat)
	}
	d.crowd.Enter()
	d.crowd.Talk(true)
}

// note keeps when a user was shown something.
func (d *tier) note(t *deliverytest.Talker, m wire.Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	feed := feedOf{t.User, wire.GroupOf(wire.SlotOf(m.ChatID), d.setup.groups)}
	d.shown[feed] = append(d.shown[feed], d.now())
}

// now is the tier's clock.
func (d *tier) now() time.Duration { return time.Since(d.began) }

// awaitReady waits until a delivery node says that it serves.
func (n *node) awaitReady(t *testing.T) {
	t.Helper()
	await(t, n.id+" to be ready", func() bool {
		if !n.up() {
			t.Fatalf("%s has ended: %s", n.id, n.log.String())
		}
		_, err := n.get("http://" + n.edgeAddr() + "/readyz")
		return err == nil
	})
}

// get asks a delivery node by HTTP.
func (n *node) get(url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return n.do(request)
}

// ask asks a delivery node for what a user may see.
func (n *node) ask(path, user string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.edgeAddr()+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer user:"+user)
	return n.do(request)
}

func (n *node) do(request *http.Request) ([]byte, error) {
	transport := &http.Transport{DialContext: dialFrom(n.net)}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(answer.Body); err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", request.URL, answer.Status)
	}
	return body.Bytes(), nil
}

// gauge reads one of a delivery node's metrics, -1 where it does not say.
func (n *node) gauge(name string) int {
	page, err := n.get("http://" + n.opsAddr() + "/metrics")
	if err != nil {
		return -1
	}
	for lines := bufio.NewScanner(bytes.NewReader(page)); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			if number, err := strconv.ParseFloat(value, 64); err == nil {
				return int(number)
			}
		}
	}
	return -1
}

// awaitSharedOut waits until the nodes of a region have shared the feeds out between them, each having some and no one reading another's.
func awaitSharedOut(t *testing.T, edges []*node, groups int) {
	t.Helper()
	for deadline := time.Now().Add(settle); ; time.Sleep(50 * time.Millisecond) {
		sum, fair := 0, true
		var state []string
		for _, n := range edges {
			shared, read := n.gauge("quorate_hub_feeds_shared"), n.gauge("quorate_hub_feeds_read")
			sum, fair = sum+shared, fair && shared > 0 && read == shared
			state = append(state, fmt.Sprintf("%s has %d and reads %d", n.id, shared, read))
		}
		if fair && sum == groups {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for %d feeds to be shared out: %s", settle, groups, strings.Join(state, ", "))
		}
	}
}
