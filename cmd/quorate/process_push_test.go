package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/quorate/quorate/delivery/push/pushtest"
	"github.com/quorate/quorate/sequencer/wire"
)

// pushSize is how large TestProcesses_Push is. make push-size has it large.
type pushSize struct {
	users   int           // who are online, and as many who are not
	rate    int           // messages in a second
	steady  time.Duration // without faults
	faulty  time.Duration // with them
	killing time.Duration // between two kills of a notifier
	down    time.Duration // of the provider
	grace   time.Duration
}

// chatMembers is how many members of each kind a chat of the test has, and each user is in as many chats.
const chatMembers = 2

func pushSizeOf(t *testing.T) pushSize {
	text := os.Getenv("PUSH_USERS")
	if text == "" {
		return pushSize{users: 20, rate: 20, steady: 3 * time.Second, faulty: 5 * time.Second, killing: 2 * time.Second, down: 2 * time.Second, grace: 2 * time.Second}
	}
	users, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return pushSize{
		users: users, rate: 100, steady: 2 * time.Minute, faulty: 90 * time.Second, killing: 10 * time.Second, down: time.Minute, grace: 5 * time.Second,
	}
}

// TestProcesses_Push has users who are online, who are not, and three whose sockets take everything and acknowledge nothing. Whoever has not got
// a message is told, and nobody else; then notifiers are killed at random while their provider is away, and nobody is forgotten.
func TestProcesses_Push(t *testing.T) {
	t.Parallel()
	size := pushSizeOf(t)
	c := startClusterOf(t, buildBinary(t), 1)
	town := newTown(t, c, size)
	notifiers := c.notifiers(t, town.hook, size.grace)
	town.awaitNotifiers(t)
	town.enter(t)

	stop := town.talk()
	time.Sleep(size.steady)
	stop()
	town.awaitTold(t, size.grace+30*time.Second)
	town.check(t)
	t.Logf("%d users online and as many not, %d messages: %s", size.users, town.messages(), town.times(t))

	began := len(town.hook.Received())
	stop = town.talk()
	kills := town.faults(t, size, notifiers)
	stop()
	town.awaitTold(t, size.grace+2*time.Minute)
	town.check(t)
	t.Logf("with %d notifiers killed, the provider away for %v: %d notifications, %d of them again", kills, size.down,
		len(town.hook.Received())-began, town.repeats)
	for _, p := range notifiers {
		if code := p.stop(t, 15*time.Second); code != exitOK {
			t.Errorf("%s ended with %d on SIGTERM", p.name, code)
		}
	}
}

// notifiers starts two delivery nodes that do nothing but notify, with a webhook for a provider.
func (c *cluster) notifiers(t *testing.T, hook *pushtest.Hook, grace time.Duration) (all []*process) {
	t.Helper()
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, c.secret, 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		all = append(all, newProcess(t, fmt.Sprintf("p%d", i+1), dir, c.binary, "delivery", "--roles", "notifier", "--sequencers", strings.Join(c.resp, ","),
			"--addr", "127.0.0.1:0", "--ops-addr", "", "--jwt-secret-file", secret, "--push-grace", grace.String(), "--push-text",
			"--push-webhook-hosts", "hooks.example.com", "--push-allow-hosts", hook.Host(), "--push-ca-file", hook.CAFile))
	}
	for _, p := range all {
		p.launch(t)
	}
	for _, p := range all {
		p.awaitReady(t, startTime)
	}
	return all
}

// town is the users of a push test, and what they are told.
type town struct {
	cluster *cluster
	size    pushSize
	client  *wire.Client
	hook    *pushtest.Hook
	owner   map[string]string   // of an endpoint
	chats   map[string][]string // members who are online, by chat
	away    map[string][]string // those who are not, or deaf
	names   []string            // of chats
	repeats int

	mu    sync.Mutex
	acked map[string][]time.Time // by chat; the place is the seq
}

func newTown(t *testing.T, c *cluster, size pushSize) *town {
	t.Helper()
	w := &town{
		cluster: c, size: size, hook: pushtest.NewHook(t), owner: map[string]string{}, chats: map[string][]string{}, away: map[string][]string{},
		acked:  map[string][]time.Time{},
		client: wire.NewClient(wire.ClientConfig{Seeds: c.resp, Logger: slog.New(slog.DiscardHandler)}),
	}
	t.Cleanup(func() { _ = w.client.Close() })
	var deaf [3]string
	for i := range deaf {
		deaf[i] = fmt.Sprintf("deaf%d", i)
	}
	for i := range size.users {
		chat := fmt.Sprintf("chat%04d", i)
		w.names = append(w.names, chat)
		for k := range chatMembers {
			n := (i*7 + k*13) % size.users
			w.chats[chat] = append(w.chats[chat], fmt.Sprintf("on%04d", n))
			w.away[chat] = append(w.away[chat], fmt.Sprintf("off%04d", n))
		}
		if i < len(deaf) {
			w.away[chat] = append(w.away[chat], deaf[i])
		}
	}
	w.build(t)
	return w
}

