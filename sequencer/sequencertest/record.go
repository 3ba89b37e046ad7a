package sequencertest

import (
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/quorate/quorate/sequencer/sequencertest/history"
	"github.com/quorate/quorate/sequencer/wire"
)

// Record holds what senders know of their messages, to be held against a chat's log afterwards. It is safe for
// concurrent use.
type Record struct {
	history *history.History

	mu     sync.Mutex
	began  time.Time
	ops    int
	sends  map[string]map[sendKey]*sent // by chat
	acks   int
	faults []error // broken promises that an answer alone shows
	more   chan struct{}
}

type sendKey struct{ sender, id string }

// sent is one message as its sender knows it.
type sent struct {
	op     *history.Op
	text   string
	begin  time.Duration // of the first try
	end    time.Duration // of the first acknowledgement
	seq    wire.Seq      // 0 until acknowledged
	stamps wire.Lamport
}

// NewRecord gives an empty record.
func NewRecord() *Record {
	return &Record{history: history.New(), began: time.Now(), sends: map[string]map[sendKey]*sent{}, more: make(chan struct{})}
}

// Begin notes a message before its first try.
func (r *Record) Begin(chat, sender, id, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sends[chat] == nil {
		r.sends[chat] = map[sendKey]*sent{}
	}
	r.ops++
	r.sends[chat][sendKey{sender, id}] = &sent{
		op: r.history.Append(r.ops, chat, sender, id, text), text: text, begin: time.Since(r.began),
	}
}

// Read begins a linearizable read of at most count messages of a chat, in order, from a seq on. Its caller ends it, with
// what was answered.
func (r *Record) Read(chat string, from wire.Seq, count int) *history.Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops++
	return r.history.Read(r.ops, chat, from, count)
}

// Acked notes an acknowledgement. Every one of the same message must tell the same.
func (r *Record) Acked(chat, sender, id string, seq wire.Seq, lamport wire.Lamport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sends[chat][sendKey{sender, id}]
	switch {
	case s == nil:
		r.faults = append(r.faults, fmt.Errorf("%s: ack of %s/%s, which was never sent", chat, sender, id))
		return
	case seq == 0:
		r.faults = append(r.faults, fmt.Errorf("%s: ack of %s/%s without a seq", chat, sender, id))
		return
	case s.seq != 0 && (s.seq != seq || s.stamps != lamport):
		r.faults = append(r.faults, fmt.Errorf("%s: %s/%s was acknowledged as %d (stamp %d) and as %d (stamp %d)",
			chat, sender, id, s.seq, s.stamps, seq, lamport))
		return
	case s.seq != 0:
		return
	}
	s.op.Acked(seq)
	s.seq, s.stamps, s.end = seq, lamport, time.Since(r.began)
	r.acks++
	close(r.more)
	r.more = make(chan struct{})
}

// Acks gives the number of messages that were acknowledged, and a channel that closes with the next one.
func (r *Record) Acks() (int, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.acks, r.more
}

// Chats lists the chats that messages were sent to.
func (r *Record) Chats() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	chats := make([]string, 0, len(r.sends))
	for chat := range r.sends {
		chats = append(chats, chat)
	}
	sort.Strings(chats)
	return chats
}

// Check holds a chat's whole log against the record and tells the first few promises that are broken. No message of the
// chat may be under way meanwhile. What it checks: the log is 1..N; time never runs backwards in it and stamps rise;
// every message in it was sent, once; every acknowledged message stands at its seq with its text; one that was begun
// after another had been acknowledged stands after it; and some order of all sends and reads explains every answer.
func (r *Record) Check(chat string, log []wire.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := faults{chat: chat}
	for _, f := range r.faults {
		found.add("%w", f)
	}
	found.dense(log)
	seen := map[sendKey]wire.Seq{}
	for _, m := range log {
		key := sendKey{m.SenderID, m.ClientMessageID}
		s := r.sends[chat][key]
		switch {
		case s == nil:
			found.add("seq %d holds %s/%s, which was never sent", m.Seq, key.sender, key.id)
		case s.text != m.Text:
			found.add("seq %d holds another text than %s/%s was sent with", m.Seq, key.sender, key.id)
		case seen[key] != 0:
			found.add("%s/%s stands at %d and at %d", key.sender, key.id, seen[key], m.Seq)
		case s.seq != 0 && (s.seq != m.Seq || s.stamps != m.Lamport):
			found.add("%s/%s was acknowledged as %d (stamp %d), the log has it at %d (stamp %d)",
				key.sender, key.id, s.seq, s.stamps, m.Seq, m.Lamport)
		}
		seen[key] = m.Seq
	}
	for key, s := range r.sends[chat] {
		if s.seq != 0 && seen[key] == 0 {
			found.add("LOST: %s/%s, acknowledged as %d of %d", key.sender, key.id, s.seq, len(log))
		}
	}
	found.realTime(r.sends[chat])
	if len(found.errs) == 0 {
		if err := r.history.Check(chat, log, judgeTime); err != nil {
			found.add("%w", err)
		}
	}
	return errors.Join(found.errs...)
}

// judgeTime is how long the search for an order of one chat's operations may take.
const judgeTime = time.Minute

// faults collects what is wrong with a chat's log, up to a readable number.
type faults struct {
	chat string
	errs []error
}

func (f *faults) add(format string, args ...any) {
	if len(f.errs) < 10 {
		f.errs = append(f.errs, fmt.Errorf(f.chat+": "+format, args...))
	}
}

func (f *faults) dense(log []wire.Message) {
	var last wire.Message
	for _, m := range log {
		switch {
		case m.Seq != last.Seq+1:
			f.add("seq %d comes after %d", m.Seq, last.Seq)
		case m.SentAt < last.SentAt:
			f.add("time runs backwards from seq %d to %d", last.Seq, m.Seq)
		case m.Lamport <= last.Lamport:
			f.add("the stamp does not rise from seq %d to %d", last.Seq, m.Seq)
		}
		last = m
	}
}

// realTime looks for a message that was acknowledged before another was begun, and yet has the higher seq.
func (f *faults) realTime(sends map[sendKey]*sent) {
	var byBegin, byEnd []*sent
	for _, s := range sends {
		if s.seq != 0 {
			byBegin, byEnd = append(byBegin, s), append(byEnd, s)
		}
	}
	sort.Slice(byBegin, func(i, j int) bool { return byBegin[i].begin < byBegin[j].begin })
	sort.Slice(byEnd, func(i, j int) bool { return byEnd[i].end < byEnd[j].end })
	var highest wire.Seq // of those acknowledged before the present one began
	done := 0
	for _, s := range byBegin {
		for done < len(byEnd) && byEnd[done].end < s.begin {
			highest = max(highest, byEnd[done].seq)
			done++
		}
		if s.seq < highest {
			f.add("seq %d was begun after seq %d had been acknowledged", s.seq, highest)
		}
	}
}
