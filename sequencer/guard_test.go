package sequencer

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/redcon"
)

// feed is a connection that delivers given bytes in given pieces, and takes what is written.
type feed struct {
	net.Conn
	data    []byte
	pieces  []byte // lengths of reads, used in turn; none means all at once
	reads   int
	written bytes.Buffer
}

func (f *feed) Read(p []byte) (int, error) {
	if len(f.data) == 0 {
		return 0, io.EOF
	}
	n := len(f.data)
	if len(f.pieces) > 0 {
		n = int(f.pieces[f.reads%len(f.pieces)])%64 + 1
		f.reads++
	}
	n = copy(p, f.data[:min(n, len(f.data))])
	f.data = f.data[n:]
	return n, nil
}

func (f *feed) Write(p []byte) (int, error)     { return f.written.Write(p) }
func (f *feed) SetDeadline(time.Time) error     { return nil }
func (f *feed) Close() error                    { return nil }
func (f *feed) CloseWrite() error               { return nil }
func (f *feed) SetReadDeadline(time.Time) error { return nil }

// through gives what a guard hands on, and how it ends.
func through(data, pieces []byte, trusted bool) ([]byte, error) {
	g := newGuard(&feed{data: data, pieces: pieces}, &defaults, func() {})
	g.taken, g.trusted = true, trusted
	var passed []byte
	p := make([]byte, 4096)
	for {
		n, err := g.Read(p)
		passed = append(passed, p[:n]...)
		if err != nil {
			return passed, err
		}
	}
}

func encoded(args ...string) []byte {
	out := redcon.AppendArray(nil, len(args))
	for _, arg := range args {
		out = redcon.AppendBulkString(out, arg)
	}
	return out
}

func repeat(s string, n int) string { return strings.Repeat(s, n) }

// hostile is input that must end a connection, with what it is told.
var hostile = []struct {
	name, input string
	trusted     bool
	says        string
}{
	{"bulk length near 2^63", "*1\r\n$9223372036854775800\r\nPING\r\n", true, "invalid bulk length"},
	{"bulk length over 2^63", "*1\r\n$9223372036854775808\r\nPING\r\n", true, "invalid bulk length"},
	{"two thousand million arguments", "*2147483647\r\n", true, "invalid multibulk length"},
	{"arguments near 2^63", "*9223372036854775807\r\n$1\r\na\r\n", true, "invalid multibulk length"},
	{"negative bulk as a line", "$-5\r\n", true, "expected '*', got '$'"},
	{"negative arguments", "*-1\r\n", true, "invalid multibulk length"},
	{"no arguments", "*0\r\n", true, "invalid multibulk length"},
	{"signed count", "*+1\r\n$4\r\nPING\r\n", true, "invalid multibulk length"},
	{"count without digits", "*\r\n", true, "invalid multibulk length"},
	{"count without return", "*1\n$4\r\nPING\r\n", true, "invalid multibulk length"},
	{"count that never ends", "*" + repeat("1", 4096), true, "too big mbulk count string"},
	{"dollar alone", "$\r\n", true, "expected '*', got '$'"},
	{"dollar and letters", "$abc\r\n", true, "expected '*', got '$'"},
	{"integer for a bulk", "*1\r\n:1\r\n", true, "expected '$', got ':'"},
	{"negative bulk", "*1\r\n$-5\r\nhello\r\n", true, "invalid bulk length"},
	{"bulk length of letters", "*1\r\n$abc\r\n", true, "invalid bulk length"},
	{"bulk length empty", "*1\r\n$\r\n\r\n", true, "invalid bulk length"},
	{"bulk length that never ends", "*1\r\n$" + repeat("0", 4096), true, "too big bulk count string"},
	{"bulk longer than told", "*1\r\n$4\r\nPINGPONG\r\n", true, "invalid bulk length"},
	{"bulk over its bound", "*1\r\n$65537\r\n", true, "invalid bulk length"},
	{"arguments over their bound", "*1025\r\n", true, "invalid multibulk length"},
	{
		"many bulks within their bound", "*5\r\n" + repeat("$65536\r\n"+repeat("x", 65536)+"\r\n", 4) + "$1\r\n", true,
		"invalid bulk length",
	},
	{"line without end", repeat("x", 1<<20), true, "too big inline request"},
	{"line over the bound", "PING " + repeat("x", 64<<10) + "\r\n", true, "too big inline request"},
	{"quote without end", "PING \"hello\r\n", true, "unbalanced quotes in request"},
	{"quote in a word", "PING he\"llo\"\r\n", true, "unbalanced quotes in request"},
	{"quote and more", "PING \"hello\"x\r\n", true, "unbalanced quotes in request"},
	{"escape at the end", "PING \"hello\\\r\n", true, "unbalanced quotes in request"},
	{"line of spaced letters", repeat("a ", 30000) + "\r\n", true, "too many words in an inline request"},
	{"NUL", "\x00\x00\x00\r\n", true, `expected '*', got '\x00'`},
	{"TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01", true, `expected '*', got '\x16'`},
	{"eleven arguments before AUTH", "*11\r\n", false, "unauthenticated multibulk length"},
	{"big argument before AUTH", "*2\r\n$4\r\nAUTH\r\n$16385\r\n", false, "unauthenticated bulk length"},
	{"big arguments before AUTH", "*3\r\n$4\r\nAUTH\r\n$9000\r\n" + repeat("x", 9000) + "\r\n$9000\r\n", false, "unauthenticated bulk length"},
	{"long line before AUTH", repeat("x", 17<<10), false, "too big inline request"},
}