// build makes the chats and registers a device for everybody.
func (w *town) build(t *testing.T) {
	t.Helper()
	errs := make(chan error, 2*len(w.names))
	slots := make(chan struct{}, 32)
	users := map[string]bool{}
	do := func(f func() error) {
		slots <- struct{}{}
		go func() {
			errs <- f()
			<-slots
		}()
	}
	asked := 0
	for _, chat := range w.names {
		members := slices.Concat(w.chats[chat], w.away[chat])
		for _, user := range members {
			users[user] = true
		}
		asked++
		do(func() error {
			_, _, err := w.client.CreateChat(t.Context(), wire.CreateChatRequest{ChatID: chat, Type: wire.GroupChat, CreatorID: members[0], Members: members})
			return err
		})
	}
	for range asked {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	asked = 0
	errs = make(chan error, len(users))
	for user := range users {
		secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte("the secret of "+user+" for his own hook"))
		d := wire.Device{DeviceID: "hook", Platform: wire.Webhook, Endpoint: w.hook.Endpoint(secret), Secret: secret}
		w.owner[d.Endpoint] = user
		asked++
		do(func() error {
			_, err := w.client.PutDevice(t.Context(), user, d)
			return err
		})
	}
	for range asked {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}

// awaitNotifiers waits until every group is looked after.
func (w *town) awaitNotifiers(t *testing.T) {
	t.Helper()
	groups, err := w.client.Groups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for g := range groups {
		await(t, startTime, fmt.Sprintf("group %d to be looked after", g), func() bool {
			offset, err := w.client.CommittedFeed(t.Context(), wire.GroupID(g), "push")
			return err == nil && offset > 0
		})
	}
}

// enter lets those in who are online, and the deaf, who acknowledge nothing.
func (w *town) enter(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var live sync.WaitGroup
	t.Cleanup(func() { cancel(); live.Wait() })
	seen := map[string]bool{}
	for _, chat := range w.names {
		for _, user := range slices.Concat(w.chats[chat], w.away[chat]) {
			if seen[user] || strings.HasPrefix(user, "off") {
				continue
			}
			seen[user] = true
			ws, resp, err := websocket.Dial(ctx, strings.Replace(w.cluster.urls[0], "http", "ws", 1)+"/stream", &websocket.DialOptions{
				HTTPHeader: http.Header{"Authorization": {"Bearer " + w.cluster.token(t, user)}},
			})
			if err != nil {
				t.Fatalf("%s: %v", user, err)
			}
			_ = resp.Body // the connection's now
			if err := wsjson.Write(ctx, ws, map[string]any{"type": "hello", "deviceId": "d"}); err != nil {
				t.Fatal(err)
			}
			welcomed := make(chan struct{})
			live.Go(func() { listen(ctx, ws, !strings.HasPrefix(user, "deaf"), welcomed) })
			select {
			case <-welcomed:
			case <-time.After(startTime):
				t.Fatalf("%s is not welcomed", user)
			}
		}
	}
}

// listen reads what a user gets, and acknowledges it where he does.
func listen(ctx context.Context, ws *websocket.Conn, acks bool, welcomed chan struct{}) {
	defer func() { _ = ws.CloseNow() }()
	for {
		var frame struct {
			Type, ChatID   string
			SequenceNumber uint64
		}
		if err := wsjson.Read(ctx, ws, &frame); err != nil {
			return
		}
		switch {
		case frame.Type == "caughtUp":
			close(welcomed)
		case frame.Type == "message" && acks:
			if wsjson.Write(ctx, ws, map[string]any{"type": "ack", "chatId": frame.ChatID, "seq": frame.SequenceNumber}) != nil {
				return
			}
		}
	}
}

// talk has those who are online send messages to their chats, at the rate, until stop is called.
func (w *town) talk() (stop func()) {
	done := make(chan struct{})
	var talking sync.WaitGroup
	talking.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(w.size.rate))
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			chat := w.names[rand.N(len(w.names))]
			talking.Go(func() { w.send(chat, w.chats[chat][n%chatMembers], fmt.Sprintf("m%d-%d", time.Now().UnixNano(), n)) })
		}
	})
	return func() {
		close(done)
		talking.Wait()
	}
}

// send sends a message until it is acknowledged, and notes when that was.
func (w *town) send(chat, sender, id string) {
	for {
		ack, err := w.client.Append(context.Background(), wire.AppendRequest{ChatID: chat, SenderID: sender, ClientMessageID: id, Text: "hello " + id})
		if errors.Is(err, wire.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for wire.Seq(len(w.acked[chat])) <= ack.Seq {
			w.acked[chat] = append(w.acked[chat], time.Time{})
		}
		w.acked[chat][ack.Seq] = time.Now()
		return
	}
}

func (w *town) messages() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, times := range w.acked {
		n += len(times) - 1
	}
	return n
}

