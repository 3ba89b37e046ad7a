package frame

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/quorate/quorate/delivery/frame/frametest"
)

const testMax = frametest.MaxMessage

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
			cuts := min(len(c.in), 200)
			if len(c.in) > 4<<10 {
				cuts = min(cuts, 16) // a header and the begin of what it announces
			}
			for cut := 1; cut < cuts; cut++ {
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

// TestParser_Autobahn runs the whole list, however the bytes are split.
func TestParser_Autobahn(t *testing.T) {
	for _, c := range frametest.Cases() {
		wanted := outcome(c.Want)
		if n := len(wanted); n > 0 && strings.HasPrefix(wanted[n-1], "close ") {
			wanted[n-1] += " " + reasons[c.Name]
		}
		check(t, []parserCase{{c.Name + " " + c.Title, c.Send(), wanted}})
	}
}

// reasons are what the close frames of the list say, where they do.
var reasons = map[string]string{"7.3.4": "Hello World!", "7.3.5": strings.Repeat("*", 123)}

func TestParser_Framing(t *testing.T) {
	var cases []parserCase
	for _, n := range []int{1, 7, 8, 9, 15, 16, 17} { // around the width of the unmasking
		s := strings.Repeat("*", n)
		cases = append(cases, parserCase{fmt.Sprintf("text of %d", n), text(s), outcome{"text " + s}})
	}
	cases = append(cases,
		parserCase{"many in one read", join(text("a"), text(""), text("b")), outcome{"text a", "text ", "text b"}},
		parserCase{"half a header", text("abc")[:1], outcome{"holding"}},
		parserCase{"half a payload", text("abc")[:8], outcome{"holding"}},
		parserCase{"unmasked", AppendText(nil, []byte("abc")), outcome{"fail 1002"}},
		parserCase{"nothing after an error", join(clientFrame(fin|3, nil), text("late")), outcome{"fail 1002"}},
	)
	check(t, cases)
}

func TestParser_Fragments(t *testing.T) {
	check(t, []parserCase{
		{
			"pings and a pong inside", join(textStart("a"), ping("1"), more("b"), pong("2"), ping("3"), end("c")),
			outcome{"ping 1", "pong 2", "ping 3", "text abc"},
		},
		{"two messages", join(textStart("a"), end("b"), textStart("c"), end("d")), outcome{"text ab", "text cd"}},
		{"continuation after a whole message", join(text("a"), end("b")), outcome{"text a", "fail 1002"}},
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
