package check

import (
	"fmt"
	"testing"
	"unsafe"

	"github.com/quorate/quorate/sequencer/wire"
)

// story is three messages of a chat, as their sender and two members see them. A case changes what is told.
type story struct {
	acks  []wire.Seq     // of the messages, in the order of their sending; 0: none
	again wire.Seq       // what the first is acknowledged as when it is offered again; 0: it is not
	shown [][]wire.Seq   // to each member
	text  string         // that the second member is shown in place of message 2's
	log   []string       // the ids that the log holds
	stamp []wire.Lamport // of the messages
	seen  wire.Lamport   // that the sender of the third has seen
}

func (s *story) tell() *Judge {
	j := New()
	c := j.Chat("c")
	var sends []*Send
	for i := range 3 {
		seen := wire.Lamport(0)
		if i == 2 {
			seen = s.seen
		}
		m := c.Begin("alice", fmt.Sprint("m", i+1), fmt.Sprint("text ", i+1), seen)
		if s.acks[i] != 0 {
			m.Acked(s.acks[i], s.stamp[i])
		}
		sends = append(sends, m)
	}
	if s.again != 0 {
		sends[0].Again()
		sends[0].Acked(s.again, s.stamp[0])
	}
	for member, seqs := range s.shown {
		r := c.Reader(fmt.Sprint("member ", member), 1)
		for _, seq := range seqs {
			text := fmt.Sprint("text ", seq)
			if member == 1 && seq == 2 && s.text != "" {
				text = s.text
			}
			r.Shown(&Shown{Seq: seq, Sender: "alice", ID: fmt.Sprint("m", seq), Text: text, Stamp: s.stamp[seq-1]})
		}
	}
	if s.log != nil {
		var log []wire.Message
		for i, id := range s.log {
			log = append(log, wire.Message{
				Seq: wire.Seq(i + 1), SenderID: "alice", ClientMessageID: id, Text: "text " + id[1:], Lamport: wire.Lamport(i + 1),
			})
		}
		c.Log(log, true)
	}
	j.Finish()
	return j
}

func TestJudge_KnowsEachBrokenPromise(t *testing.T) {
	in := []wire.Seq{1, 2, 3}
	for name, row := range map[string]struct {
		change func(s *story)
		want   []string
	}{
		"all well":                 {func(*story) {}, nil},
		"not acked, and there":     {func(s *story) { s.acks = []wire.Seq{1, 0, 3} }, nil},
		"offered again, the same":  {func(s *story) { s.again = 1 }, nil},
		"offered again, another":   {func(s *story) { s.again = 4 }, []string{Dedup}},
		"a gap":                    {func(s *story) { s.shown[0] = []wire.Seq{1, 3} }, []string{Gap, Lost}},
		"the end is missing":       {func(s *story) { s.shown[0] = []wire.Seq{1, 2} }, []string{Lost}},
		"shown twice":              {func(s *story) { s.shown[0] = []wire.Seq{1, 2, 2, 3} }, []string{Duplicate}},
		"swapped":                  {func(s *story) { s.shown[0] = []wire.Seq{2, 1, 3} }, []string{Gap, Reordered}},
		"another text for one":     {func(s *story) { s.text = "lies" }, []string{WrongBody}},
		"another text in the log":  {func(s *story) { s.shown = nil; s.log = []string{"m1", "m3", "m2"} }, []string{Reordered, Causal}},
		"acked and not in the log": {func(s *story) { s.shown = nil; s.log = []string{"m1", "m2"} }, []string{Lost}},
		"in the log twice":         {func(s *story) { s.shown = nil; s.log = []string{"m1", "m2", "m3", "m3"} }, []string{Duplicate}},
		"twice after it was offered again": {
			func(s *story) { s.shown, s.again, s.log = nil, 1, []string{"m1", "m2", "m3", "m1"} },
			[]string{Dedup},
		},
		"never sent":             {func(s *story) { s.shown = nil; s.log = []string{"m1", "m2", "m3", "m4"} }, []string{Invented}},
		"a stamp that was seen":  {func(s *story) { s.seen = 3 }, []string{Causal}},
		"a stamp above the seen": {func(s *story) { s.seen = 2 }, nil},
		"a stamp that falls":     {func(s *story) { s.stamp = []wire.Lamport{1, 3, 2} }, []string{Causal}},
		"after an acked one":     {func(s *story) { s.acks = []wire.Seq{2, 1, 3}; s.shown = nil }, []string{RealTime}},
	} {
		s := &story{acks: in, shown: [][]wire.Seq{in, in}, stamp: []wire.Lamport{1, 2, 3}}
		row.change(s)
		checks := s.tell().Checks()
		for _, kind := range row.want {
			if checks.Broken[kind] == 0 {
				t.Errorf("%s: %s was not found: %+v", name, kind, checks)
			}
		}
		if len(row.want) == 0 && checks.Total() != 0 || len(row.want) > 0 && len(checks.First) == 0 {
			t.Errorf("%s: %+v", name, checks)
		}
	}
}

func TestReader_ReceiptsOnlyRise(t *testing.T) {
	for name, row := range map[string]struct {
		told []Marks
		bad  bool
	}{
		"rising":             {[]Marks{{1, 0}, {2, 2}, {2, 2}, {5, 3}}, false},
		"delivered falls":    {[]Marks{{3, 0}, {2, 0}}, true},
		"read falls":         {[]Marks{{3, 3}, {3, 2}}, true},
		"read, not shown":    {[]Marks{{3, 4}}, true},
		"one is left out":    {[]Marks{{3, 2}, {4, 0}, {4, 3}}, false},
		"falls behind a gap": {[]Marks{{3, 2}, {4, 0}, {4, 1}}, true},
	} {
		j := New()
		r := j.Chat("c").Reader("bob", 1)
		for _, m := range row.told {
			r.Receipt("alice", m)
		}
		if got := j.Checks().Broken[Receipt] > 0; got != row.bad {
			t.Errorf("%s: broken %v", name, got)
		}
	}
}

func TestChat_ALiarTakesNoMemory(t *testing.T) {
	j := New()
	j.Chat("c").Reader("bob", 1).Shown(&Shown{Seq: 1 << 50, Sender: "a", ID: "m", Text: "t"})
	if checks := j.Finish(); checks.Total() == 0 {
		t.Error("a seq far beyond the log is no fault")
	}
}

// TestReader_IDsLieInABufferThatIsUsedAgain has two members' receipts come in the same bytes, as a socket's reader hands them over.
func TestReader_IDsLieInABufferThatIsUsedAgain(t *testing.T) {
	j := New()
	r := j.Chat("c").Reader("alice", 1)
	buf := make([]byte, 3)
	for _, told := range []struct {
		user string
		upTo wire.Seq
	}{{"bob", 9}, {"eve", 1}, {"bob", 9}, {"eve", 2}} {
		copy(buf, told.user)
		r.Receipt(unsafe.String(&buf[0], len(buf)), Marks{told.upTo, told.upTo})
	}
	if bob, eve := r.Seen("bob"), r.Seen("eve"); bob.Read != 9 || eve.Read != 2 || j.Checks().Broken[Receipt] > 0 {
		t.Errorf("bob %v, eve %v, %v", bob, eve, j.Checks())
	}
}
