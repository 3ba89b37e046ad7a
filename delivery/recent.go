package delivery

import (
	"container/list"
	"sync"
	"sync/atomic"

	"github.com/quorate/quorate/sequencer/wire"
)

// recent keeps the last messages of the chats that were pushed to sessions of this node, so that those who come back soon are not read for
// from the sequencer. Of each chat it has a run without a hole. It knows nothing of who may read what, nor where a chat ends: whoever asks does.
type recent struct {
	most  int // bytes
	chats map[string]*recentChat
	order *list.List // of *recentChat, the one with the latest message in front

	mu    sync.Mutex
	bytes int

	hits, misses atomic.Uint64 // pages of catch-up
}

// recentChat is the run of one chat.
type recentChat struct {
	id    string
	first wire.Seq
	list  []recentMessage
	bytes int
	elem  *list.Element
}

// recentMessage is a message as sessions get it.
type recentMessage struct {
	seq   wire.Seq
	frame []byte
}

const (
	recentRun  = 128 // messages of one chat
	recentCost = 64  // bytes that a message takes beside its frame
)

func newRecent(most int) *recent {
	return &recent{most: most, chats: map[string]*recentChat{}, order: list.New()}
}

// add takes a message that was just pushed.
func (r *recent) add(m *message) {
	frame := m.forStream()
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.chats[m.ChatID]
	if c == nil {
		c = &recentChat{id: m.ChatID}
		c.elem = r.order.PushFront(c)
		r.chats[m.ChatID] = c
	}
	next := c.first + wire.Seq(len(c.list))
	if len(c.list) > 0 && m.Seq < next {
		return // it is there
	}
	switch {
	case len(c.list) == 0 || m.Seq != next:
		r.drop(c, len(c.list))
		c.first = m.Seq
	case len(c.list) == recentRun:
		r.drop(c, recentRun/2)
	}
	c.list = append(c.list, recentMessage{m.Seq, frame})
	c.bytes += len(frame) + recentCost
	r.bytes += len(frame) + recentCost
	r.order.MoveToFront(c.elem)
	for r.bytes > r.most && r.order.Len() > 1 {
		last := r.order.Back().Value.(*recentChat)
		r.drop(last, len(last.list))
		r.order.Remove(last.elem)
		delete(r.chats, last.id)
	}
}

// drop takes the first n messages out of a run. Called with mu held.
func (r *recent) drop(c *recentChat, n int) {
	for _, m := range c.list[:n] {
		c.bytes -= len(m.frame) + recentCost
		r.bytes -= len(m.frame) + recentCost
	}
	kept := copy(c.list, c.list[n:])
	clear(c.list[kept:])
	c.list = c.list[:kept]
	c.first += wire.Seq(n)
}

// page gives the messages of a chat from one on, at most count of them, where all up to another one are there.
func (r *recent) page(chatID string, from, upTo wire.Seq, count int) (page []recentMessage, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.chats[chatID]
	if c == nil || from < c.first || upTo >= c.first+wire.Seq(len(c.list)) {
		r.misses.Add(1)
		return nil, false
	}
	r.hits.Add(1)
	run := c.list[from-c.first:]
	return append(page, run[:min(len(run), count)]...), true // a copy: the run is changed in place
}

// size gives the bytes that are kept.
func (r *recent) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes
}
