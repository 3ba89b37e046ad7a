package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/sequencer/wire"
)

// Shown is a message as a member was shown it. Its strings may lie in a buffer: what is kept is copied.
type Shown struct {
	Seq              wire.Seq
	Sender, ID, Text string
	Stamp            wire.Lamport // 0 where it was not told
	SentAt           wire.Millis  // likewise
}

// Reader is one member of a chat on one device, who must be shown every message from a seq on, in order, once.
type Reader struct {
	chat    *Chat
	who     string
	from    wire.Seq
	next    wire.Seq
	skipped []wire.Seq // that came not in their turn; at most maxSkipped
	gone    bool
	marks   map[string]*Marks
}

// Marks is how far a member has come.
type Marks struct{ Delivered, Read wire.Seq }

// maxSkipped bounds the gaps of one reader that are remembered.
const maxSkipped = 1000

// Reader adds a member who is to be shown everything from a seq on.
func (c *Chat) Reader(who string, from wire.Seq) *Reader {
	r := &Reader{chat: c, who: who, from: from, next: from}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readers = append(c.readers, r)
	return r
}

// Next is the seq that is to be shown next: the cursor to resume with.
func (r *Reader) Next() wire.Seq {
	r.chat.mu.Lock()
	defer r.chat.mu.Unlock()
	return r.next
}

// Shown notes a message that was shown. It tells whether it was new.
func (r *Reader) Shown(m *Shown) (fresh bool) {
	c := r.chat
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Delivered++
	switch {
	case m.Seq == r.next:
		fresh = true
	case m.Seq > r.next && m.Seq <= r.next+maxAhead:
		c.judge.broken(Gap, c.id, "%s was shown seq %d in place of %d", r.who, m.Seq, r.next)
		for seq := r.next; seq < m.Seq && len(r.skipped) < maxSkipped; seq++ {
			r.skipped = append(r.skipped, seq)
		}
		fresh = true
	default:
		r.late(m.Seq)
	}
	if fresh {
		r.next = m.Seq + 1
	}
	c.shown(r.who, m)
	return fresh
}

// late takes a message whose turn is over.
func (r *Reader) late(seq wire.Seq) {
	c := r.chat
	if i := slices.Index(r.skipped, seq); i >= 0 {
		r.skipped = slices.Delete(r.skipped, i, i+1)
		c.judge.broken(Reordered, c.id, "%s was shown seq %d after %d", r.who, seq, r.next-1)
		return
	}
	c.judge.broken(Duplicate, c.id, "%s was shown seq %d again, after %d", r.who, seq, r.next-1)
}

// Leave says that the reader need not be shown anything more.
func (r *Reader) Leave() {
	r.chat.mu.Lock()
	defer r.chat.mu.Unlock()
	r.gone = true
}

// finish looks that all was shown. The caller holds the chat's lock.
func (r *Reader) finish() {
	c := r.chat
	last := wire.Seq(len(c.log))
	for last > 0 && !c.log[last-1].known {
		last--
	}
	for _, s := range c.sends {
		last = max(last, s.seq)
	}
	if !r.gone && r.next <= last {
		c.judge.broken(Lost, c.id, "%s was not shown %s", r.who, span(r.next, last))
	}
	for _, seq := range r.skipped {
		c.judge.broken(Lost, c.id, "%s was not shown seq %d", r.who, seq)
	}
}

func span(from, to wire.Seq) string {
	if from == to {
		return fmt.Sprintf("seq %d", from)
	}
	return fmt.Sprintf("seqs %d to %d", from, to)
}

// Receipt notes that the reader was told how far a member has come; 0 is a mark that was not told. It keeps nothing of the user's id as it
// is given.
func (r *Reader) Receipt(user string, told Marks) {
	c := r.chat
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Receipts++
	was := r.marks[user]
	if was == nil { // a map takes the last key that it is given for its own, so there is one assignment, of a copy
		if was = new(Marks); r.marks == nil {
			r.marks = map[string]*Marks{}
		}
		r.marks[strings.Clone(user)] = was
	}
	if told.Delivered != 0 && told.Delivered < was.Delivered || told.Read != 0 && told.Read < was.Read {
		c.judge.broken(Receipt, c.id, "%s was told that %s has %d delivered and %d read, after %d and %d",
			r.who, user, told.Delivered, told.Read, was.Delivered, was.Read)
	}
	if told.Read > told.Delivered && told.Delivered != 0 {
		c.judge.broken(Receipt, c.id, "%s was told that %s has read up to %d with %d delivered", r.who, user, told.Read, told.Delivered)
	}
	was.Delivered, was.Read = max(was.Delivered, told.Delivered), max(was.Read, told.Read)
}

// Seen gives how far a member has come, as the reader was told.
func (r *Reader) Seen(user string) Marks {
	r.chat.mu.Lock()
	defer r.chat.mu.Unlock()
	if m := r.marks[user]; m != nil {
		return *m
	}
	return Marks{}
}
