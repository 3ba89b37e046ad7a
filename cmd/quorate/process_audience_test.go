package main

import (
	"fmt"
	"sync"

	"github.com/quorate/quorate/sequencer/wire"
)

// audience records what users were shown, to be held against the chats' logs. It is safe for concurrent use.
type audience struct {
	mu       sync.Mutex
	shown    map[string]map[string][]wire.Message // by user and chat, in the order it was shown
	faults   []string                             // broken promises that were seen on the way
	sessions int                                  // connections that were welcomed
}

func newAudience() *audience {
	return &audience{shown: map[string]map[string][]wire.Message{}}
}

// show records that user was shown a message. Anything but the next number of its chat is a gap or a repeat.
func (a *audience) show(user string, m wire.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.shown[user] == nil {
		a.shown[user] = map[string][]wire.Message{}
	}
	log := a.shown[user][m.ChatID]
	if want := wire.Seq(len(log)) + 1; m.Seq != want {
		a.fault("%s was shown %s:%d where %d comes next", user, m.ChatID, m.Seq, want)
		return
	}
	a.shown[user][m.ChatID] = append(log, m)
}

// next is the number that user wants next in chat.
func (a *audience) next(user, chat string) wire.Seq {
	a.mu.Lock()
	defer a.mu.Unlock()
	return wire.Seq(len(a.shown[user][chat])) + 1
}

// check holds what user was shown of a chat against its whole log.
func (a *audience) check(user, chat string, log []wire.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	shown := a.shown[user][chat]
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

func (a *audience) welcomed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions++
}

func (a *audience) connections() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sessions
}

func (a *audience) complain(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fault(format, args...)
}

// fault notes a broken promise. Called with mu held.
func (a *audience) fault(format string, args ...any) {
	if len(a.faults) < 20 { // the first ones tell
		a.faults = append(a.faults, fmt.Sprintf(format, args...))
	}
}

// verdict gives the promises found broken.
func (a *audience) verdict() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.faults...)
}
