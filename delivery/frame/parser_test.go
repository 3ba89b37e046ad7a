package frame

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

const testMax = 64 << 10

// outcome is all that a client's bytes lead to, as text that compares.
type outcome []string

// feed gives data to a fresh parser in chunks of the sizes that next returns, and stops at an error or a close frame.
func feed(t testing.TB, data []byte, next func(left int) int) outcome {
	t.Helper()
	p := &Parser{MaxMessage: testMax}
	defer p.Release()
	var out outcome
	costly := 0
	for at := 0; at < len(data); {
		n := min(max(next(len(data)-at), 1), len(data)-at)
		chunk := append([]byte(nil), data[at:at+n]...) // the parser unmasks in place, and must not keep the bytes
		at += n
		for rest := chunk; ; {
			var ev Event
			var err error
			ev, rest, err = p.Next(rest)
			costly += p.TakeCostly()
			if err != nil {
				var e *Error
				if !errors.As(err, &e) || !ValidCloseCode(e.Code) || e.Reason == "" {
					t.Fatalf("error %v is not one that can be sent", err)
				}
				if again, rest2, err2 := p.Next([]byte{1}); again.Kind != None || rest2 != nil || err2 == nil {
					t.Fatal("the parser went on after an error")
				}
				return append(out, fmt.Sprintf("fail %d", e.Code))
			}
			if ev.Kind == None {
				if len(rest) != 0 {
					t.Fatalf("no event, but %d bytes are left", len(rest))
				}
				break
			}
			switch ev.Kind {
			case Text:
				out = append(out, "text "+string(ev.Payload))
			case Ping:
				out = append(out, "ping "+string(ev.Payload))
			case Pong:
				out = append(out, "pong "+string(ev.Payload))
			case Close:
				return append(out, fmt.Sprintf("close %d %s", ev.Code, ev.Payload))
			}
			if n := cap(p.heldText()); n > 4*testMax {
				t.Fatalf("holds %d bytes", n)
			}
		}
		for i := range chunk {
			chunk[i] = 0xEE // as a poller's read buffer is used again
		}
	}
	if p.Holding() {
		out = append(out, "holding")
	}
	return append(out, fmt.Sprintf("costly %d", costly))
}

func (p *Parser) heldText() []byte {
	if p.hold == nil {
		return nil
	}
	return p.hold.text
}

func whole(left int) int { return left }
func single(int) int     { return 1 }

type parserCase struct {
	name string
	in   []byte
	want outcome
}

// check runs the cases with the bytes at once, one by one, and cut once at every place.
func check(t *testing.T, cases []parserCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			stripped := func(o outcome) outcome {
				if n := len(o); n > 0 && strings.HasPrefix(o[n-1], "costly ") {
					return o[:n-1]
				}
				return o
			}
			if got := stripped(feed(t, c.in, whole)); !reflect.DeepEqual(got, c.want) {
				t.Fatalf("at once: %q\nwant %q", got, c.want)
			}
			if got := stripped(feed(t, c.in, single)); !reflect.DeepEqual(got, c.want) {
				t.Fatalf("byte by byte: %q\nwant %q", got, c.want)
			}
			for cut := 1; cut < min(len(c.in), 200); cut++ {
				first := true
				got := stripped(feed(t, c.in, func(left int) int {
					if first {
						first = false
						return cut
					}
					return left
				}))
				if !reflect.DeepEqual(got, c.want) {
					t.Fatalf("cut at %d: %q\nwant %q", cut, got, c.want)
				}
			}
		})
	}
}

func TestParser_Framing(t *testing.T) {
	var cases []parserCase
	for _, n := range []int{0, 1, 7, 8, 9, 125, 126, 127, 128, 65535, 65536} {
		s := strings.Repeat("*", n)
		cases = append(cases, parserCase{fmt.Sprintf("text of %d", n), text(s), outcome{"text " + s}})
	}
	cases = append(cases,
		parserCase{"many in one read", join(text("a"), text(""), text("b")), outcome{"text a", "text ", "text b"}},
		parserCase{"half a header", text("abc")[:1], outcome{"holding"}},
		parserCase{"half a payload", text("abc")[:8], outcome{"holding"}},
		parserCase{"binary", clientFrame(fin|byte(OpBinary), []byte("x")), outcome{"fail 1003"}},
		parserCase{"unmasked", AppendText(nil, []byte("abc")), outcome{"fail 1002"}},
		parserCase{"nothing after an error", join(clientFrame(fin|3, nil), text("late")), outcome{"fail 1002"}},
	)
	check(t, cases)
}

