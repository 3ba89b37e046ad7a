package sequencertest

import (
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/quorate/quorate/bench/check"
	"github.com/quorate/quorate/sequencer/sequencertest/history"
	"github.com/quorate/quorate/sequencer/wire"
)

// Record holds what senders know of their messages, to be held against a chat's log afterwards: by the bench's judge, and by one who
// looks for an order that explains all answers. It is safe for concurrent use.
type Record struct {
	history *history.History

	mu     sync.Mutex
	ops    int
	chats  map[string]*recorded
	acks   int
	faults []error // broken promises of which no message can be told
	more   chan struct{}
}

// recorded is what was sent to one chat.
type recorded struct {
	judge *check.Judge // of this chat alone, so that what it finds is the chat's
	chat  *check.Chat
	sends map[sendKey]*sent
}

type sendKey struct{ sender, id string }

// sent is one message as its sender knows it.
type sent struct {
	op    *history.Op
	known *check.Send
}

// NewRecord gives an empty record.
func NewRecord() *Record {
	return &Record{history: history.New(), chats: map[string]*recorded{}, more: make(chan struct{})}
}

// Begin notes a message before its first try.
func (r *Record) Begin(chat, sender, id, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.chats[chat]
	if c == nil {
		j := check.New()
		c = &recorded{judge: j, chat: j.Chat(chat), sends: map[sendKey]*sent{}}
		r.chats[chat] = c
	}
	r.ops++
	c.sends[sendKey{sender, id}] = &sent{
		op: r.history.Append(r.ops, chat, sender, id, text), known: c.chat.Begin(sender, id, text, 0),
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
	var s *sent
	if c := r.chats[chat]; c != nil {
		s = c.sends[sendKey{sender, id}]
	}
	if s == nil {
		r.faults = append(r.faults, fmt.Errorf("%s: ack of %s/%s, which was never sent", chat, sender, id))
		return
	}
	first := s.known.Seq() == 0
	if s.known.Acked(seq, lamport); !first || seq == 0 {
		return
	}
	s.op.Acked(seq)
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
	chats := make([]string, 0, len(r.chats))
	for chat := range r.chats {
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
	errs := r.faults
	c := r.chats[chat]
	if c == nil {
		return errors.Join(append(errs, fmt.Errorf("%s: nothing was sent to it", chat))...)
	}
	c.chat.Log(log, true)
	checks := c.judge.Finish()
	for _, f := range checks.First {
		errs = append(errs, fmt.Errorf("%s: %s: %s", chat, f.Kind, f.What))
	}
	if len(errs) == 0 {
		if err := r.history.Check(chat, log, judgeTime); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// judgeTime is how long the search for an order of one chat's operations may take.
const judgeTime = time.Minute
