package delivery

import (
	"fmt"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// TestReceiptWriter_LetsCrowdsWait: the marks of a few members of a chat are due after one delay, those of a crowd after some, one per member
// whatever he acknowledged meanwhile, and a chat that is behind a crowd is not late for it.
func TestReceiptWriter_LetsCrowdsWait(t *testing.T) {
	w := &receiptWriter{
		stats: &stats{}, delay: time.Hour, most: 10 * crowdMarks, pending: map[string]*waitingMarks{},
		full: make(chan struct{}, 1), some: make(chan struct{}, 1),
	}
	add := func(chat string, members int, seq wire.Seq) {
		t.Helper()
		for i := range members {
			if p := w.add(chat, wire.Mark{UserID: fmt.Sprint(i), Delivered: seq}); p != nil {
				t.Fatal(p)
			}
		}
	}
	took := func(by time.Time) (chats []string) {
		for _, c := range w.take(by) {
			chats = append(chats, fmt.Sprint(c.chatID, " ", len(c.marks), " ", c.marks["0"].Delivered))
		}
		return chats
	}
	began := time.Now()
	add("crowd", crowdMarks, 1)
	add("pair", 2, 1)
	after := func(delays int) time.Time { return began.Add(time.Duration(delays)*time.Hour + time.Minute) }
	expect := func(what string, got []string, want ...string) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %q, not %q", what, got, want)
		}
	}
	expect("before anything is due", took(began))
	expect("after one delay", took(after(1)), "pair 2 1")
	add("crowd", crowdMarks, 5)
	expect("while the crowd waits", took(after(crowdDelays-1)))
	expect("after the crowd's", took(after(crowdDelays)), fmt.Sprint("crowd ", crowdMarks, " 5"))
	if !w.idle() || w.count != 0 || len(w.pending) != 0 {
		t.Errorf("%d marks are left, in %d chats", w.count, len(w.pending))
	}

	add("crowd", crowdMarks, 6)
	expect("again", took(after(1)))
	add("pair", 2, 2)
	if all := w.takeAll(); len(all) != 2 || !w.idle() || w.count != 0 {
		t.Errorf("at the end %d chats are written, and %d marks are left", len(all), w.count)
	}
}
