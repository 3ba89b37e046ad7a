// Package history records what clients of a chat did and saw, and judges whether one chat that takes one operation at a
// time could have answered so. It imports nothing of ours but wire, so that every package's tests can use it.
package history

import (
	"sync"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// History is what the clients of some chats did. It is safe for concurrent use.
type History struct {
	mu    sync.Mutex
	began time.Time
	chats map[string][]*Op
}

// New gives an empty history, whose clock begins now.
func New() *History { return &History{began: time.Now(), chats: map[string][]*Op{}} }

// outcome is what a client knows of its operation.
type outcome int

const (
	unknown outcome = iota // no answer, or one that leaves it open
	ok
	refused // certain not to have happened
)

// Op is one operation of one client, from its first try to the answer. A client has one at a time.
type Op struct {
	h       *History
	client  int
	call    time.Duration
	end     time.Duration
	outcome outcome

	append bool
	msg    wire.Message // of an append; Seq is what was answered
	from   wire.Seq     // of a read: the first seq that was asked for
	count  int          // and how many
	saw    []wire.Message
}

// Append begins the sending of a message: all tries of it until one is answered are one operation. Sending it again after
// that is another one.
func (h *History) Append(client int, chat, sender, id, text string) *Op {
	return h.add(chat, &Op{client: client, append: true, msg: wire.Message{
		ChatID: chat, SenderID: sender, ClientMessageID: id, Text: text,
	}})
}

// Read begins a linearizable read of at most count messages of a chat, in order, from a seq on.
func (h *History) Read(client int, chat string, from wire.Seq, count int) *Op {
	return h.add(chat, &Op{client: client, from: from, count: count})
}

func (h *History) add(chat string, o *Op) *Op {
	h.mu.Lock()
	defer h.mu.Unlock()
	o.h, o.call = h, time.Since(h.began)
	h.chats[chat] = append(h.chats[chat], o)
	return o
}

// Acked ends an append that was answered with a seq.
func (o *Op) Acked(seq wire.Seq) { o.finish(func() { o.outcome, o.msg.Seq = ok, seq }) }

// Saw ends a read with what it was answered.
func (o *Op) Saw(messages []wire.Message) { o.finish(func() { o.outcome, o.saw = ok, messages }) }

// Refused ends an operation that surely did not happen: every try was refused before it was proposed. One that is never
// ended has an unknown outcome.
func (o *Op) Refused() { o.finish(func() { o.outcome = refused }) }

func (o *Op) finish(set func()) {
	o.h.mu.Lock()
	defer o.h.mu.Unlock()
	o.end = time.Since(o.h.began)
	set()
}

// Chats counts the operations on each chat.
func (h *History) Chats() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := map[string]int{}
	for chat, ops := range h.chats {
		n[chat] = len(ops)
	}
	return n
}
