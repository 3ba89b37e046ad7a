package history

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/quorate/quorate/sequencer/wire"
)

// ErrUndecided says that the judge ran out of time. It is not a pass: the history counts as not checked.
var ErrUndecided = errors.New("undecided: the history was not checked")

// ErrNotLinearizable says that no order of the operations explains all answers.
var ErrNotLinearizable = errors.New("not linearizable")

// MaxOps bounds what is judged at once: it takes memory by the square, 50 MB for as many.
const MaxOps = 20000

// Check judges what was done in a chat, given its whole log at the end, when nothing is under way any more. The log tells
// what became of operations without an answer. First comes what is cheap: the log is 1..N, holds no message twice, every
// acknowledged message at its seq with its text, and none that was surely refused or never sent. Then porcupine looks for
// an order, for at most limit.
func (h *History) Check(chat string, log []wire.Message, limit time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	ops := h.chats[chat]
	if len(ops) > MaxOps {
		return fmt.Errorf("%s: %w: %d operations, at most %d", chat, ErrUndecided, len(ops), MaxOps)
	}
	if err := checkLog(ops, log); err != nil {
		return fmt.Errorf("%s: %w", chat, err)
	}
	history, err := judged(ops, log)
	if err != nil {
		return fmt.Errorf("%s: %w", chat, err)
	}
	switch porcupine.CheckOperationsTimeout(model, history, limit) {
	case porcupine.Ok:
		return nil
	case porcupine.Illegal:
		return fmt.Errorf("%s: %w: %d operations", chat, ErrNotLinearizable, len(history))
	default:
		return fmt.Errorf("%s: %w: %d operations in %s", chat, ErrUndecided, len(history), limit)
	}
}

type key struct{ sender, id string }

func keyOf(m wire.Message) key { return key{m.SenderID, m.ClientMessageID} }

// checkLog holds the log against every answer alone.
func checkLog(ops []*Op, log []wire.Message) error {
	at := map[key]wire.Message{}
	for i, m := range log {
		if m.Seq != wire.Seq(i+1) {
			return fmt.Errorf("place %d of the log holds seq %d", i+1, m.Seq)
		}
		if was, twice := at[keyOf(m)]; twice {
			return fmt.Errorf("DUPLICATE: %v stands at %d and at %d", keyOf(m), was.Seq, m.Seq)
		}
		at[keyOf(m)] = m
	}
	sent, open := map[key]string{}, map[key]bool{}
	for _, o := range ops {
		if !o.append {
			continue
		}
		m, there := at[keyOf(o.msg)]
		if o.outcome == ok && !there {
			return fmt.Errorf("LOST: %v, acknowledged as %d; the log ends at %d", keyOf(o.msg), o.msg.Seq, len(log))
		}
		if o.outcome == ok && m.Seq != o.msg.Seq {
			return fmt.Errorf("%v was acknowledged as %d and stands at %d", keyOf(o.msg), o.msg.Seq, m.Seq)
		}
		sent[keyOf(o.msg)] = o.msg.Text
		open[keyOf(o.msg)] = open[keyOf(o.msg)] || o.outcome != refused
	}
	for k, m := range at {
		if text, was := sent[k]; !was || text != m.Text || !open[k] {
			return fmt.Errorf("PHANTOM: seq %d holds %v, which was never sent so, or was refused", m.Seq, k)
		}
	}
	return nil
}

// judged makes porcupine's history. An append without an answer that is not in the log is left out: nobody can have seen
// it. One that is there gets its seq as the answer and ends when somebody first knew of it.
func judged(ops []*Op, log []wire.Message) ([]porcupine.Operation, error) {
	at := map[key]wire.Seq{}
	for _, m := range log {
		at[keyOf(m)] = m.Seq
	}
	known := map[wire.Seq]int64{}
	know := func(seq wire.Seq, when time.Duration) {
		if was, any := known[seq]; !any || int64(when) < was {
			known[seq] = int64(when)
		}
	}
	busy := map[int]time.Duration{}
	for _, o := range ops {
		if until, any := busy[o.client]; any && o.call < until {
			return nil, fmt.Errorf("BUG of the test: client %d has two operations at a time", o.client)
		}
		if o.outcome == ok {
			busy[o.client] = o.end
			if o.append {
				know(o.msg.Seq, o.end)
			}
			for _, m := range o.saw {
				know(m.Seq, o.end)
			}
		}
	}
	var history []porcupine.Operation
	for _, o := range ops {
		in := input{op: o, seq: o.msg.Seq}
		end := int64(o.end)
		switch {
		case o.outcome == refused, o.outcome == unknown && !o.append:
			continue
		case o.outcome == unknown:
			if in.seq = at[keyOf(o.msg)]; in.seq == 0 {
				continue
			}
			end = math.MaxInt64
			if when, any := known[in.seq]; any {
				end = max(when, int64(o.call))
			}
		}
		history = append(history, porcupine.Operation{ClientId: o.client, Input: in, Call: int64(o.call), Return: end})
	}
	return history, nil
}