func TestGuard_HostileInputEnds(t *testing.T) {
	for _, tt := range hostile {
		for _, pieces := range [][]byte{nil, {0}, {0, 6, 1}} {
			passed, err := through([]byte(tt.input), pieces, tt.trusted)
			var refused protocolError
			if !errors.As(err, &refused) || string(refused) != tt.says {
				t.Errorf("%s, pieces %v: ends with %v, want %q", tt.name, pieces, err, tt.says)
			}
			if len(passed) > 0 {
				t.Errorf("%s: hands on %.40q", tt.name, passed)
			}
		}
	}
}

func TestGuard_WhatWasBeforeIsHandedOn(t *testing.T) {
	before := append(encoded("PING"), "PING\r\n"...)
	for _, tt := range hostile {
		passed, err := through(append(bytes.Clone(before), tt.input...), nil, tt.trusted)
		if !bytes.Equal(passed, before) || errors.Is(err, io.EOF) {
			t.Errorf("%s: hands on %.60q and ends with %v", tt.name, passed, err)
		}
	}
}

func TestGuard_HTTPEndsWithoutAWord(t *testing.T) {
	for _, input := range []string{
		"POST / HTTP/1.1\r\nHost: x\r\n\r\nPING\r\n",
		"post / HTTP/1.1\r\n\r\nPING\r\n",
		"PING\r\nHost: localhost\r\nPING\r\n",
		"host:localhost\r\nPING\r\n",
	} {
		f := &feed{data: []byte(input)}
		g := newGuard(f, &defaults, func() {})
		g.trust()
		passed, err := io.ReadAll(g)
		if !errors.Is(err, errForeign) || f.written.Len() > 0 {
			t.Errorf("%q: ends with %v, says %q", input, err, &f.written)
		}
		if bytes.Count(passed, []byte("PING")) != strings.Count(input[:4], "PING") {
			t.Errorf("%q: hands on %q", input, passed)
		}
	}
}

func TestGuard_SaysWhyWhereNobodyElseDoes(t *testing.T) {
	f := &feed{data: []byte("*0\r\n")}
	if _, err := io.ReadAll(newGuard(f, &defaults, func() {})); err == nil {
		t.Error("no error")
	}
	if got, want := f.written.String(), "-ERR Protocol error: invalid multibulk length\r\n"; got != want {
		t.Errorf("says %q, want %q", got, want)
	}
}

func TestGuard_ValidCommandsPassUnchanged(t *testing.T) {
	many := make([]string, 1024)
	for i := range many {
		many[i] = repeat("x", 200)
	}
	for _, input := range [][]byte{
		encoded("PING"),
		encoded("ECHO", ""),
		encoded("CHAT.APPEND", "c", "a", "m", "line\r\nline\x00$5\r\n*1\r\n"),
		encoded("ECHO", repeat("x", 64<<10)),
		encoded(many...),
		bytes.Repeat(encoded("CHAT.APPEND", "c", "a", "m", repeat("text ", 40)), 500),
		[]byte("PING\r\nPING \"a b\" 'c'\nECHO \"\\\"\"\r\n  PING\r\n"),
	} {
		for _, pieces := range [][]byte{nil, {0}, {63}, {1, 2, 30}} {
			if passed, err := through(input, pieces, true); !bytes.Equal(passed, input) || !errors.Is(err, io.EOF) {
				t.Errorf("%.40q in pieces %v: hands on %.40q (%d of %d bytes), ends with %v",
					input, pieces, passed, len(passed), len(input), err)
			}
		}
	}
}

