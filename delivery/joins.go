package delivery

import (
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// joins remembers who came to which chats in the last seconds, by the feeds that this node reads. A chat is in its members' lists a moment
// after it is made: a session that begins in between would find it neither there nor in the feed, which told of it before, and would not be
// shown its first message until the second. It is safe for concurrent use.
type joins struct {
	mu     sync.Mutex
	recent []join              // the oldest first
	chats  map[string][]string // by user, as in recent
}

type join struct {
	at         time.Time
	user, chat string
}

const (
	joinsKept = 10 * time.Second // lists follow within milliseconds where all groups are served
	joinsMost = 1 << 16          // beyond it the oldest are forgotten
)

func newJoins() *joins { return &joins{chats: map[string][]string{}} }

// note takes an event of a feed. It comes before the look at who is connected, as a session registers before it asks here.
func (j *joins) note(ev *wire.Event, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, user := range ev.Added {
		j.recent = append(j.recent, join{now, user, ev.ChatID})
		j.chats[user] = append(j.chats[user], ev.ChatID)
	}
	j.forgetLocked(now)
}

// of gives the chats that a user came to. He may have left them again.
func (j *joins) of(user string, now time.Time) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.forgetLocked(now)
	return slices.Clone(j.chats[user])
}

func (j *joins) forgetLocked(now time.Time) {
	n := 0
	for n < len(j.recent) && (len(j.recent)-n > joinsMost || now.Sub(j.recent[n].at) > joinsKept) {
		old := j.recent[n]
		n++
		if left := j.chats[old.user][1:]; len(left) > 0 {
			j.chats[old.user] = left
		} else {
			delete(j.chats, old.user)
		}
	}
	clear(j.recent[:n])
	if j.recent = j.recent[n:]; len(j.recent) == 0 {
		j.recent = nil
	}
}
