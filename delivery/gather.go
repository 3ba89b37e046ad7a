package delivery

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

const (
	gatherFrom = 500 * time.Microsecond // that the last flush took: for a shorter one nothing is waited for
	gatherStep = time.Millisecond       // of one read
)

// underWay counts the messages of this node's own sessions that the sequencer has not answered, by the slot of their chat. Safe for
// concurrent use.
type underWay struct {
	slots [wire.Slots]atomic.Int32
}

func (u *underWay) begin(chatID string) { u.slots[wire.SlotOf(chatID)].Add(1) }
func (u *underWay) end(chatID string)   { u.slots[wire.SlotOf(chatID)].Add(-1) }

// expects tells whether more is under way to one of some chats than what was read of it just now, whose answers may be a little later.
func (u *underWay) expects(read map[string]int) bool {
	for chatID, n := range read {
		if int(u.slots[wire.SlotOf(chatID)].Load()) > n {
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
	read := map[string]int{}
	tallyMessages(read, events)
	for end := time.Now().Add(min(r.flushed, srv.limits.FeedGather)); len(events) < most && srv.underWay.expects(read) && time.Now().Before(end); {
		more, behind, err := r.More(ctx, next, gatherStep)
		if err != nil {
			break
		}
		for chatID := range read {
			read[chatID] = 0
		}
		tallyMessages(read, more)
		events, next = append(events, more...), behind
	}
	return events, next
}

// tallyMessages adds how many messages of each chat are among events.
func tallyMessages(read map[string]int, events []wire.Event) {
	for i := range events {
		if events[i].Kind == wire.EventMessage {
			read[events[i].ChatID]++
		}
	}
}
