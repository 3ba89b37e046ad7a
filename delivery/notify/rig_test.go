package notify

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/bubble"
	"github.com/quorate/quorate/delivery/push"
	"github.com/quorate/quorate/sequencer/wire"
)

// fakeCluster answers a notifier as sequencers do. What is not set by a test is as in a cluster where everybody is a member of everything.
type fakeCluster struct {
	mu        sync.Mutex
	marks     map[string]map[string]wire.Seq // chat, user: delivered
	last      map[string]wire.Seq            // chat
	settings  map[string]wire.PushSettings
	committed wire.Offset
	removed   []string
	looks     int
	down      bool
}

func (f *fakeCluster) do() error {
	if f.down {
		return wire.ErrClusterDown
	}
	return nil
}

func (f *fakeCluster) Receipts(_ context.Context, chatID string, _ wire.Seq, _ string) (list []wire.Watermarks, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	if f.marks[chatID] == nil {
		return nil, wire.ErrNoChat
	}
	for user, seq := range f.marks[chatID] {
		list = append(list, wire.Watermarks{UserID: user, Delivered: seq})
	}
	slices.SortFunc(list, func(a, b wire.Watermarks) int { return strings.Compare(a.UserID, b.UserID) })
	return list, f.do()
}

func (f *fakeCluster) Heads(_ context.Context, chatIDs []string, user string) (heads []wire.Head, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range chatIDs {
		seq, found := f.marks[id][user]
		heads = append(heads, wire.Head{ChatID: id, Found: found, LastSeq: f.last[id], DeliveredUpTo: seq, ReadUpTo: seq})
	}
	return heads, f.do()
}

func (f *fakeCluster) GetChat(_ context.Context, chatID, _ string) (*wire.ChatView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &wire.ChatView{Chat: wire.Chat{ChatID: chatID, Name: "the " + chatID}}, f.do()
}

func (f *fakeCluster) UserChats(_ context.Context, user, _ string, _ int) (list []wire.UserChat, next string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, members := range f.marks {
		if _, in := members[user]; in {
			list = append(list, wire.UserChat{ChatID: id})
		}
	}
	return list, "", f.do()
}

func (f *fakeCluster) PushSettings(_ context.Context, user string) (wire.PushSettings, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.settings[user]
	return wire.PushSettings{Devices: slices.Clone(p.Devices), Mutes: slices.Clone(p.Mutes)}, f.do()
}

func (f *fakeCluster) RemoveDevice(_ context.Context, user, deviceID string, version uint64) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.settings[user]
	i := slices.IndexFunc(p.Devices, func(d wire.Device) bool { return d.DeviceID == deviceID && d.Version == version })
	if err := f.do(); err != nil || i < 0 {
		return false, err
	}
	p.Devices = slices.Delete(slices.Clone(p.Devices), i, i+1)
	f.settings[user] = p
	f.removed = append(f.removed, user+"/"+deviceID)
	return true, nil
}

func (f *fakeCluster) CommitFeed(_ context.Context, _ wire.GroupID, _ string, offset wire.Offset) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.do(); err != nil {
		return err
	}
	f.committed = max(f.committed, offset)
	return nil
}

// told is what a provider accepted.
type told struct {
	user, device string
	push.Notification
	after time.Duration // since the rig was made
}

func (m told) String() string {
	return fmt.Sprintf("%v %s/%s %s-%d x%d", m.after.Round(10*time.Millisecond), m.user, m.device, m.ChatID, m.Seq, m.Count)
}

// rig is a keeper with a fake on each side of it, in a bubble of synctest.
type rig struct {
	t       *testing.T
	cluster *fakeCluster
	shared  *shared
	keeper  *keeper
	began   time.Time
	stop    func()
	offset  wire.Offset

	mu     sync.Mutex
	told   []told
	tries  int
	answer func(d *push.Device, n *push.Notification) error // nil accepts everything
}

// Check, Send and Close make the rig the provider of its devices.
func (r *rig) Check(context.Context, *push.Device) error { return nil }
func (r *rig) Close() error                              { return nil }

func (r *rig) Send(_ context.Context, d *push.Device, n *push.Notification) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries++
	if r.answer != nil {
		if err := r.answer(d, n); err != nil {
			return err
		}
	}
	r.told = append(r.told, told{d.UserID, d.DeviceID, *n, time.Since(r.began)})
	return nil
}