func TestParser_PingPong(t *testing.T) {
	long := strings.Repeat("p", 125)
	check(t, []parserCase{
		{"ping without payload", ping(""), outcome{"ping "}},
		{"ping", ping("hello"), outcome{"ping hello"}},
		{"ping with bytes that are not text", ping("\x00\xff\xfe\xfd"), outcome{"ping \x00\xff\xfe\xfd"}},
		{"ping of 125", ping(long), outcome{"ping " + long}},
		{"ping of 126", ping(long + "p"), outcome{"fail 1002"}},
		{"fragmented ping", clientFrame(byte(OpPing), []byte("x")), outcome{"fail 1002"}},
		{"unasked pong", pong("x"), outcome{"pong x"}},
		{"pong, then ping", join(pong("x"), ping("y")), outcome{"pong x", "ping y"}},
		{"ten pings", join(ping("0"), ping("1"), ping("2"), ping("3")), outcome{"ping 0", "ping 1", "ping 2", "ping 3"}},
	})
}

func TestParser_ReservedBitsAndOpcodes(t *testing.T) {
	var cases []parserCase
	for _, bits := range []byte{rsv1, rsv2, rsv3, rsv1 | rsv2 | rsv3} {
		for _, op := range []Opcode{OpText, OpPing, OpClose} {
			cases = append(cases, parserCase{
				fmt.Sprintf("rsv %02x opcode %d", bits, op),
				join(text("before"), clientFrame(fin|bits|byte(op), []byte("x")), text("after")),
				outcome{"text before", "fail 1002"},
			})
		}
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		cases = append(cases, parserCase{
			fmt.Sprintf("opcode %d", op), join(text("before"), clientFrame(fin|op, []byte("x")), text("after")),
			outcome{"text before", "fail 1002"},
		})
	}
	check(t, cases)
}

func TestParser_Fragments(t *testing.T) {
	check(t, []parserCase{
		{"two", join(textStart("ab"), end("cd")), outcome{"text abcd"}},
		{"empty ones", join(textStart(""), more(""), end("")), outcome{"text "}},
		{"empty around one", join(textStart(""), more("middle"), end("")), outcome{"text middle"}},
		{"ping inside", join(textStart("ab"), ping("p"), end("cd")), outcome{"ping p", "text abcd"}},
		{
			"pings and a pong inside", join(textStart("a"), ping("1"), more("b"), pong("2"), ping("3"), end("c")),
			outcome{"ping 1", "pong 2", "ping 3", "text abc"},
		},
		{"two messages", join(textStart("a"), end("b"), textStart("c"), end("d")), outcome{"text ab", "text cd"}},
		{"close inside", join(textStart("a"), closeCode(1000, "")), outcome{"close 1000 "}},
		{"continuation first", more("x"), outcome{"fail 1002"}},
		{"final continuation first", end("x"), outcome{"fail 1002"}},
		{"continuation after a whole message", join(text("a"), end("b")), outcome{"text a", "fail 1002"}},
		{"continuation after an end", join(textStart("a"), end("b"), more("c")), outcome{"text ab", "fail 1002"}},
		{"text inside", join(textStart("a"), text("b")), outcome{"fail 1002"}},
		{"start inside", join(textStart("a"), textStart("b")), outcome{"fail 1002"}},
		{"binary inside", join(textStart("a"), clientFrame(fin|byte(OpBinary), nil)), outcome{"fail 1002"}},
		{"left open", textStart("a"), outcome{"holding"}},
	})
}

func TestParser_CostlyFramesAreCounted(t *testing.T) {
	big := strings.Repeat("x", TinyFragment)
	for _, c := range []struct {
		name string
		in   []byte
		want string
	}{
		{"whole messages", join(text(""), text("a"), text(big)), "costly 0"},
		{"fragments of a fair size", join(textStart(big), more(big), end(big)), "costly 0"},
		{"tiny fragments", join(textStart("a"), more(""), more("b"), end("c")), "costly 4"},
		{"pings and pongs", join(ping(""), pong("")), "costly 2"},
	} {
		for how, next := range map[string]func(int) int{"at once": whole, "byte by byte": single} {
			if out := feed(t, c.in, next); out[len(out)-1] != c.want {
				t.Errorf("%s, %s: %q, want %q", c.name, how, out[len(out)-1], c.want)
			}
		}
	}
}
