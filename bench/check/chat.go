package check

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/sequencer/wire"
)

// Chat is what clients sent to one chat and were told of it.
type Chat struct {
	judge *Judge
	id    string

	mu      sync.Mutex
	sends   []*Send
	log     []entry // by seq-1
	readers []*Reader
	closed  bool // the log was read back whole: what is not in it is not there
	counts  measure.Checks
}

// ID is the chat's id.
func (c *Chat) ID() string { return c.id }

// entry is what stands at a seq, as the first one told who was shown it.
type entry struct {
	known      bool
	sender, id string
	text       string
	stamp      wire.Lamport
	sentAt     wire.Millis
}

// Send is one message as its sender knows it.
type Send struct {
	chat       *Chat
	sender, id string
	text       string
	seen       wire.Lamport
	begin, end time.Duration // of the first try and of the first ack, since the judge began
	seq        wire.Seq      // 0 until acknowledged
	stamp      wire.Lamport
	again      bool // it was offered once more after its ack
}

// Begin notes a message before its first try. seen is the highest stamp that its sender has been shown in any chat.
func (c *Chat) Begin(sender, id, text string, seen wire.Lamport) *Send {
	s := &Send{chat: c, sender: sender, id: id, text: text, seen: seen, begin: time.Since(c.judge.began)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sends = append(c.sends, s)
	c.counts.Sent++
	return s
}

// Again notes that the message is offered once more, though it was acknowledged.
func (s *Send) Again() {
	s.chat.mu.Lock()
	defer s.chat.mu.Unlock()
	s.again = true
}

// Seq is what the message was acknowledged as, 0 while it was not.
func (s *Send) Seq() wire.Seq {
	s.chat.mu.Lock()
	defer s.chat.mu.Unlock()
	return s.seq
}

// Acked notes an acknowledgement. Every one of the same message must tell the same. stamp 0 is one that was not told.
func (s *Send) Acked(seq wire.Seq, stamp wire.Lamport) {
	c := s.chat
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.seq != 0 {
		c.counts.Replayed++
		if s.seq != seq || s.stamp != stamp {
			c.judge.broken(Dedup, c.id, "%s/%s was acknowledged as %d (stamp %d), and again as %d (stamp %d)", s.sender, s.id, s.seq, s.stamp, seq, stamp)
		}
		return
	}
	c.counts.Acked++
	if seq == 0 {
		c.judge.broken(Invented, c.id, "%s/%s was acknowledged without a seq", s.sender, s.id)
		return
	}
	s.seq, s.stamp, s.end = seq, stamp, time.Since(c.judge.began)
	if s.seen > 0 && stamp > 0 && stamp <= s.seen {
		c.judge.broken(Causal, c.id, "%s/%s has stamp %d, and its sender had seen %d", s.sender, s.id, stamp, s.seen)
	}
}

// at gives the entry of a seq, nil where that is beyond reason: a liar must not have us take all memory.
func (c *Chat) at(seq wire.Seq) *entry {
	if seq == 0 || seq > wire.Seq(len(c.log))+maxAhead {
		return nil
	}
	for wire.Seq(len(c.log)) < seq {
		c.log = append(c.log, entry{})
	}
	return &c.log[seq-1]
}

// maxAhead is how far beyond what is known a seq may be.
const maxAhead = 10_000_000

// shown notes that somebody was told what stands at a seq. The caller holds mu. what is who was told.
func (c *Chat) shown(who string, m *Shown) {
	e := c.at(m.Seq)
	switch {
	case e == nil:
		c.judge.broken(Gap, c.id, "%s was shown seq %d, the log ends near %d", who, m.Seq, len(c.log))
	case !e.known:
		*e = entry{
			known: true, sender: strings.Clone(m.Sender), id: strings.Clone(m.ID), text: strings.Clone(m.Text), stamp: m.Stamp,
			sentAt: m.SentAt,
		}
	case e.sender != m.Sender || e.id != m.ID || e.text != m.Text:
		c.judge.broken(WrongBody, c.id, "%s was shown %s/%s %.60q at seq %d, another one was shown %s/%s %.60q",
			who, m.Sender, m.ID, m.Text, m.Seq, e.sender, e.id, e.text)
	case m.Stamp != 0 && e.stamp != 0 && e.stamp != m.Stamp:
		c.judge.broken(Causal, c.id, "%s was shown stamp %d at seq %d, another one was shown %d", who, m.Stamp, m.Seq, e.stamp)
	}
}

// Log takes the whole log as it was read back, from seq 1 on; complete says that nothing is behind it.
func (c *Chat) Log(log []wire.Message, complete bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := wire.Seq(1)
	for i := range log {
		m := &log[i]
		switch {
		case m.Seq > next:
			c.judge.broken(Gap, c.id, "the log leaves out %d to %d", next, m.Seq-1)
		case m.Seq < next:
			c.judge.broken(Duplicate, c.id, "the log holds seq %d again after %d", m.Seq, next-1)
			continue
		}
		c.counts.Read++
		c.shown("who read the log", &Shown{Seq: m.Seq, Sender: m.SenderID, ID: m.ClientMessageID, Text: m.Text, Stamp: m.Lamport, SentAt: m.SentAt})
		next = m.Seq + 1
	}
	c.closed = c.closed || complete
}

// Broken notes a promise that its caller found broken.
func (c *Chat) Broken(kind, format string, args ...any) {
	c.judge.broken(kind, c.id, format, args...)
}

// Page takes a page that somebody asked for, of so many messages from a seq on, of a chat that holds last messages.
func (c *Chat) Page(who string, from wire.Seq, count int, last wire.Seq, page []wire.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := from
	for i := range page {
		m := &page[i]
		if m.Seq != next {
			c.judge.broken(Gap, c.id, "%s read seq %d in place of %d", who, m.Seq, next)
		}
		c.counts.Read++
		c.shown(who, &Shown{Seq: m.Seq, Sender: m.SenderID, ID: m.ClientMessageID, Text: m.Text, Stamp: m.Lamport, SentAt: m.SentAt})
		next = m.Seq + 1
	}
	if want := min(from+wire.Seq(count), last+1); next < want && len(page) == 0 {
		c.judge.broken(Lost, c.id, "%s read nothing from %d on, of %d", who, from, last)
	}
}

type key struct{ sender, id string }

// finish holds sends, log and readers against each other.
func (c *Chat) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	sent := make(map[key]*Send, len(c.sends))
	for _, s := range c.sends {
		sent[key{s.sender, s.id}] = s
	}
	c.stamps()
	c.compare(sent, c.places(sent))
	c.realTime()
	for _, r := range c.readers {
		r.finish()
	}
}

