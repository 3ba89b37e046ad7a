package frame

import (
	"fmt"
	"strings"
	"testing"
)

func TestParser_UTF8(t *testing.T) {
	const greek = "κόσμε"
	cases := []parserCase{
		{"greek", text(greek), outcome{"text " + greek}},
		{"character cut by a fragment", join(textStart(greek[:3]), end(greek[3:])), outcome{"text " + greek}},
		{"four bytes in four fragments", join(textStart("\xf0"), more("\x90"), more("\x80"), end("\x80")), outcome{"text \U00010000"}},
		{"fails before the message ends", join(textStart(greek), more("\xf4\x90"), more("never judged")), outcome{"fail 1007"}},
		{"cut at the end of the message", join(textStart(greek), end("\xce")), outcome{"fail 1007"}},
		{"cut at the end of a frame, then another character", join(textStart("\xe2\x82"), end("a")), outcome{"fail 1007"}},
		{"fails before the frame ends", text("\xff" + strings.Repeat("x", 300))[:10], outcome{"fail 1007"}},
	}
	for _, ok := range []string{
		"\x00", "\x7f", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufffd", "\ufffe", "\uffff", "\U00010000", "\U0010ffff",
	} {
		cases = append(cases, parserCase{fmt.Sprintf("good %x", ok), text("<" + ok + ">"), outcome{"text <" + ok + ">"}})
	}
	for _, bad := range []string{
		"\x80", "\xbf", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xe0\x9f\xbf", "\xf0\x80\x80\xaf", "\xf0\x8f\xbf\xbf", "\xf8\x88\x80\x80\x80",
		"\xfc\x84\x80\x80\x80\x80", "\xfe", "\xff", "\xed\xa0\x80", "\xed\xad\xbf", "\xed\xbf\xbf", "\xed\xa0\x80\xed\xb0\x80",
		"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc3", "\xe1\x80", "\xf1\x80\x80", "\xc3\x28", "\xe1\x80\x28",
	} {
		cases = append(
			cases,
			parserCase{fmt.Sprintf("bad %x", bad), text("<" + bad + ">"), outcome{"fail 1007"}},
			parserCase{fmt.Sprintf("bad %x in fragments", bad), join(textStart("<"+bad[:1]), end(bad[1:]+">")), outcome{"fail 1007"}},
		)
	}
	check(t, cases)
}

func TestParser_Close(t *testing.T) {
	long := strings.Repeat("r", 123)
	cases := []parserCase{
		{"no body", closing(), outcome{"close 1005 "}},
		{"one byte", closing(3), outcome{"fail 1002"}},
		{"reason", closeCode(1000, "bye"), outcome{"close 1000 bye"}},
		{"longest reason", closeCode(1000, long), outcome{"close 1000 " + long}},
		{"reason too long", closeCode(1000, long+"r"), outcome{"fail 1002"}},
		{"reason is not UTF-8", closeCode(1000, "\xed\xa0\x80"), outcome{"fail 1007"}},
		{"reason ends inside a character", closeCode(1000, "\xce"), outcome{"fail 1007"}},
		{"text after", join(closeCode(1000, ""), text("late")), outcome{"close 1000 "}},
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		cases = append(cases, parserCase{fmt.Sprintf("code %d", code), closeCode(code, ""), outcome{fmt.Sprintf("close %d ", code)}})
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		cases = append(cases, parserCase{fmt.Sprintf("code %d", code), closeCode(code, ""), outcome{"fail 1002"}})
	}
	check(t, cases)
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
