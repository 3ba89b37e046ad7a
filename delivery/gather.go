package delivery

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

const (
	gatherFrom = 500 * time.Microsecond // that the last flush took: for a shorter one nothing is waited for
	gatherStep = time.Millisecond       // of one read
)

// underWay knows how many messages of this node's own sessions the sequencer has not answered, by the slot of their chat. Safe for concurrent use.
type underWay struct {
	slots [wire.Slots]slotUnderWay
}

// slotUnderWay is what is under way to the chats of one slot, which are as good as always one chat.
type slotUnderWay struct {
	mu       sync.Mutex
	open     int32
	chat     uint32   // a hash of the chat that was answered last
	answered wire.Seq // the highest seq of an answer there
}

var chatSeed = maphash.MakeSeed()

func (u *underWay) of(chatID string) (slot *slotUnderWay, chat uint32) {
	return &u.slots[wire.SlotOf(chatID)], uint32(maphash.String(chatSeed, chatID))
}

// begin says that a message to a chat is under way.
func (u *underWay) begin(chatID string) {
	s, _ := u.of(chatID)
	s.mu.Lock()
	s.open++
	s.mu.Unlock()
}

// end says that it was answered: it is at seq, or 0 where it was refused.
func (u *underWay) end(chatID string, seq wire.Seq) {
	s, chat := u.of(chatID)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	switch {
	case seq == 0:
	case chat != s.chat:
		s.chat, s.answered = chat, seq
	case seq > s.answered: // a replay is at a seq of long ago
		s.answered = seq
	}
}

// state gives how many messages to a chat's slot are not answered, and up to which seq all of the chat are; 0: not known.
func (u *underWay) state(chatID string) (open int, answered wire.Seq) {
	s, chat := u.of(chatID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if chat == s.chat {
		answered = s.answered
	}
	return int(s.open), answered
}

// expects tells whether more is under way to one of the chats of events than stands there. Feed and answers come over different connections, so of what
// stands there above the last answer, any may be what is not answered.
func (u *underWay) expects(events []wire.Event) bool {
	type chat struct {
		open     int // that are not among events
		answered wire.Seq
	}
	chats := map[string]*chat{}
	for i := range events {
		m := events[i].Message
		if events[i].Kind != wire.EventMessage {
			continue
		}
		c := chats[m.ChatID]
		if c == nil {
			c = &chat{}
			c.open, c.answered = u.state(m.ChatID)
			chats[m.ChatID] = c
		}
		if m.Seq > c.answered {
			c.open--
		}
	}
	for _, c := range chats {
		if c.open > 0 {
			return true
		}
	}
	return false
}

// gather reads on while more messages of the chats that were just read are under way, so that they leave together: where a chat has many
// members, a write to each costs far more than one more message in it. It waits for no longer than the last flush took, nor than FeedGather, and not at
// all where that was short. What it fails to read is left to the next Read, which fails as well.
func (r *feedReader) gather(ctx context.Context, events []wire.Event, next wire.Offset) ([]wire.Event, wire.Offset) {
	if len(events) == 0 || r.flushed < gatherFrom {
		return events, next
	}
	srv, most := r.hub.srv, r.hub.sizes.get()
	for end := time.Now().Add(min(r.flushed, srv.limits.FeedGather)); len(events) < most && srv.underWay.expects(events) && time.Now().Before(end); {
		more, behind, err := r.More(ctx, next, gatherStep)
		if err != nil {
			break
		}
		events, next = append(events, more...), behind
	}
	return events, next
}
