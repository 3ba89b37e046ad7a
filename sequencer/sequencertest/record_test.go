package sequencertest_test

import (
	"strings"
	"testing"

	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// message is the message that record, below, knows as number n.
func message(n wire.Seq) wire.Message {
	id := string(rune('a' + n - 1))
	return wire.Message{
		ChatID: "c", Seq: n, SenderID: "s", ClientMessageID: id, Text: "text " + id,
		SentAt: wire.Millis(100 + n), Lamport: wire.Lamport(n),
	}
}

// record has a, b and c sent one after the other and acknowledged as 1, 2 and 3, and d sent without an answer.
func record() *sequencertest.Record {
	r := sequencertest.NewRecord()
	for n := wire.Seq(1); n <= 4; n++ {
		m := message(n)
		r.Begin("c", m.SenderID, m.ClientMessageID, m.Text)
		if n < 4 {
			r.Acked("c", m.SenderID, m.ClientMessageID, m.Seq, m.Lamport)
		}
	}
	return r
}

func TestRecord_AcceptsALogThatKeepsThePromise(t *testing.T) {
	for _, length := range []wire.Seq{3, 4} { // the unanswered message may be there or not
		var log []wire.Message
		for n := wire.Seq(1); n <= length; n++ {
			log = append(log, message(n))
		}
		if err := record().Check("c", log); err != nil {
			t.Errorf("a good log of %d: %v", length, err)
		}
	}
}

func TestRecord_TellsEveryBrokenPromise(t *testing.T) {
	good := func() []wire.Message { return []wire.Message{message(1), message(2), message(3)} }
	for want, log := range map[string][]wire.Message{
		"lost: s/c":              good()[:2],
		"leaves out 2":           {message(1), message(3)},
		`sent was "text b"`:      edit(good(), func(m *wire.Message) { m.Text = "x" }),
		"never sent":             edit(good(), func(m *wire.Message) { m.ClientMessageID = "x" }),
		"time runs":              edit(good(), func(m *wire.Message) { m.SentAt = 1 }),
		"the stamp is":           edit(good(), func(m *wire.Message) { m.Lamport = 1 }),
		"stands at seq 1 and":    append(good(), again(message(1), 4)),
		"stands at 2":            {renumber(message(2), 1), renumber(message(1), 2), message(3)},
		"3 and is not there":     {},
		"s/b was acknowledged a": {message(1), renumber(message(4), 2), renumber(message(2), 3), renumber(message(3), 4)},
	} {
		err := record().Check("c", log)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestRecord_TellsAnswersThatDiffer(t *testing.T) {
	r := record()
	r.Acked("c", "s", "a", 2, 2)
	r.Acked("c", "s", "z", 9, 9)
	err := r.Check("c", []wire.Message{message(1), message(2), message(3)})
	for _, want := range []string{"acknowledged as 1 (stamp 1), and again as 2", "which was never sent"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestRecord_TellsOrderAgainstRealTime(t *testing.T) {
	r := sequencertest.NewRecord()
	r.Begin("c", "s", "a", "text a")
	r.Acked("c", "s", "a", 2, 2)
	r.Begin("c", "s", "b", "text b")
	r.Acked("c", "s", "b", 1, 1)
	err := r.Check("c", []wire.Message{renumber(message(2), 1), renumber(message(1), 2)})
	if err == nil || !strings.Contains(err.Error(), "at seq 1 was begun after") {
		t.Errorf("got %v", err)
	}
}

// edit changes the second message.
func edit(log []wire.Message, change func(*wire.Message)) []wire.Message {
	change(&log[1])
	return log
}

func renumber(m wire.Message, seq wire.Seq) wire.Message {
	m.Seq, m.Lamport, m.SentAt = seq, wire.Lamport(seq), wire.Millis(100+seq)
	return m
}

func again(m wire.Message, seq wire.Seq) wire.Message { return renumber(m, seq) }
