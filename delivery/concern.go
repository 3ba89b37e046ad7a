package delivery

import "github.com/quorate/quorate/sequencer/wire"

// A receipt concerns the senders of the messages that it covers, and the reader's own devices: those between what the reader had been
// delivered or had read before and what he has now. So of each chat in the member cache that has more than two members the cache remembers who
// sent the last messages, and how far each member is. Where either is not known, a receipt is told to all members.

const (
	maxTrail  = 256       // messages of one chat whose sender is remembered
	maxTrails = 1_000_000 // and of all chats together
)

// trail is who sent the last messages of a chat, without a hole, and how far its members are. The cache's lock guards it.
type trail struct {
	first   wire.Seq // of senders
	senders []string
	marks   map[string]wire.Mark // nil until they have been read
}

// note remembers a message's sender, and returns how many more are remembered than before.
func (t *trail) note(seq wire.Seq, sender string, most int) (more int) {
	before := len(t.senders)
	switch {
	case before == 0 || seq != t.first+wire.Seq(before):
		if before > 0 && seq < t.first+wire.Seq(before) {
			return 0 // it was noted
		}
		t.first, t.senders = seq, t.senders[:0]
	case before >= most:
		drop := before/2 + 1
		t.senders = append(t.senders[:0], t.senders[drop:]...)
		t.first += wire.Seq(drop)
	}
	t.senders = append(t.senders, sender)
	return len(t.senders) - before
}

// rise takes a receipt and returns the messages that it newly covers, (after, upTo]; known is false where that cannot be told.
func (t *trail) rise(marks *wire.Watermarks) (after, upTo wire.Seq, known bool) {
	old, ok := t.marks[marks.UserID]
	if t.marks == nil {
		return 0, 0, false
	}
	t.marks[marks.UserID] = wire.Mark{Delivered: max(old.Delivered, marks.Delivered), Read: max(old.Read, marks.Read)}
	delivered, read := marks.Delivered > old.Delivered, marks.Read > old.Read
	switch {
	case !ok || !delivered && !read: // of one who came later, or of before the marks were read
		return 0, 0, false
	case delivered && read:
		return min(old.Delivered, old.Read), max(marks.Delivered, marks.Read), true
	case delivered:
		return old.Delivered, marks.Delivered, true
	default:
		return old.Read, marks.Read, true
	}
}

// between gives the senders of the messages after one and up to another, each once; known is false where some are not remembered.
func (t *trail) between(after, upTo wire.Seq) (senders []string, known bool) {
	if after+1 < t.first || upTo >= t.first+wire.Seq(len(t.senders)) {
		return nil, false
	}
	seen := map[string]bool{}
	for _, s := range t.senders[after+1-t.first : upTo+1-t.first] {
		if !seen[s] {
			seen[s] = true
			senders = append(senders, s)
		}
	}
	return senders, true
}

// sent remembers who sent a message.
func (m *memberCache) sent(msg *wire.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.chats[msg.ChatID]; c != nil && c.marks != nil {
		most := maxTrail
		if m.trails >= maxTrails {
			most = max(len(c.senders), 1)
		}
		m.trails += c.note(msg.Seq, msg.SenderID, most)
	}
}

// concerned gives the members whom a receipt concerns, its reader among them; all means every member.
func (m *memberCache) concerned(chatID string, marks *wire.Watermarks) (users []string, all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.chats[chatID]
	if c == nil || c.marks == nil {
		return nil, true
	}
	after, upTo, known := c.rise(marks)
	if !known {
		return nil, true
	}
	senders, known := c.between(after, upTo)
	if !known {
		return nil, true
	}
	for _, s := range senders {
		if s != marks.UserID {
			users = append(users, s)
		}
	}
	return append(users, marks.UserID), false
}

// readMarks asks how far the members of a chat are, before anything of it is handed on. In a chat of two a receipt is for both anyway.
func (m *memberCache) readMarks(c *cachedChat, chat *wire.Chat) {
	if len(chat.Members) <= 2 {
		m.filled(c, chat, nil)
		return
	}
	m.seq.ReceiptsAsync(m.timeout, c.id, func(list []wire.Watermarks, err error) {
		if err == nil { // else receipts go to all
			marks := make(map[string]wire.Mark, len(list))
			for i := range list {
				marks[list[i].UserID] = wire.Mark{Delivered: list[i].Delivered, Read: list[i].Read}
			}
			m.mu.Lock()
			c.marks = marks
			m.mu.Unlock()
		}
		m.filled(c, chat, nil)
	})
}
