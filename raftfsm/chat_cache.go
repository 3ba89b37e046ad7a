package raftfsm

import "container/list"

// chatCache holds the chats that were used last, decoded. Only the apply goroutine uses it. It shrinks only between
// entries: within one, a chat that was changed must stay.
type chatCache struct {
	limit int
	byID  map[string]*list.Element
	used  *list.List // of *chat, the last used first
}

func newChatCache(limit int) *chatCache {
	return &chatCache{limit: limit, byID: map[string]*list.Element{}, used: list.New()}
}

func (c *chatCache) get(id string) *chat {
	e, ok := c.byID[id]
	if !ok {
		return nil
	}
	c.used.MoveToFront(e)
	return e.Value.(*chat)
}

func (c *chatCache) put(ch *chat) { c.byID[ch.id] = c.used.PushFront(ch) }

// trim drops the chats that were used longest ago, down to the limit.
func (c *chatCache) trim() {
	for c.used.Len() > c.limit {
		oldest := c.used.Remove(c.used.Back()).(*chat)
		delete(c.byID, oldest.id)
	}
}