// faults kills notifiers at random while the provider is away for a part of the time, and has all of them back at the end.
func (w *town) faults(t *testing.T, size pushSize, notifiers []*process) (kills int) {
	t.Helper()
	over, away := time.After(size.faulty), time.After(size.faulty/6)
	back := make(<-chan time.Time)
	for {
		select {
		case <-over:
			w.hook.Down(false)
			return kills
		case <-away:
			w.hook.Down(true)
			back = time.After(size.down)
		case <-back:
			w.hook.Down(false)
		case <-time.After(size.killing/2 + rand.N(size.killing)):
			victim := notifiers[rand.N(len(notifiers))]
			t.Logf("kill -9 of %s", victim.name)
			victim.kill()
			kills++
			time.Sleep(rand.N(size.killing / 2)) // the fault itself
			victim.start(t, startTime)
		}
	}
}

// notified is what a user was told of a chat.
type notified struct {
	seq  wire.Seq // up to where
	key  string
	told map[wire.Seq]time.Time // when he was first told of each message
}

// read collects what was told, by user and chat.
func (w *town) read(t *testing.T) map[[2]string]*notified {
	t.Helper()
	all, seen := map[[2]string]*notified{}, map[string]bool{}
	w.repeats = 0
	for _, r := range w.hook.Received() {
		var event struct {
			ID   string `json:"id"`
			Data struct {
				UserID string   `json:"userId"`
				ChatID string   `json:"chatId"`
				Seq    wire.Seq `json:"sequenceNumber"`
				First  wire.Seq `json:"firstSequenceNumber"`
				Count  int      `json:"count"`
			} `json:"data"`
		}
		if err := json.Unmarshal(r.Payload, &event); err != nil {
			t.Fatal(err)
		}
		if user := w.owner[r.Device]; user != event.Data.UserID {
			t.Fatalf("%s was told what %s was to be", user, event.Data.UserID)
		}
		if seen[event.ID] {
			w.repeats++
		}
		seen[event.ID] = true
		key := [2]string{event.Data.UserID, event.Data.ChatID}
		n := all[key]
		if n == nil {
			n = &notified{key: r.CollapseKey, told: map[wire.Seq]time.Time{}}
			all[key] = n
		}
		if n.key != r.CollapseKey {
			t.Errorf("%v was told under %q and %q", key, n.key, r.CollapseKey)
		}
		if event.Data.First != 1 || event.Data.Count != int(event.Data.Seq) {
			t.Errorf("%v was told of %d messages from %d to %d, and has got none", key, event.Data.Count, event.Data.First, event.Data.Seq)
		}
		n.seq = max(n.seq, event.Data.Seq)
		for seq := event.Data.Seq; seq > 0 && n.told[seq].IsZero(); seq-- {
			n.told[seq] = r.At
		}
	}
	return all
}

// forgotten lists who was not told of the end of a chat.
func (w *town) forgotten(t *testing.T) (list []string) {
	t.Helper()
	told := w.read(t)
	w.mu.Lock()
	defer w.mu.Unlock()
	for chat, times := range w.acked {
		last := wire.Seq(len(times) - 1)
		for _, user := range w.away[chat] {
			if n := told[[2]string{user, chat}]; n == nil || n.seq < last {
				list = append(list, fmt.Sprintf("%s of %s:%d", user, chat, last))
			}
		}
	}
	return list
}

func (w *town) awaitTold(t *testing.T, within time.Duration) {
	t.Helper()
	var left []string
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if left = w.forgotten(t); len(left) == 0 {
			return
		}
	}
	t.Fatalf("%d were not told, such as %q", len(left), left[:min(len(left), 10)])
}

// check looks that nobody was told who had his messages, that each chat of each user has a key of its own, and that the provider had nothing to
// complain about.
func (w *town) check(t *testing.T) {
	t.Helper()
	keys := map[string][2]string{}
	for who, n := range w.read(t) {
		if strings.HasPrefix(who[0], "on") {
			t.Errorf("%s was told of %s, and had it", who[0], who[1])
		}
		if other, taken := keys[n.key]; taken {
			t.Errorf("%v and %v are told under one key", who, other)
		}
		keys[n.key] = who
	}
	if faults := w.hook.Faults(); len(faults) > 0 {
		t.Errorf("the provider complains: %q", faults[:min(len(faults), 5)])
	}
}

// times sums up how long it took from each message's ack to the provider's acceptance, for each user who was away.
func (w *town) times(t *testing.T) string {
	t.Helper()
	var took []time.Duration
	for who, n := range w.read(t) {
		w.mu.Lock()
		for seq, at := range n.told {
			if acked := w.acked[who[1]][seq]; !acked.IsZero() {
				took = append(took, at.Sub(acked))
			}
		}
		w.mu.Unlock()
	}
	if len(took) == 0 {
		return "none told"
	}
	slices.Sort(took)
	at := func(part float64) time.Duration { return took[int(part*float64(len(took)-1))].Round(time.Millisecond) }
	return fmt.Sprintf("%d notifications; ack to provider of %d messages to be told of: p50 %v, p99 %v, last %v; grace %v",
		len(w.hook.Received()), len(took), at(0.5), at(0.99), at(1), w.size.grace)
}
