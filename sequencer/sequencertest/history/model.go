package history

import (
	"fmt"
	"hash/fnv"

	"github.com/anishathalye/porcupine"

	"github.com/quorate/quorate/sequencer/wire"
)

// input is an operation with its answer: the seq of an append, what a read saw.
type input struct {
	op  *Op
	seq wire.Seq
}

// state is a chat: its newest message, and through it those before. It never changes; an append makes another one.
type state struct {
	length wire.Seq
	hash   uint64 // of all messages: equal states are equal chats
	key    key
	text   string
	before *state
}

// model is one chat that takes one operation at a time.
var model = porcupine.Model{
	Init: func() any { return &state{} },
	Step: func(at, in, _ any) (bool, any) {
		s, i := at.(*state), in.(input)
		if i.op.append {
			return s.append(i)
		}
		return s.read(i.op), s
	},
	Equal: func(a, b any) bool {
		return a.(*state).length == b.(*state).length && a.(*state).hash == b.(*state).hash
	},
	Hash: func(s any) uint64 { return s.(*state).hash },
}

// append answers length+1 for a new message, and what it answered before for one that is there.
func (s *state) append(i input) (bool, *state) {
	k := keyOf(i.op.msg)
	if i.seq <= s.length {
		there := s.at(i.seq)
		return there.key == k && there.text == i.op.msg.Text, s
	}
	if i.seq != s.length+1 {
		return false, s
	}
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d %q %q", s.hash, k, i.op.msg.Text)
	return true, &state{length: i.seq, hash: h.Sum64(), key: k, text: i.op.msg.Text, before: s}
}

// read answers the messages from a seq on: as many as were asked for, or up to the end.
func (s *state) read(o *Op) bool {
	want := min(o.count, int(max(s.length+1, o.from)-o.from))
	if len(o.saw) != want {
		return false
	}
	if want == 0 {
		return true
	}
	at := s.at(o.from + wire.Seq(want) - 1)
	for i := want - 1; i >= 0; i-- {
		m := o.saw[i]
		if m.Seq != at.length || keyOf(m) != at.key || m.Text != at.text {
			return false
		}
		at = at.before
	}
	return true
}

// at is the chat when seq was its newest message.
func (s *state) at(seq wire.Seq) *state {
	for s.length > seq {
		s = s.before
	}
	return s
}
