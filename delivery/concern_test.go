package delivery

import (
	"fmt"
	"slices"
	"testing"

	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

func TestTrail_KnowsWhoIsConcerned(t *testing.T) {
	tr := trail{marks: map[string]wire.Mark{"bob": {Delivered: 10, Read: 8}, "eve": {}}}
	for i, sender := range []string{"ann", "bob", "ann", "cid"} {
		tr.note(wire.Seq(9+i), sender, 100)
	}
	for _, row := range []struct {
		marks       wire.Watermarks
		after, upTo wire.Seq
		known       bool
		senders     []string
	}{
		{wire.Watermarks{UserID: "bob", Delivered: 12, Read: 8}, 10, 12, true, []string{"ann", "cid"}},
		{wire.Watermarks{UserID: "bob", Delivered: 12, Read: 12}, 8, 12, true, []string{"ann", "bob", "cid"}},
		{wire.Watermarks{UserID: "bob", Delivered: 12, Read: 12}, 0, 0, false, nil}, // again: of before the marks were read, perhaps
		{wire.Watermarks{UserID: "eve", Delivered: 12}, 0, 12, true, nil},           // more than is remembered
		{wire.Watermarks{UserID: "dan", Delivered: 12}, 0, 0, false, nil},           // he came later
	} {
		after, upTo, known := tr.rise(&row.marks)
		if after != row.after || upTo != row.upTo || known != row.known {
			t.Errorf("%+v: (%d, %d] %v", row.marks, after, upTo, known)
		}
		if !known {
			continue
		}
		senders, ok := tr.between(after, upTo)
		if ok != (row.senders != nil) || !slices.Equal(senders, row.senders) {
			t.Errorf("%+v: senders %v %v", row.marks, senders, ok)
		}
	}
}

func TestTrail_StaysShortAndWithoutAHole(t *testing.T) {
	var tr trail
	total := 0
	for seq := wire.Seq(1); seq <= 1000; seq++ {
		if seq == 500 {
			seq += 10 // nobody was here
		}
		total += tr.note(seq, fmt.Sprint(seq), 64)
		total += tr.note(seq, "again", 64)
		if len(tr.senders) > 64 || total != len(tr.senders) {
			t.Fatalf("%d are remembered, %d counted", len(tr.senders), total)
		}
		if got, ok := tr.between(seq-1, seq); !ok || got[0] != fmt.Sprint(seq) {
			t.Fatalf("message %d: %v %v", seq, got, ok)
		}
	}
	if _, ok := tr.between(505, 512); ok {
		t.Error("a hole was not noticed")
	}
}

// TestReceipts_OfManyReadersStayFew has all members of a group of 256 read 100 messages of one sender: what the log and the sender get is near
// the number of members, not members times messages.
func TestReceipts_OfManyReadersStayFew(t *testing.T) {
	const members, messages = 256, 100
	e := openEdge(t, sequencertest.Start(t, 1, 1).Addrs(), func(cfg *Config) { cfg.Limits.ReceiptDelay = 0 })
	users := make([]string, members)
	for i := range users {
		users[i] = fresh("m")
	}
	chat := e.group(users...)
	devices := make([]*device, members)
	for i, user := range users {
		devices[i] = e.dial(user)
	}
	for n := range messages {
		e.post(users[0], chat, fmt.Sprint(n))
	}
	for i, d := range devices {
		for seq := int64(1); seq <= messages; seq++ {
			d.awaitSeqs(chat, seq, seq)
			if i > 0 {
				d.send(fmt.Sprintf(`{"type":"read","chatId":%q,"seq":%d}`, chat, seq))
			}
		}
	}
	frames := 0
	for done := map[string]bool{}; len(done) < members-1; {
		m := devices[0].awaitType("receipt")
		frames++
		if number(m["readUpTo"]) == messages {
			done[m["userId"].(string)] = true
		}
	}
	commands, marks := e.stats.receiptCommands.Load(), e.stats.marks.Load()
	t.Logf("%d marks of clients, %d commands, %d frames to the sender", marks, commands, frames)
	if marks != (members-1)*messages {
		t.Errorf("%d marks were taken, not %d", marks, (members-1)*messages)
	}
	if frames > 4*members {
		t.Errorf("the sender got %d receipts of %d members", frames, members)
	}
	for i, d := range devices[1:] {
		d.quiet("another reader hears of it", func(m map[string]any) bool {
			return m["type"] == "receipt" && m["userId"] != users[i+1]
		})
	}
}
