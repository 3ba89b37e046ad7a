package history_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/sequencertest/history"
	"github.com/quorate/quorate/sequencer/wire"
)

// msg is the message with an id that the log holds at seq.
func msg(seq wire.Seq, id string) wire.Message {
	return wire.Message{ChatID: "c", Seq: seq, SenderID: "s", ClientMessageID: id, Text: "text " + id}
}

func logOf(ids ...string) (log []wire.Message) {
	for i, id := range ids {
		log = append(log, msg(wire.Seq(i+1), id))
	}
	return log
}

// tick lets the clock go on: what happens in one instant has no order.
func tick() { time.Sleep(time.Microsecond) }

func begin(h *history.History, client int, id string) *history.Op {
	tick()
	return h.Append(client, "c", "s", id, "text "+id)
}

func ack(o *history.Op, seq wire.Seq) {
	tick()
	o.Acked(seq)
}

func read(h *history.History, client int, from wire.Seq, count int, saw ...wire.Message) {
	tick()
	o := h.Read(client, "c", from, count)
	tick()
	o.Saw(saw)
}

// histories are what clients may have done, with the log at the end and what is wrong with it.
var histories = map[string]struct {
	do   func(h *history.History)
	log  []wire.Message
	want string // "" for a good one
}{
	"one after the other": {func(h *history.History) {
		ack(begin(h, 1, "a"), 1)
		read(h, 2, 1, 10, msg(1, "a"))
		ack(begin(h, 1, "b"), 2)
		read(h, 2, 1, 10, msg(1, "a"), msg(2, "b"))
		read(h, 2, 2, 1, msg(2, "b"))
		read(h, 2, 3, 1)
	}, logOf("a", "b"), ""},
	"two at once, in either order": {func(h *history.History) {
		a, b := begin(h, 1, "a"), begin(h, 2, "b")
		read(h, 3, 1, 10, msg(1, "b"))
		ack(a, 2)
		ack(b, 1)
	}, logOf("b", "a"), ""},
	"an answered message sent again": {func(h *history.History) {
		ack(begin(h, 1, "a"), 1)
		ack(begin(h, 1, "b"), 2)
		ack(begin(h, 1, "a"), 1)
	}, logOf("a", "b"), ""},
	"no answer, and not there": {func(h *history.History) {
		begin(h, 1, "a")
		ack(begin(h, 2, "b"), 1)
	}, logOf("b"), ""},
	"no answer, and there": {func(h *history.History) {
		begin(h, 1, "a")
		ack(begin(h, 2, "b"), 2)
	}, logOf("a", "b"), ""},
	"refused, and not there": {func(h *history.History) { begin(h, 1, "a").Refused() }, nil, ""},

	"lost ack": {func(h *history.History) {
		ack(begin(h, 1, "a"), 1)
		ack(begin(h, 1, "b"), 2)
	}, logOf("a"), "LOST"},
	"duplicate": {func(h *history.History) {
		ack(begin(h, 1, "a"), 1)
	}, logOf("a", "a"), "DUPLICATE"},
	"two seqs for one message": {func(h *history.History) {
		ack(begin(h, 1, "a"), 1)
		ack(begin(h, 1, "b"), 2)
		ack(begin(h, 1, "a"), 2)
	}, logOf("a", "b"), "acknowledged as 2 and stands at 1"},
	"hole": {func(h *history.History) {
		ack(begin(h, 1, "a"), 1)
	}, []wire.Message{msg(2, "a")}, "holds seq 2"},
	"phantom":            {func(*history.History) {}, logOf("a"), "PHANTOM"},
	"refused, and there": {func(h *history.History) { begin(h, 1, "a").Refused() }, logOf("a"), "PHANTOM"},
	"reordered": {func(h *history.History) {
		ack(begin(h, 1, "a"), 2)
		ack(begin(h, 1, "b"), 1)
	}, logOf("b", "a"), "not linearizable"},
	"stale read": {func(h *history.History) {
		ack(begin(h, 1, "a"), 1)
		read(h, 2, 1, 10)
	}, logOf("a"), "not linearizable"},
	"reads go back": {func(h *history.History) {
		begin(h, 1, "a")
		read(h, 2, 1, 10, msg(1, "a"))
		read(h, 2, 1, 10)
	}, logOf("a"), "not linearizable"},
	"read from before it was sent": {func(h *history.History) {
		read(h, 2, 1, 10, msg(1, "a"))
		ack(begin(h, 1, "a"), 1)
	}, logOf("a"), "not linearizable"},
	"read of what was overwritten": {func(h *history.History) {
		begin(h, 1, "x")
		read(h, 2, 1, 10, msg(1, "x"))
		ack(begin(h, 1, "a"), 1)
	}, logOf("a"), "not linearizable"},
	"read of another text": {func(h *history.History) {
		ack(begin(h, 1, "a"), 1)
		other := msg(1, "a")
		other.Text = "x"
		read(h, 2, 1, 10, other)
	}, logOf("a"), "not linearizable"},
	"one client, two operations": {func(h *history.History) {
		a, b := begin(h, 1, "a"), begin(h, 1, "b")
		ack(a, 1)
		ack(b, 2)
	}, logOf("a", "b"), "BUG of the test"},
}

func TestCheck_TellsGoodHistoriesFromBad(t *testing.T) {
	for name, c := range histories {
		h := history.New()
		c.do(h)
		err := h.Check("c", c.log, 10*time.Second)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: want %q, got %v", name, c.want, err)
		}
	}
}

// A judge who ran out of time has not passed anything.
func TestCheck_UndecidedIsNoPass(t *testing.T) {
	h := history.New()
	var ids []string
	for i := range history.MaxOps + 1 {
		ids = append(ids, fmt.Sprint(i))
		h.Append(1, "c", "s", ids[i], "text "+ids[i]).Acked(wire.Seq(i + 1))
	}
	if err := h.Check("c", logOf(ids...), time.Minute); !errors.Is(err, history.ErrUndecided) {
		t.Errorf("too many operations: %v", err)
	}

	h = history.New()
	var open []*history.Op
	for i := range 30 { // all at once: each answer fits many orders, and the read fits none
		open = append(open, begin(h, i, ids[i]))
	}
	for i, o := range open {
		ack(o, wire.Seq(i+1))
	}
	read(h, 99, 1, 50, logOf(ids[:29]...)...)
	if err := h.Check("c", logOf(ids[:30]...), 1); !errors.Is(err, history.ErrUndecided) {
		t.Errorf("no time: %v", err)
	}
}