// stamps looks that they rise from seq to seq, and that the time does not run backwards.
func (c *Chat) stamps() {
	last, lastSeq, at := wire.Lamport(0), 0, wire.Millis(0)
	for i := range c.log {
		e := &c.log[i]
		if e.sentAt != 0 && e.sentAt < at {
			c.judge.broken(Time, c.id, "time runs backwards by %d ms to seq %d", at-e.sentAt, i+1)
		}
		at = max(at, e.sentAt)
		if !e.known || e.stamp == 0 {
			continue
		}
		if e.stamp <= last {
			c.judge.broken(Causal, c.id, "the stamp is %d at seq %d and %d at seq %d", last, lastSeq, e.stamp, i+1)
		}
		last, lastSeq = e.stamp, i+1
	}
}

// places gives where each message stands, and finds those that stand twice: it is one promise that nothing is there twice, and another
// that a message which is offered again is known again.
func (c *Chat) places(sent map[key]*Send) map[key]wire.Seq {
	places := make(map[key]wire.Seq, len(c.log))
	for i := range c.log {
		e := &c.log[i]
		if !e.known {
			continue
		}
		k := key{e.sender, e.id}
		if first := places[k]; first != 0 {
			kind := Duplicate
			if s := sent[k]; s != nil && s.again {
				kind = Dedup
			}
			c.judge.broken(kind, c.id, "%s/%s stands at seq %d and at seq %d", e.sender, e.id, first, i+1)
			continue
		}
		places[k] = wire.Seq(i + 1)
	}
	return places
}

// compare holds what was sent against what stands in the log.
func (c *Chat) compare(sent map[key]*Send, places map[key]wire.Seq) {
	for k, s := range sent {
		at := places[k]
		if at == 0 {
			if s.seq != 0 && (c.closed || s.seq <= wire.Seq(len(c.log)) && c.log[s.seq-1].known) {
				c.judge.broken(Lost, c.id, "%s/%s was acknowledged as %d and is not there", s.sender, s.id, s.seq)
			}
			continue
		}
		e := &c.log[at-1]
		if s.seq != 0 && at != s.seq {
			c.judge.broken(Reordered, c.id, "%s/%s was acknowledged as %d and stands at %d", s.sender, s.id, s.seq, at)
		}
		if e.text != s.text {
			c.judge.broken(WrongBody, c.id, "seq %d holds %.60q, sent was %.60q", at, e.text, s.text)
		}
		if s.stamp != 0 && e.stamp != 0 && s.stamp != e.stamp {
			c.judge.broken(Causal, c.id, "%s/%s was acknowledged with stamp %d and stands with %d", s.sender, s.id, s.stamp, e.stamp)
		}
	}
	for k, at := range places {
		if sent[k] == nil {
			c.judge.broken(Invented, c.id, "seq %d holds %s/%s, which was never sent", at, k.sender, k.id)
		}
	}
}

// realTime looks for a message that was acknowledged before another was begun, and yet has the higher seq.
func (c *Chat) realTime() {
	var byBegin, byEnd []*Send
	for _, s := range c.sends {
		if s.seq != 0 {
			byBegin = append(byBegin, s)
		}
	}
	byEnd = slices.Clone(byBegin)
	slices.SortStableFunc(byBegin, func(a, b *Send) int { return int(a.begin - b.begin) })
	slices.SortStableFunc(byEnd, func(a, b *Send) int { return int(a.end - b.end) })
	var highest *Send // of those acknowledged before the present one began
	done := 0
	for _, s := range byBegin {
		for done < len(byEnd) && byEnd[done].end < s.begin {
			if highest == nil || byEnd[done].seq > highest.seq {
				highest = byEnd[done]
			}
			done++
		}
		if highest != nil && s.seq < highest.seq {
			c.judge.broken(RealTime, c.id, "%s/%s at seq %d was begun after %s/%s at seq %d had been acknowledged",
				s.sender, s.id, s.seq, highest.sender, highest.id, highest.seq)
		}
	}
}
