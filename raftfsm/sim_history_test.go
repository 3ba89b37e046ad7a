package raftfsm

import (
	"fmt"
	"sort"

	"github.com/quorate/quorate/sequencer/wire"
)

// simHistory is what clients of a simulation saw, in the order of one counter.
type simHistory struct {
	now    int
	sends  map[string]*simSend // by chat, sender and clientMessageId
	reads  []simRead
	unlike []string // acks that contradict each other
}

// simSend is one message that a client wants in a chat, however often it has to offer it.
type simSend struct {
	chat, sender, id, text string
	begun, acked           int // of the counter; acked is 0 for never
	seq                    wire.Seq
}

// simRead is a read of a chat's head.
type simRead struct {
	chat         string
	begun, ended int
	last         wire.Seq
}

func newSimHistory() simHistory { return simHistory{sends: map[string]*simSend{}} }

func (h *simHistory) tick() int {
	h.now++
	return h.now
}

// ack takes the answer to a send.
func (h *simHistory) ack(m *simSend, seq wire.Seq) {
	if m.acked == 0 {
		m.acked, m.seq = h.tick(), seq
	} else if m.seq != seq {
		h.unlike = append(h.unlike, fmt.Sprintf("%s of %s was acknowledged as %d and as %d", m.id, m.sender, m.seq, seq))
	}
}

// check holds a chat's log against what clients saw.
func (h *simHistory) check(chat string, log []wire.Message) []string {
	faults := append([]string(nil), h.unlike...)
	bad := func(format string, args ...any) { faults = append(faults, chat+": "+fmt.Sprintf(format, args...)) }
	at := map[string]wire.Seq{}
	for i, m := range log {
		key := m.SenderID + "/" + m.ClientMessageID
		if m.Seq != wire.Seq(i+1) {
			bad("place %d has seq %d", i+1, m.Seq)
		}
		if was := at[key]; was != 0 {
			bad("%s is there twice, as %d and %d", key, was, m.Seq)
		}
		at[key] = m.Seq
		if s := h.sends[chat+"/"+key]; s == nil || s.text != m.Text {
			bad("%s was never sent like that", key)
		}
	}
	var acked []*simSend
	for _, s := range h.sends {
		if s.chat != chat || s.acked == 0 {
			continue
		}
		acked = append(acked, s)
		if got := at[s.sender+"/"+s.id]; got != s.seq {
			bad("%s/%s was acknowledged as %d and is at %d", s.sender, s.id, s.seq, got)
		}
	}
	// What was acknowledged before another send began comes before it.
	sort.Slice(acked, func(i, j int) bool { return acked[i].seq < acked[j].seq })
	lowest := 0
	for i := len(acked) - 1; i >= 0; i-- {
		if lowest != 0 && acked[i].begun > lowest {
			bad("%s/%s began after a later one was acknowledged", acked[i].sender, acked[i].id)
		}
		if lowest == 0 || acked[i].acked < lowest {
			lowest = acked[i].acked
		}
	}
	for _, r := range h.reads {
		if r.chat != chat {
			continue
		}
		for _, s := range acked {
			if s.acked < r.begun && s.seq > r.last {
				bad("a read saw %d messages after %s/%s was acknowledged as %d", r.last, s.sender, s.id, s.seq)
			}
		}
		for _, earlier := range h.reads {
			if earlier.chat == chat && earlier.ended < r.begun && earlier.last > r.last {
				bad("a read saw %d messages after one that saw %d", r.last, earlier.last)
			}
		}
	}
	return faults
}
