package frametest

import (
	"bytes"
	"compress/flate"
	"fmt"
	"strings"
)

// goodCodes and badCodes are those of sections 7.7 and 7.9. 1012 to 1014 have been registered since, and are good.
var (
	goodCodes = []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999}
	badCodes  = []int{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999}
)

// closes is section 7.
func (l *list) closes() {
	normal := Close(1000, "")
	l.add("7.1.1", "text, then close", Join(Text("Hello World!"), normal), "text Hello World!", "close 1000")
	l.add("7.1.2", "close twice", Join(normal, normal), "close 1000")
	l.add("7.1.3", "close, then ping", Join(normal, Ping("late")), "close 1000")
	l.add("7.1.4", "close, then text", Join(normal, Text("late")), "close 1000")
	l.add("7.1.5", "close between two fragments", Join(Start("fragment1"), normal, End("fragment2")), "close 1000")
	l.add("7.1.6", "text of 65536, close, ping", Join(Text(stars(65536)), normal, Ping("late")), "text "+stars(65536), "close 1000")
	longest := stars(123)
	l.add("7.3.1", "close without body", Closing(), "close 1005")
	l.add("7.3.2", "close with a body of one octet", Closing('a'), "fail 1002")
	l.add("7.3.3", "close with a code", normal, "close 1000")
	l.add("7.3.4", "close with a reason", Close(1000, "Hello World!"), "close 1000")
	l.add("7.3.5", "close with the longest reason", Close(1000, longest), "close 1000")
	l.add("7.3.6", "close with a reason that is too long", Close(1000, longest+"*"), "fail 1002")
	l.add("7.5.1", "close with a reason that is not UTF-8", Close(1000, kosme+"\xed\xa0\x80edited"), "fail 1007")
	for i, code := range goodCodes {
		l.add(fmt.Sprintf("7.7.%d", i+1), fmt.Sprintf("close with %d", code), Close(code, ""), fmt.Sprintf("close %d", code))
	}
	for i, code := range badCodes {
		l.add(fmt.Sprintf("7.9.%d", i+1), fmt.Sprintf("close with %d", code), Close(code, ""), "fail 1002")
	}
	l.add("7.13.1", "close with 5000", Close(5000, ""), "fail 1002")
	l.add("7.13.2", "close with 65535", Close(65535, ""), "fail 1002")
}

const (
	kib = 1 << 10
	mib = 1 << 20
)

// limits is section 9. Autobahn's largest messages have 16 MiB; a server whose bound is lower answers 1009 from there on, and the
// client goes on sending.
func (l *list) limits() {
	for i, n := range []int{64 * kib, 256 * kib, mib, 4 * mib, 8 * mib, 16 * mib} {
		want := "fail 1009"
		if n <= MaxMessage {
			want = "text " + stars(n)
		}
		l.large(fmt.Sprintf("9.1.%d", i+1), fmt.Sprintf("text of %d", n), 0, func() []byte { return Text(stars(n)) }, want)
		l.large(fmt.Sprintf("9.2.%d", i+1), fmt.Sprintf("binary of %d", n), 0, func() []byte { return binaryOf(n) }, "fail 1003")
	}
	whole := []byte(stars(MaxMessage))
	for i, size := range []int{64, 256, kib, 4 * kib, 16 * kib, 64 * kib, 256 * kib, mib, 4 * mib} {
		text, want := func() []byte { return Fragments(opText, whole, size) }, "text "+string(whole)
		if size > MaxMessage {
			text = func() []byte { return Fragments(opText, make([]byte, 4*mib), size) }
			want = "fail 1009"
		}
		l.large(fmt.Sprintf("9.3.%d", i+1), fmt.Sprintf("text in fragments of %d", size), 0, text, want)
		l.large(fmt.Sprintf("9.4.%d", i+1), fmt.Sprintf("binary in fragments of %d", size), 0,
			func() []byte { return Fragments(opBinary, whole, size) }, "fail 1003")
	}
	l.large("9.3.10", "text one over the bound in fragments of 4096", 0,
		func() []byte { return Fragments(opText, []byte(stars(MaxMessage+1)), 4*kib) }, "fail 1009")
	for i, chop := range []int{64, 128, 256, 512, kib, 2 * kib} {
		l.chopped(fmt.Sprintf("9.5.%d", i+1), fmt.Sprintf("text of 65536 in pieces of %d", chop), chop, Text(string(whole)), "text "+string(whole))
		l.chopped(fmt.Sprintf("9.6.%d", i+1), fmt.Sprintf("binary of 65536 in pieces of %d", chop), chop, binaryOf(MaxMessage), "fail 1003")
	}
	for i, n := range []int{0, 16, 64, 256, kib, 4 * kib} {
		var want []string
		for range 200 {
			want = append(want, "text "+stars(n))
		}
		l.large(fmt.Sprintf("9.7.%d", i+1), fmt.Sprintf("200 texts of %d", n), 0, func() []byte { return bytes.Repeat(Text(stars(n)), 200) }, want...)
		l.large(fmt.Sprintf("9.8.%d", i+1), fmt.Sprintf("200 binaries of %d", n), 0, func() []byte { return bytes.Repeat(binaryOf(n), 200) }, "fail 1003")
	}
}

// compressionOffers are what the clients of section 13 ask for.
var compressionOffers = []string{
	"permessage-deflate",
	"permessage-deflate; client_no_context_takeover; server_no_context_takeover",
	"permessage-deflate; client_max_window_bits=9; server_max_window_bits=9",
	"permessage-deflate; client_max_window_bits; server_max_window_bits=15",
	"permessage-deflate; client_no_context_takeover; server_no_context_takeover; client_max_window_bits=9; server_max_window_bits=9",
	"permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15; client_max_window_bits",
	"permessage-deflate; server_no_context_takeover; client_max_window_bits=9, permessage-deflate; server_no_context_takeover, permessage-deflate",
}

// compression is sections 12 and 13: a client offers permessage-deflate, nothing is agreed on, and it compresses all the same. Text that is
// plain is echoed before. Each section has 18 cases: messages from 16 bytes to 128 KiB, and then larger ones in fragments.
func (l *list) compression() {
	for i, data := range []string{"large JSON", "lena", "human readable text", "a text file", "random"} {
		l.deflated(fmt.Sprintf("12.%d", i+1), data, "permessage-deflate; client_max_window_bits")
	}
	for i, offer := range compressionOffers {
		l.deflated(fmt.Sprintf("13.%d", i+1), "offer "+offer, offer)
	}
}

func (l *list) deflated(section, title, offer string) {
	for i := range 18 {
		n := 16 << min(i, 13)
		body := deflate(strings.Repeat(title, n/len(title)+1)[:n])
		send := func() []byte { return Join(Text("plain"), Frame(Fin|RSV1|opText, body)) }
		how := "at once"
		if i >= 10 {
			send = func() []byte { return Join(Text("plain"), Fragments(RSV1|opText, body, 256)) }
			how = "in fragments"
		}
		l.large(fmt.Sprintf("%s.%d", section, i+1), fmt.Sprintf("%s, %d compressed, %s", title, n, how), 0, send, "text plain", "fail 1002")
		l.cases[len(l.cases)-1].Offer = offer
	}
}

// deflate is the payload of a message that permessage-deflate has compressed.
func deflate(s string) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		panic(err)
	}
	if _, err := w.Write([]byte(s)); err != nil {
		panic(err)
	}
	if err := w.Flush(); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
}
