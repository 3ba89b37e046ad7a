package notify

import (
	"container/list"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// chat is one of which the feed told lately. While it has steps, is looked at or has notices it is kept; then it is remembered while there is
// room, so that the next message of a chat whose members are all there costs no look-up.
type chat struct {
	id      string
	steps   []step        // messages that nobody has looked after yet, oldest first
	marks   []mark        // of the members, sorted; they may be behind, never ahead
	known   bool          // marks has all members
	looking bool          // CHAT.RECEIPTS is under way
	missed  bool          // members changed meanwhile
	last    newest        // the newest message,
	other   newest        // and the newest of another sender than last's
	notices int           // under way
	failed  int           // looks in a row
	alarm   *alarm        // for the first step
	place   *list.Element // among those that are only remembered; nil while the chat is kept
}

// step is a few messages of one chat that are looked after together.
type step struct {
	due    time.Time
	opened time.Time // when its first message was due
	last   newest    // as in chat
	other  wire.Seq
	entry  *entry // of its first message
}

// newest is a message as a notification shows it.
type newest struct {
	seq    wire.Seq
	sender string
	text   string
	sentAt wire.Millis
}

// mark is how far one member is.
type mark struct {
	user      string
	delivered wire.Seq
	told      wire.Seq // a notice stands for all up to here
	own       wire.Seq // the last message that he sent himself
}

// add takes the next message in. The first of several that are due within span of each other has the entry; made says whether a step was.
func (c *chat) add(m *wire.Message, due time.Time, span time.Duration, text int) (made *step) {
	n := newest{m.Seq, m.SenderID, clip(m.Text, text), m.SentAt}
	if c.last.seq > 0 && c.last.sender != n.sender {
		c.other = c.last
	}
	c.last = n
	if w := c.mark(m.SenderID); w != nil {
		w.own = m.Seq
	}
	if len(c.steps) > 0 {
		s := &c.steps[len(c.steps)-1]
		if due.Sub(s.opened) <= span {
			if s.last.sender != n.sender {
				s.other = s.last.seq
			}
			s.last, s.due = n, due
			return nil
		}
	}
	c.steps = append(c.steps, step{due: due, opened: due, last: n})
	return &c.steps[len(c.steps)-1]
}

// foreign is the newest message of the step that somebody else than the user sent, 0 where there is none.
func (s *step) foreign(user string) wire.Seq {
	if s.last.sender != user {
		return s.last.seq
	}
	return s.other
}

// foreign is the newest message of the chat that somebody else than the user sent.
func (c *chat) foreign(user string) newest {
	if c.last.sender != user {
		return c.last
	}
	return c.other
}

// due counts the steps whose time has come.
func (c *chat) due(now time.Time) (n int) {
	for n < len(c.steps) && !c.steps[n].due.After(now) {
		n++
	}
	return n
}

// owed gives the first of some steps with a message that a member has not got and was not told of; nil where there is none.
func (m *mark) owed(steps []step) *step {
	for i := range steps {
		if steps[i].foreign(m.user) > max(m.delivered, m.told) {
			return &steps[i]
		}
	}
	return nil
}

// reached tells whether all members are known to have got the messages of some steps, or to be told of them.
func (c *chat) reached(steps []step) bool {
	return c.known && !slices.ContainsFunc(c.marks, func(m mark) bool { return m.owed(steps) != nil })
}

func (c *chat) mark(user string) *mark {
	if i, ok := slices.BinarySearchFunc(c.marks, user, func(m mark, user string) int { return strings.Compare(m.user, user) }); ok {
		return &c.marks[i]
	}
	return nil
}

// learn takes the watermarks of all members. What is known of those who stay is kept.
func (c *chat) learn(all []wire.Watermarks) {
	marks := make([]mark, 0, len(all))
	for _, w := range all {
		m := mark{user: strings.Clone(w.UserID), delivered: w.Delivered}
		if old := c.mark(w.UserID); old != nil {
			m.delivered, m.told, m.own = max(old.delivered, m.delivered), old.told, old.own
		}
		marks = append(marks, m)
	}
	slices.SortFunc(marks, func(a, b mark) int { return strings.Compare(a.user, b.user) })
	c.marks, c.known = marks, !c.missed
	c.missed = false
}

// receipt takes a rise that the feed tells of.
func (c *chat) receipt(w *wire.Watermarks) {
	if m := c.mark(w.UserID); m != nil {
		m.delivered = max(m.delivered, w.Delivered)
	}
}

// busy tells whether the chat must be kept.
func (c *chat) busy() bool { return len(c.steps) > 0 || c.looking || c.notices > 0 }

// clip gives the beginning of a text, which parts no rune and keeps no longer text alive.
func clip(text string, most int) string {
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return strings.Clone(text)
}
