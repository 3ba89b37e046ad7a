package delivery

import (
	"hash/maphash"
	"sync"

	"github.com/quorate/quorate/delivery/relay"
	"github.com/quorate/quorate/sequencer/wire"
)

// told keeps receipts from going back. When a feed changes hands a piece of it comes twice: against that messages have the sessions' cursors, and
// receipts this. It remembers what this node told of each member of a chat last. What it forgets, for want of room, was long ago: a feed that comes again
// begins where this node stood a moment before.
type told struct {
	seed   maphash.Seed
	shards [16]toldShard
}

// toldShard is a part of the chats. The older generation is forgotten when the younger one is full.
type toldShard struct {
	mu             sync.Mutex
	most           int
	younger, older map[toldKey]toldMarks
}

type toldKey struct{ chatID, userID string }

type toldMarks struct{ delivered, read wire.Seq }

// newTold gives one that remembers at least most of the last members that it told of.
func newTold(most int) *told {
	t := &told{seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i].most = max(1, most/len(t.shards))
		t.shards[i].younger = map[toldKey]toldMarks{}
	}
	return t
}

// begin is called before a receipt is given to sessions, and end when all have it: meanwhile nobody else tells of its chat, so that all sessions see the
// same order. It is false where more has been told already; then end must not follow.
func (t *told) begin(i *relay.Item) bool {
	s := t.shard(i.ChatID)
	s.mu.Lock()
	if s.rises(toldKey{i.ChatID, i.Marks.UserID}, toldMarks{i.Marks.Delivered, i.Marks.Read}) {
		return true
	}
	s.mu.Unlock()
	return false
}

func (t *told) end(i *relay.Item) { t.shard(i.ChatID).mu.Unlock() }

func (t *told) shard(chatID string) *toldShard {
	return &t.shards[maphash.String(t.seed, chatID)%uint64(len(t.shards))]
}

// rises remembers marks unless they are below what is remembered. Called with mu held.
func (s *toldShard) rises(key toldKey, m toldMarks) bool {
	have, ok := s.younger[key]
	if !ok {
		have = s.older[key]
	}
	if m.delivered < have.delivered || m.read < have.read {
		return false
	}
	if !ok && len(s.younger) >= s.most {
		s.younger, s.older = make(map[toldKey]toldMarks, s.most), s.younger
	}
	s.younger[key] = m
	return true
}