// TestGuard_EmptyLinesAreDropped: redcon's reader calls itself for each of them.
func TestGuard_EmptyLinesAreDropped(t *testing.T) {
	input := repeat("\r\n", 3000) + "PING\r\n" + repeat("\n  \r\n", 3000) + "PING\n"
	if passed, err := through([]byte(input), []byte{1, 0, 5}, true); string(passed) != "PING\r\nPING\n" || !errors.Is(err, io.EOF) {
		t.Errorf("hands on %.60q, ends with %v", passed, err)
	}
}

// TestGuard_BoundsGrowBehindAuth: what arrives together with AUTH is checked once AUTH was answered.
func TestGuard_BoundsGrowBehindAuth(t *testing.T) {
	auth, big := encoded("AUTH", "secret"), encoded("ECHO", repeat("x", 20<<10))
	g := newGuard(&feed{data: append(bytes.Clone(auth), big...)}, &defaults, func() {})
	g.taken = true
	reader := redcon.NewReader(g)
	if cmd, err := reader.ReadCommand(); err != nil || !bytes.Equal(cmd.Raw, auth) {
		t.Fatalf("first command: %q, %v", cmd.Raw, err)
	}
	g.trust()
	if cmd, err := reader.ReadCommand(); err != nil || !bytes.Equal(cmd.Raw, big) {
		t.Fatalf("second command: %.40q, %v", cmd.Raw, err)
	}
}

func TestGuard_BufferStaysSmall(t *testing.T) {
	chunk := bytes.Repeat(encoded("CHAT.APPEND", "c", "a", "m", repeat("x", 300)), 2000)
	g := newGuard(&feed{data: chunk, pieces: []byte{62}}, &defaults, func() {})
	g.trusted, g.taken = true, true
	reader := redcon.NewReader(g)
	for range 2000 {
		if _, err := reader.ReadCommand(); err != nil {
			t.Fatal(err)
		}
		if len(g.buf) > 2*guardBytes {
			t.Fatalf("the buffer has %d bytes", len(g.buf))
		}
	}
}

// FuzzGuard looks that the pieces in which bytes arrive do not matter, that redcon takes all that is handed on, and that
// commands made of the same bytes pass unchanged.
func FuzzGuard(f *testing.F) {
	for _, tt := range hostile {
		if len(tt.input) < 200 {
			f.Add([]byte(tt.input), []byte{0}, tt.trusted)
		}
	}
	f.Add([]byte("PING\r\n\r\n*1\r\n$4\r\nPING\r\nPING 'a b'\n"), []byte{3, 1}, true)
	f.Add(append(encoded("ECHO", "a\r\nb"), encoded("AUTH", "x", "y")...), []byte{7}, false)
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\n\r\n"), []byte{}, true)
	f.Fuzz(func(t *testing.T, data, pieces []byte, trusted bool) {
		whole, wholeErr := through(data, nil, trusted)
		passed, err := through(data, pieces, trusted)
		if !bytes.Equal(whole, passed) || err.Error() != wholeErr.Error() {
			t.Fatalf("in pieces: %q, %v; at once: %q, %v", passed, err, whole, wholeErr)
		}
		readAll(t, passed)
		args := bytes.SplitN(data, pieces, 9)
		if len(data) > 8<<10 || len(args) == 0 {
			return
		}
		valid := redcon.AppendArray(nil, len(args))
		for _, arg := range args {
			valid = redcon.AppendBulk(valid, arg)
		}
		if passed, err := through(valid, pieces, trusted); !bytes.Equal(passed, valid) || !errors.Is(err, io.EOF) {
			t.Fatalf("valid %q: hands on %q, ends with %v", valid, passed, err)
		}
	})
}

// readAll has redcon read what a guard handed on, all at once and as it comes.
func readAll(t *testing.T, passed []byte) {
	t.Helper()
	reader := redcon.NewReader(bytes.NewReader(passed))
	for {
		cmd, err := reader.ReadCommand()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("redcon refuses %q: %v", passed, err)
		}
		if len(cmd.Args) == 0 {
			t.Fatalf("redcon finds a command without a name in %q", passed)
		}
	}
}
