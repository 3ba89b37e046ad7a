package frame

import (
	"fmt"
	"strings"
	"testing"

	"github.com/quorate/quorate/delivery/frame/frametest"
)

// TestParser_UTF8InFragments cuts text where the list does not.
func TestParser_UTF8InFragments(t *testing.T) {
	const greek = "κόσμε"
	cases := []parserCase{
		{"character cut by a fragment", join(textStart(greek[:3]), end(greek[3:])), outcome{"text " + greek}},
		{"four bytes in four fragments", join(textStart("\xf0"), more("\x90"), more("\x80"), end("\x80")), outcome{"text \U00010000"}},
		{"fails before the message ends", join(textStart(greek), more("\xf4\x90"), more("never judged")), outcome{"fail 1007"}},
		{"cut at the end of the message", join(textStart(greek), end("\xce")), outcome{"fail 1007"}},
		{"cut at the end of a frame, then another character", join(textStart("\xe2\x82"), end("a")), outcome{"fail 1007"}},
		{"fails before the frame ends", text("\xff" + strings.Repeat("x", 300))[:10], outcome{"fail 1007"}},
	}
	for _, c := range frametest.Of("6") {
		n := len(c.Want)
		if payload, whole := unmasked(c.Send()); whole && len(payload) > 1 && n == 1 {
			wanted := outcome(c.Want)
			cases = append(cases, parserCase{c.Name + " in fragments", frametest.Fragments(byte(OpText), payload, 1), wanted})
		}
	}
	check(t, cases)
}

// unmasked is the payload of a short frame that is all there is in b.
func unmasked(b []byte) (payload []byte, whole bool) {
	n := int(b[1] &^ 0x80)
	if n >= 126 || len(b) != 2+4+n {
		return nil, false
	}
	for i, c := range b[6:] {
		payload = append(payload, c^b[2+i&3])
	}
	return payload, true
}

// TestParser_EveryCloseCode has all of them.
func TestParser_EveryCloseCode(t *testing.T) {
	for code := range 1 << 16 {
		good := code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999
		wanted := "fail 1002"
		if good {
			wanted = fmt.Sprintf("close %d why", code)
		}
		if got := feed(t, closeCode(code, "why"), whole); got[0] != wanted {
			t.Fatalf("code %d: %q, want %q", code, got, wanted)
		}
	}
}

func TestParser_Close(t *testing.T) {
	check(t, []parserCase{
		{"reason ends inside a character", closeCode(1000, "\xce"), outcome{"fail 1007"}},
		{"text after", join(closeCode(1000, ""), text("late")), outcome{"close 1000 "}},
	})
}

func TestParser_Lengths(t *testing.T) {
	mask := []byte{1, 2, 3, 4}
	head := func(b ...byte) []byte { return append(b, mask...) }
	check(t, []parserCase{
		{"126 form for 5", head(0x81, 0xFE, 0, 5), outcome{"fail 1002"}},
		{"126 form for 125", head(0x81, 0xFE, 0, 125), outcome{"fail 1002"}},
		{"127 form for 5", head(0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0, 5), outcome{"fail 1002"}},
		{"127 form for 65535", head(0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF), outcome{"fail 1002"}},
		{"limit, nothing sent", head(0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0), outcome{"holding"}},
		{"limit and one", head(0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0, 1), outcome{"fail 1009"}},
		{"2^40", head(0x81, 0xFF, 0, 0, 1, 0, 0, 0, 0, 0), outcome{"fail 1009"}},
		{"2^63", head(0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0), outcome{"fail 1009"}},
		{"2^64-1", head(0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF), outcome{"fail 1009"}},
		{
			"fragments over the limit together",
			join(textStart(strings.Repeat("a", testMax-1)), more("b"), head(0x80, 0x81)),
			outcome{"fail 1009"},
		},
		{"the limit is per message", join(text(strings.Repeat("a", 40000)), text(strings.Repeat("b", 40000))), outcome{
			"text " + strings.Repeat("a", 40000), "text " + strings.Repeat("b", 40000),
		}},
	})
}

func TestParser_AnnouncedLengthTakesNoMemory(t *testing.T) {
	head := []byte{0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4}
	p := &Parser{MaxMessage: testMax}
	defer p.Release()
	if _, _, err := p.Next(head); err != nil {
		t.Fatal(err)
	}
	if n := cap(p.heldText()); n != 0 {
		t.Fatalf("%d bytes held for a header", n)
	}
	if _, _, err := p.Next(make([]byte, 100)); err == nil {
		if n := cap(p.heldText()); n > 256 {
			t.Fatalf("%d bytes held for 100", n)
		}
	}
}

func TestParser_HoldsNothingBetweenMessages(t *testing.T) {
	for name, in := range map[string][]byte{"text": text("split into bytes"), "ping": ping("split into bytes")} {
		p := &Parser{MaxMessage: testMax}
		for _, b := range in {
			if _, _, err := p.Next([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		if ev, _, err := p.Next(nil); ev.Kind != None || err != nil || p.hold != nil || p.Holding() {
			t.Fatalf("after a %s: %v, %v, hold %v", name, ev, err, p.hold)
		}
	}
}
