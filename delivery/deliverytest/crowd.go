// Package deliverytest has clients of delivery nodes for tests of real processes: a crowd of users who talk to one another over WebSockets,
// acknowledge and read what they are shown, come back by another edge when theirs is gone, and record all of it. It speaks the public
// protocol and knows nothing of what it talks to. No product code imports it.
package deliverytest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// Crowd is the users and what they saw. Its fields are set before Enter.
type Crowd struct {
	Record   *sequencertest.Record // what was sent, and acknowledged
	Audience *Audience             // what was shown
	Talkers  []*Talker
	Text     func(user string, n int) string // of a user's n-th message; nil for one of the crowd's own
	Shown    func(t *Talker, m wire.Message) // called with each message as it is shown, if there; not for one talker at the same time

	talking atomic.Bool
	reading atomic.Bool
	running sync.WaitGroup
	leave   context.CancelFunc
}

// NewCrowd gives one without users.
func NewCrowd() *Crowd {
	return &Crowd{Record: sequencertest.NewRecord(), Audience: NewAudience(), leave: func() {}}
}

// Add adds a user.
func (c *Crowd) Add(t *Talker) *Talker {
	t.crowd, t.home, t.at = c, make(chan struct{}, 1), nowhere
	t.pending, t.shown = map[string]*send{}, map[string]wire.Seq{}
	c.Talkers = append(c.Talkers, t)
	return t
}

// Members lists the users of each chat.
func (c *Crowd) Members() map[string][]string {
	members := map[string][]string{}
	for _, t := range c.Talkers {
		for _, chat := range t.Chats {
			members[chat] = append(members[chat], t.User)
		}
	}
	return members
}

// Enter connects all users, who are silent at first.
func (c *Crowd) Enter() {
	ctx, cancel := context.WithCancel(context.Background())
	c.leave = cancel
	for _, t := range c.Talkers {
		c.running.Go(func() { t.run(ctx) })
	}
}

// Leave ends all connections and waits for that.
func (c *Crowd) Leave() {
	c.leave()
	c.running.Wait()
}

// Talk has the users begin to send, or stop. What they have begun they go on with until it is acknowledged.
func (c *Crowd) Talk(on bool) { c.talking.Store(on) }

// Read has the users acknowledge and read what they are shown, or stop.
func (c *Crowd) Read(on bool) { c.reading.Store(on) }

// Quiet reports that no send waits for an answer.
func (c *Crowd) Quiet() bool {
	return !slices.ContainsFunc(c.Talkers, func(t *Talker) bool { return !t.quiet() })
}

// GoHome has the users who are elsewhere come back to the edge that they began with, and tells whether all are there.
func (c *Crowd) GoHome() bool {
	all := true
	for _, t := range c.Talkers {
		at := t.At()
		all = all && at == t.Home
		if at != nowhere && at != t.Home {
			select {
			case t.home <- struct{}{}:
			default: // it knows
			}
		}
	}
	return all
}

// ShownAll reports that every user was shown as many messages of each of his chats as its log has, or that something is wrong anyway.
func (c *Crowd) ShownAll(logs map[string][]wire.Message) bool {
	for _, t := range c.Talkers {
		for _, chat := range t.Chats {
			if int(c.Audience.Next(t.User, chat)) <= len(logs[chat]) {
				return len(c.Audience.Faults()) > 0
			}
		}
	}
	return true
}

// Check holds what each user was shown against the logs. It gives the promises found broken, then or before.
func (c *Crowd) Check(logs map[string][]wire.Message) []string {
	for _, t := range c.Talkers {
		for _, chat := range t.Chats {
			c.Audience.Check(t.User, chat, logs[chat])
		}
	}
	return c.Audience.Faults()
}

func (c *Crowd) text(user string, n int) string {
	if c.Text != nil {
		return c.Text(user, n)
	}
	return fmt.Sprintf("message %d of %s, naïve ☕", n, user)
}
