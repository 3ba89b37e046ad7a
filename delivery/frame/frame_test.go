package frame

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf8"
)

// decodeServer reads one frame of a server by the letter of RFC 6455, apart from the code under test.
func decodeServer(t *testing.T, b []byte) (first byte, payload, rest []byte) {
	t.Helper()
	n, at := int(b[1]), 2
	switch n {
	case 126:
		n, at = int(binary.BigEndian.Uint16(b[2:])), 4
	case 127:
		n, at = int(binary.BigEndian.Uint64(b[2:])), 10
	}
	if n > 125 && at == 4 && n <= 125 || at == 10 && n <= 0xFFFF {
		t.Fatalf("length %d is not in its shortest form", n)
	}
	return b[0], b[at : at+n], b[at+n:]
}

func TestAppend_RoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 100000} {
		want := bytes.Repeat([]byte("z"), n)
		b := AppendText([]byte("before"), want)
		if !bytes.HasPrefix(b, []byte("before")) {
			t.Fatal("dst was not kept")
		}
		first, got, rest := decodeServer(t, b[6:])
		if first != 0x81 || !bytes.Equal(got, want) || len(rest) != 0 {
			t.Fatalf("%d bytes: first %x, %d bytes, %d left", n, first, len(got), len(rest))
		}
		if head := AppendHeader(nil, OpText, n); !bytes.Equal(head, b[6:len(b)-n]) || len(head) > MaxHeaderBytes {
			t.Fatalf("header of %d bytes: %x", n, head)
		}
	}
	if got := AppendPing(nil, []byte("hi")); !bytes.Equal(got, []byte{0x89, 2, 'h', 'i'}) {
		t.Fatalf("ping %x", got)
	}
	if got := AppendPong(nil, []byte(strings.Repeat("x", 200))); len(got) != 2+125 || got[0] != 0x8A || got[1] != 125 {
		t.Fatalf("pong %x", got)
	}
}

func TestAppendClose(t *testing.T) {
	if got := AppendClose(nil, 4001, "slow"); !bytes.Equal(got, []byte{0x88, 6, 0x0F, 0xA1, 's', 'l', 'o', 'w'}) {
		t.Fatalf("close %x", got)
	}
	for _, code := range []int{0, 1005, 1006, 1015, 70000, -1} {
		if got := AppendClose(nil, code, "why"); !bytes.Equal(got, []byte{0x88, 0}) {
			t.Fatalf("close %d: %x", code, got)
		}
	}
	_, body, _ := decodeServer(t, AppendClose(nil, 1000, strings.Repeat("κ", 62))) // 124 bytes, one too many
	if len(body) != 2+122 || !utf8.Valid(body[2:]) {
		t.Fatalf("a reason of %d bytes, valid %v", len(body)-2, utf8.Valid(body[2:]))
	}
}
