package deliverytest

import (
	"fmt"
	"sync"

	"github.com/quorate/quorate/sequencer/wire"
)

// Audience records what users were shown, to be held against the chats' logs, and what they were told of how far others are. It is
// safe for concurrent use.
type Audience struct {
	mu       sync.Mutex
	shown    map[place][]wire.Message // in the order it was shown
	said     map[place]Marks          // what each user has said of himself
	told     map[place]map[string]Marks
	faults   []string // broken promises that were seen on the way
	sessions int      // connections that were welcomed
}

// place is a user's in a chat.
type place struct{ user, chat string }

// Marks are how far a user is in a chat.
type Marks struct{ Delivered, Read wire.Seq }

// NewAudience gives one that has seen nothing.
func NewAudience() *Audience {
	return &Audience{shown: map[place][]wire.Message{}, said: map[place]Marks{}, told: map[place]map[string]Marks{}}
}

// Show records that user was shown a message. Anything but the next number of its chat is a gap or a repeat.
func (a *Audience) Show(user string, m wire.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := place{user, m.ChatID}
	if want := wire.Seq(len(a.shown[at])) + 1; m.Seq != want {
		a.fault("%s was shown %s:%d where %d comes next", user, m.ChatID, m.Seq, want)
		return
	}
	a.shown[at] = append(a.shown[at], m)
}

// Next is the number that user wants next in chat.
func (a *Audience) Next(user, chat string) wire.Seq {
	a.mu.Lock()
	defer a.mu.Unlock()
	return wire.Seq(len(a.shown[place{user, chat}])) + 1
}

// Check holds what user was shown of a chat against its whole log.
func (a *Audience) Check(user, chat string, log []wire.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	shown := a.shown[place{user, chat}]
	if len(shown) != len(log) {
		a.fault("%s was shown %d messages of %s, the log has %d", user, len(shown), chat, len(log))
		return
	}
	for i := range log {
		if shown[i] != log[i] {
			a.fault("%s was shown %+v, the log of %s has %+v", user, shown[i], chat, log[i])
			return
		}
	}
}

// Say notes what a user is about to say of how far he is.
func (a *Audience) Say(user, chat string, m Marks) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := place{user, chat}
	a.said[at] = a.said[at].raised(m)
}

// Told records that user was told how far a member of a chat is; before is what he was told over the same connection last. Nobody may be
// told of more than the member has said, and nobody that less was read than before.
func (a *Audience) Told(user, chat, member string, before, m Marks) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := place{user, chat}
	switch said := a.said[place{member, chat}]; {
	case m.Delivered > said.Delivered || m.Read > said.Read:
		a.fault("%s was told that %s is at %+v of %s, who has said no more than %+v", user, member, m, chat, said)
	case m.Read > m.Delivered:
		a.fault("%s was told that %s has read more of %s than was delivered: %+v", user, member, chat, m)
	case m.Delivered < before.Delivered || m.Read < before.Read:
		a.fault("%s was told that %s is at %+v of %s, over one connection after %+v", user, member, m, chat, before)
	}
	if a.told[at] == nil {
		a.told[at] = map[string]Marks{}
	}
	a.told[at][member] = a.told[at][member].raised(m)
}

// Knows gives what user was told of how far a member of a chat is.
func (a *Audience) Knows(user, chat, member string) Marks {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.told[place{user, chat}][member]
}

// Said gives what a user has said of how far he is.
func (a *Audience) Said(user, chat string) Marks {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.said[place{user, chat}]
}

func (m Marks) raised(to Marks) Marks {
	return Marks{max(m.Delivered, to.Delivered), max(m.Read, to.Read)}
}

func (a *Audience) welcomed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions++
}

// Connections is the number of those that were welcomed so far.
func (a *Audience) Connections() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sessions
}

// Complain notes a broken promise.
func (a *Audience) Complain(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fault(format, args...)
}

// mostFaults are kept: the first ones tell.
const mostFaults = 20

// fault notes a broken promise. Called with mu held.
func (a *Audience) fault(format string, args ...any) {
	if len(a.faults) < mostFaults {
		a.faults = append(a.faults, fmt.Sprintf(format, args...))
	}
}

// Faults gives the promises found broken, the first few.
func (a *Audience) Faults() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.faults...)
}
