package check

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/bench/measure"
)

// Kinds of broken promises.
const (
	Lost      = "lost"       // acknowledged, and not in the log; or in the log, and not shown to a member
	Duplicate = "duplicate"  // in the log twice, or shown twice
	Gap       = "gap"        // a seq that nobody was shown, or that the log leaves out
	Reordered = "reordered"  // shown after one with a higher seq
	WrongBody = "wrong body" // not the text that was sent, or not the same for all
	Dedup     = "dedup"      // offered again, it became another message
	Receipt   = "receipt"    // a watermark went backwards, or beyond what there is
	Causal    = "causal"     // a stamp is not above what its sender had seen, or does not rise within a chat
	RealTime  = "real time"  // begun after another was acknowledged, and yet before it in the log
	Time      = "time"       // sentAt runs backwards within a chat
	Invented  = "invented"   // in the log, and never sent
)

// Judge holds all chats of a run. It is safe for concurrent use; a Chat too, so that the clients of one may be on several goroutines.
type Judge struct {
	began time.Time

	mu     sync.Mutex
	chats  map[string]*Chat
	checks measure.Checks
}

// New begins with no chats.
func New() *Judge {
	return &Judge{began: time.Now(), chats: map[string]*Chat{}}
}

// Chat gives a chat by its id, made where there is none yet.
func (j *Judge) Chat(id string) *Chat {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := j.chats[id]
	if c == nil {
		c = &Chat{judge: j, id: id}
		j.chats[id] = c
	}
	return c
}

// Chats lists all chats, by id.
func (j *Judge) Chats() []*Chat {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := make([]*Chat, 0, len(j.chats))
	for _, c := range j.chats {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *Chat) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	return all
}

// broken notes a broken promise.
func (j *Judge) broken(kind, chat, format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.checks.Broken == nil {
		j.checks.Broken = map[string]int64{}
	}
	j.checks.Broken[kind]++
	if len(j.checks.First) < measure.MaxFaults {
		j.checks.First = append(j.checks.First, measure.Fault{Kind: kind, Chat: chat, What: fmt.Sprintf(format, args...)})
	}
}

// Checks counts what was checked up to now, and what was found.
func (j *Judge) Checks() measure.Checks {
	chats := j.Chats()
	j.mu.Lock()
	total := j.checks
	total.Broken, total.First = map[string]int64{}, nil
	own := j.checks
	j.mu.Unlock()
	total.Merge(&measure.Checks{Broken: own.Broken, First: own.First})
	for _, c := range chats {
		c.mu.Lock()
		total.Merge(&c.counts)
		c.mu.Unlock()
	}
	return total
}

// Finish holds everything against everything, when nothing is under way any more. Readers that are still there must have been
// shown all.
func (j *Judge) Finish() measure.Checks {
	for _, c := range j.Chats() {
		c.finish()
	}
	return j.Checks()
}