// inBubble runs a test with a rig, in virtual time. Its chat c has ann, bob and cid, who have a device each.
func inBubble(t *testing.T, test func(r *rig), change ...func(*Config)) {
	t.Helper()
	bubble.Test(t, func(t *testing.T) {
		r := &rig{t: t, began: time.Now(), cluster: &fakeCluster{
			marks: map[string]map[string]wire.Seq{}, last: map[string]wire.Seq{}, settings: map[string]wire.PushSettings{},
		}}
		for _, user := range []string{"ann", "bob", "cid"} {
			r.device(user, "phone")
		}
		r.chat("c", "ann", "bob", "cid")
		cfg := Config{Text: true, Badge: true, Providers: map[push.Platform]push.Provider{"fcm": r}}
		for _, f := range change {
			f(&cfg)
		}
		level := slog.LevelError
		if os.Getenv("QUORATE_TEST_LOG") != "" {
			level = slog.LevelDebug
		}
		r.shared = newShared(&cfg, r.cluster, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})))
		r.start(1)
		test(r)
		r.crash()
		for _, l := range r.shared.lanes {
			l.wg.Wait()
		}
	})
}

// start runs a keeper from an offset, for which the feed has no more.
func (r *rig) start(from wire.Offset) {
	r.offset = from
	r.startWith()
}

// crash ends the keeper; what it would commit at the end is lost.
func (r *rig) crash() {
	r.cluster.mu.Lock()
	was := r.cluster.committed
	r.cluster.mu.Unlock()
	r.stop()
	r.cluster.mu.Lock()
	r.cluster.committed = was
	r.cluster.mu.Unlock()
}

func (r *rig) chat(id string, members ...string) {
	r.cluster.mu.Lock()
	defer r.cluster.mu.Unlock()
	r.cluster.marks[id] = map[string]wire.Seq{}
	for _, user := range members {
		r.cluster.marks[id][user] = 0
	}
}

func (r *rig) device(user, id string) {
	r.cluster.mu.Lock()
	defer r.cluster.mu.Unlock()
	p := r.cluster.settings[user]
	p.Devices = append(p.Devices, wire.Device{DeviceID: id, Platform: wire.FCM, Token: user + id, Version: uint64(len(p.Devices) + 1)})
	r.cluster.settings[user] = p
}

// feed gives the keeper a page.
func (r *rig) feed(events ...wire.Event) {
	for i := range events {
		events[i].Offset = r.offset
		r.offset++
		if events[i].At == 0 {
			events[i].At = wire.Millis(time.Now().UnixMilli())
		}
		if m := events[i].Message; m != nil && m.SentAt == 0 {
			m.SentAt = events[i].At
		}
	}
	r.keeper.pages <- page{events, r.offset, true, time.Now()}
	synctest.Wait()
}

// say sends a message to a chat.
func (r *rig) say(chat, sender, text string) {
	r.cluster.mu.Lock()
	r.cluster.last[chat]++
	seq := r.cluster.last[chat]
	r.cluster.mu.Unlock()
	r.feed(wire.Event{Kind: wire.EventMessage, ChatID: chat, Message: &wire.Message{ChatID: chat, Seq: seq, SenderID: sender, Text: text}})
}

// ack raises a member's watermark to the end of the chat; heard says whether the feed tells of it.
func (r *rig) ack(chat, user string, heard bool) {
	r.cluster.mu.Lock()
	seq := r.cluster.last[chat]
	r.cluster.marks[chat][user] = seq
	r.cluster.mu.Unlock()
	if heard {
		r.feed(wire.Event{Kind: wire.EventReceipt, ChatID: chat, Marks: &wire.Watermarks{UserID: user, Delivered: seq}})
	}
}

// after lets time pass.
func (r *rig) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// want compares what was accepted so far with lines as told prints them, and forgets it.
func (r *rig) want(lines ...string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var got []string
	for _, m := range r.told {
		got = append(got, m.String())
	}
	r.told = nil
	slices.Sort(got)
	slices.Sort(lines)
	if !slices.Equal(got, lines) {
		r.t.Errorf("told %q, want %q", got, lines)
	}
}

func (r *rig) answers(f func(d *push.Device, n *push.Notification) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

// committed waits for the next commit and gives its offset.
func (r *rig) committed() wire.Offset {
	r.after(r.shared.limits.CommitEvery + time.Millisecond)
	r.cluster.mu.Lock()
	defer r.cluster.mu.Unlock()
	return r.cluster.committed
}

// startWith runs a keeper whose first page has some events.
func (r *rig) startWith(events ...wire.Event) {
	ctx, cancel := context.WithCancel(context.Background())
	r.keeper = newKeeper(r.shared, 0, r.offset)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.keeper.run(ctx)
	}()
	r.stop = func() {
		cancel()
		<-done
	}
	r.feed(events...)
}

// slowProvider takes ten seconds.
type slowProvider struct {
	mu        sync.Mutex
	now, most int
}

func (s *slowProvider) Check(context.Context, *push.Device) error { return nil }
func (s *slowProvider) Close() error                              { return nil }

func (s *slowProvider) Send(ctx context.Context, _ *push.Device, _ *push.Notification) error {
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	select {
	case <-time.After(10 * time.Second):
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.now--
	s.mu.Unlock()
	return ctx.Err()
}
