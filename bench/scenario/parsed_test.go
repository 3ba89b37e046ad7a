package scenario

import (
	"fmt"
	"testing"
)

// The same bytes are taken apart once. Other bytes at the same seq are another message, whoever waits for which.
func TestParsed_TellsBytesApart(t *testing.T) {
	frame := func(seq int, text string) []byte {
		return fmt.Appendf(nil, `{"type":"message","chatId":"c","sequenceNumber":%d,"senderId":"s","clientMessageId":"m%d","text":%q,"lamport":9}`, seq, seq, text)
	}
	p := newParsed(parsedCrowd)
	first := p.message(frame(7, "one"), 7)
	if first.shown.Seq != 7 || first.shown.Text != "one" || first.number != 7 || first.shown.Sender != "s" || first.shown.Stamp != 9 {
		t.Fatalf("parsed as %+v", first)
	}
	if again := p.message(frame(7, "one"), 7); again != first {
		t.Error("the same bytes were taken apart again")
	}
	if late := p.message(frame(7, "one"), 3); late != first {
		t.Error("the same bytes were taken apart again for one who waits for another seq")
	}
	if other := p.message(frame(7, "two"), 7); other.shown.Text != "two" {
		t.Errorf("other bytes at the same seq are %+v", other)
	}
	if far := p.message(frame(7+parsedRun, "far"), 7); far.shown.Text != "far" || far.shown.Seq != 7+parsedRun {
		t.Errorf("a message of another seq is %+v", far)
	}
	if small := newParsed(2).message(frame(1, "pair"), 1); small.shown.Text != "pair" {
		t.Errorf("in a small room: %+v", small)
	}
}
