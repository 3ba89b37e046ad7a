package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/delivery/push"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// post is a provider that keeps what it accepts, and a network that can be cut.
type post struct {
	mu    sync.Mutex
	seqs  map[string]uint64 // the newest of each user and chat
	cut   bool
	conns []net.Conn
}

func (p *post) Check(context.Context, *push.Device) error { return nil }
func (p *post) Close() error                              { return nil }

func (p *post) Send(_ context.Context, d *push.Device, n *push.Notification) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		return push.ErrUnavailable
	}
	p.seqs[d.UserID+" "+n.ChatID] = max(p.seqs[d.UserID+" "+n.ChatID], n.Seq)
	return nil
}

func (p *post) dial(ctx context.Context, addr string) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		return nil, errors.New("cut")
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err == nil {
		p.conns = append(p.conns, c)
	}
	return c, err
}

// sever takes everything from whoever uses p, as a machine does that is lost.
func (p *post) sever() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for _, c := range p.conns {
		_ = c.Close()
	}
}

func (p *post) told(user, chat string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seqs[user+" "+chat]
}

// village is a cluster whose user bob is away.
type village struct {
	t      *testing.T
	c      *sequencertest.Cluster
	client *wire.Client
	chats  []string
	sent   uint64 // messages of each chat
}

func newVillage(t *testing.T) *village {
	t.Helper()
	c := sequencertest.Start(t, 3, 4)
	v := &village{t: t, c: c, client: c.Client()}
	if _, err := v.client.PutDevice(t.Context(), "bob", wire.Device{DeviceID: "d", Platform: wire.FCM, Token: "t"}); err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		v.chats = append(v.chats, fmt.Sprint("chat", i))
		if _, _, err := v.client.CreateChat(t.Context(), wire.CreateChatRequest{ChatID: v.chats[i], Type: wire.GroupChat, CreatorID: "ann", Members: []string{"bob"}}); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func (v *village) notifier(p *post) *Notifier {
	v.t.Helper()
	return v.notifierWith(p, p)
}

func (v *village) notifierWith(p *post, provider push.Provider) *Notifier {
	v.t.Helper()
	p.seqs = map[string]uint64{}
	n, err := Open(Config{
		Sequencers: v.c.Addrs(), Dial: p.dial, Providers: map[push.Platform]push.Provider{push.FCM: provider}, Logger: slog.New(slog.DiscardHandler),
		Limits: Limits{Grace: 200 * time.Millisecond},
	})
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() {
		if err := n.Close(); err != nil {
			v.t.Error(err)
		}
	})
	return n
}

// await waits until each of some notifiers looks after so many groups.
func (v *village) await(groups int, all ...*Notifier) {
	v.t.Helper()
	v.c.Eventually(fmt.Sprint("shares of ", groups), func() bool {
		for _, n := range all {
			if got, _, _ := n.shared.stats.lag(time.Now()); got != groups {
				return false
			}
		}
		return true
	})
}

// say sends one more message to every chat.
func (v *village) say() {
	v.t.Helper()
	v.sent++
	for _, chat := range v.chats {
		if _, err := v.client.Append(v.t.Context(), wire.AppendRequest{ChatID: chat, SenderID: "ann", ClientMessageID: fmt.Sprint(v.sent), Text: "x"}); err != nil {
			v.t.Fatal(err)
		}
	}
}

// awaitTold waits until bob has been told of all, by somebody.
func (v *village) awaitTold(all ...*post) {
	v.t.Helper()
	for _, chat := range v.chats {
		v.c.Eventually(fmt.Sprintf("bob to be told of %s:%d", chat, v.sent), func() bool {
			for _, p := range all {
				if p.told("bob", chat) >= v.sent {
					return true
				}
			}
			return false
		})
	}
}

func TestNotifiers_ShareTheGroupsAndHandThemOver(t *testing.T) {
	v := newVillage(t)
	var one, two post
	first := v.notifier(&one)
	v.await(4, first)
	v.say()
	v.awaitTold(&one)
	second := v.notifier(&two)
	v.await(2, first, second)
	v.say()
	v.awaitTold(&one, &two)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	v.say()
	v.await(4, second)
	v.awaitTold(&two)
}

// TestNotifiers_OneThatIsLost has messages before and after a notifier is cut off from everything.
func TestNotifiers_OneThatIsLost(t *testing.T) {
	v := newVillage(t)
	var one, two post
	first, second := v.notifier(&one), v.notifier(&two)
	v.await(2, first, second)
	v.say()
	one.sever()
	v.say()
	v.awaitTold(&two)
	v.await(4, second)
}

// TestNotifiers_BeginAtTheEndOfTheFeed: the first notifier of a cluster does not tell of what was before, and whoever follows goes on from there.
func TestNotifiers_BeginAtTheEndOfTheFeed(t *testing.T) {
	v := newVillage(t)
	v.say()
	var one, two post
	first := v.notifier(&one)
	v.await(4, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	v.say() // while there is none
	v.await(4, v.notifier(&two))
	v.awaitTold(&two)
	if n := one.told("bob", v.chats[0]); n != 0 {
		t.Errorf("told of %d, which was before", n)
	}
}

func TestNotifiers_ADeviceThatIsGone(t *testing.T) {
	v := newVillage(t)
	if _, err := v.client.PutDevice(t.Context(), "bob", wire.Device{DeviceID: "old", Platform: wire.FCM, Token: "gone"}); err != nil {
		t.Fatal(err)
	}
	var p post
	n := v.notifierWith(&p, goneFor{&p})
	v.await(4, n)
	v.say()
	v.awaitTold(&p)
	v.c.Eventually("the device to be removed", func() bool {
		s, err := v.client.PushSettings(t.Context(), "bob")
		return err == nil && len(s.Devices) == 1 && s.Devices[0].DeviceID == "d"
	})
}

// goneFor says of one device that it is gone.
type goneFor struct{ *post }

func (g goneFor) Send(ctx context.Context, d *push.Device, n *push.Notification) error {
	if d.Token == "gone" {
		return push.ErrGone
	}
	return g.post.Send(ctx, d, n)
}
