// Package frametest holds what a server is tested with as a WebSocket peer: the case list of the Autobahn test suite, under the names
// its reports use, written anew from RFC 6455 and the cases' titles. It is the one list; the parser runs it with every split of the
// bytes, the engine over real connections.
//
// It is fitted to a server that takes text messages of up to MaxMessage bytes, answers binary ones with 1003, and knows no
// extension.
package frametest

import (
	"fmt"
	"strings"
)

// MaxMessage is the bound on a message that the list is made for.
const MaxMessage = 64 << 10

// Case is what a client sends and what comes of it.
type Case struct {
	Name  string // as Autobahn has it: 1.1.1
	Title string
	Offer string        // what the handshake says in Sec-WebSocket-Extensions; it is never agreed on
	Send  func() []byte // the frames, masked
	Chop  int           // the bytes leave in pieces of this size; 0 is all at once

	// Want is what the server reads, in this order: "text …", "ping …", "pong …". It echoes the first and answers the second. "close
	// N" is the client's close frame, which is answered by the same code, or 1005 where it has none. "fail N" is a breach that is
	// answered by a close frame. Nothing follows either of the two, whatever is sent. Without them the connection stays.
	Want []string
}

// Cases gives the whole list, in the order of the names.
func Cases() []Case {
	l := &list{}
	l.framing()
	l.pings()
	l.reservedBits()
	l.opcodes()
	l.fragments()
	l.utf8()
	l.closes()
	l.limits()
	l.misc()
	l.compression()
	return l.cases
}

// Of gives the cases of one section: the "6" of 6.1.1.
func Of(section string) []Case {
	var some []Case
	for _, c := range Cases() {
		if strings.HasPrefix(c.Name, section+".") {
			some = append(some, c)
		}
	}
	return some
}

// list is where the sections put their cases.
type list struct{ cases []Case }

// add puts a case that is sent at once.
func (l *list) add(name, title string, send []byte, want ...string) {
	l.cases = append(l.cases, Case{Name: name, Title: title, Send: func() []byte { return send }, Want: want})
}

// chopped puts a case that is sent in pieces.
func (l *list) chopped(name, title string, chop int, send []byte, want ...string) {
	l.add(name, title, send, want...)
	l.cases[len(l.cases)-1].Chop = chop
}

// large puts a case whose bytes are made when it runs.
func (l *list) large(name, title string, chop int, send func() []byte, want ...string) {
	l.cases = append(l.cases, Case{Name: name, Title: title, Send: send, Chop: chop, Want: want})
}

// The ways of sending that many cases come in: at once, frame by frame as far as TCP lets it, octet by octet.
var ways = []struct {
	how  string
	chop int
}{{"at once", 0}, {"in small pieces", 7}, {"octet by octet", 1}}

func stars(n int) string { return strings.Repeat("*", n) }

func (l *list) framing() {
	for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536} {
		l.add(fmt.Sprintf("1.1.%d", i+1), fmt.Sprintf("text of %d", n), Text(stars(n)), "text "+stars(n))
	}
	l.chopped("1.1.8", "text of 65536 in pieces of 997", 997, Text(stars(65536)), "text "+stars(65536))
	for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536} {
		l.add(fmt.Sprintf("1.2.%d", i+1), fmt.Sprintf("binary of %d", n), binaryOf(n), "fail 1003")
	}
	l.chopped("1.2.8", "binary of 65536 in pieces of 997", 997, binaryOf(65536), "fail 1003")
}

func binaryOf(n int) []byte { return Frame(Fin|opBinary, make([]byte, n)) }

func (l *list) pings() {
	long := strings.Repeat("\xfe", 125)
	l.add("2.1", "ping without payload", Ping(""), "ping ")
	l.add("2.2", "ping with text", Ping("Hello, world!"), "ping Hello, world!")
	l.add("2.3", "ping with bytes that are no text", Ping("\x00\xff\xfe\xfd\xfc\xfb\x00\xff"), "ping \x00\xff\xfe\xfd\xfc\xfb\x00\xff")
	l.add("2.4", "ping of 125", Ping(long), "ping "+long)
	l.add("2.5", "ping of 126", Ping(long+"x"), "fail 1002")
	l.chopped("2.6", "ping of 125 octet by octet", 1, Ping(long), "ping "+long)
	l.add("2.7", "unasked pong without payload", Pong(""), "pong ")
	l.add("2.8", "unasked pong with payload", Pong("unasked"), "pong unasked")
	l.add("2.9", "unasked pong, then ping", Join(Pong("unasked"), Ping("asked")), "pong unasked", "ping asked")
	var ten []byte
	var want []string
	for i := range 10 {
		text := fmt.Sprintf("payload-%d", i)
		ten, want = append(ten, Ping(text)...), append(want, "ping "+text)
	}
	l.add("2.10", "ten pings", ten, want...)
	l.chopped("2.11", "ten pings octet by octet", 1, ten, want...)
}

func (l *list) reservedBits() {
	const hello = "Hello, world!"
	bad := func(first byte) []byte { return Frame(first, []byte(hello)) }
	l.add("3.1", "RSV 1, small text", bad(Fin|RSV3|opText), "fail 1002")
	around := func(first byte) []byte { return Join(Text(hello), bad(first), Ping("")) }
	for i, bits := range []byte{RSV2, RSV2 | RSV3, RSV1} {
		l.chopped(fmt.Sprintf("3.%d", i+2), fmt.Sprintf("RSV %d between text and ping, %s", i+2, ways[i].how), ways[i].chop,
			around(Fin|bits|opText), "text "+hello, "fail 1002")
	}
	l.add("3.5", "RSV 5, binary", bad(Fin|RSV1|RSV3|opBinary), "fail 1002")
	l.add("3.6", "RSV 6, ping", bad(Fin|RSV1|RSV2|opPing), "fail 1002")
	l.add("3.7", "RSV 7, close", Frame(Fin|RSV1|RSV2|RSV3|opClose, []byte{3, 0xE8}), "fail 1002")
}

func (l *list) opcodes() {
	for kind, first := range []byte{3, 11} {
		for i := range 5 {
			name, op := fmt.Sprintf("4.%d.%d", kind+1, i+1), Fin|(first+byte(i))
			switch i {
			case 0:
				l.add(name, fmt.Sprintf("opcode %d without payload", op&15), Frame(op, nil), "fail 1002")
			case 1:
				l.add(name, fmt.Sprintf("opcode %d with payload", op&15), Frame(op, []byte("reserved")), "fail 1002")
			default:
				l.chopped(name, fmt.Sprintf("opcode %d between text and ping, %s", op&15, ways[i-2].how), ways[i-2].chop,
					Join(Text("first"), Frame(op, []byte("reserved")), Ping("")), "text first", "fail 1002")
			}
		}
	}
}

func (l *list) fragments() {
	l.add("5.1", "ping in two fragments", Join(Frame(opPing, []byte("a")), End("b")), "fail 1002")
	l.add("5.2", "pong in two fragments", Join(Frame(opPong, []byte("a")), End("b")), "fail 1002")
	for i, way := range ways {
		title := func(s string) string { return s + ", " + way.how }
		l.chopped(fmt.Sprintf("5.%d", 3+i), title("text in two fragments"), way.chop,
			Join(Start("fragment1"), End("fragment2")), "text fragment1fragment2")
		l.chopped(fmt.Sprintf("5.%d", 6+i), title("ping between two fragments"), way.chop,
			Join(Start("fragment1"), Ping("ping payload"), End("fragment2")), "ping ping payload", "text fragment1fragment2")
		l.chopped(fmt.Sprintf("5.%d", 9+i), title("last fragment of nothing, then text"), way.chop,
			Join(End("nothing to continue"), Text("Hello, world!")), "fail 1002")
		l.chopped(fmt.Sprintf("5.%d", 12+i), title("fragment of nothing, then text"), way.chop,
			Join(More("nothing to continue"), Text("Hello, world!")), "fail 1002")
	}
	whole := Join(Start("fragment1"), End("fragment2"))
	l.add("5.15", "text in two fragments, then a fragment of nothing, then text", Join(whole, More("nothing"), Text("Hello")),
		"text fragment1fragment2", "fail 1002")
	again := func(frame []byte) []byte { return Join(frame, Start("fragment2"), End("fragment3"), frame) }
	l.add("5.16", "a fragment of nothing, text in two, and again", again(More("nothing")), "fail 1002")
	l.add("5.17", "a last fragment of nothing, text in two, and again", again(End("nothing")), "fail 1002")
	l.add("5.18", "text in two fragments that are both its first", Join(Start("fragment1"), Frame(Fin|opText, []byte("fragment2"))), "fail 1002")
	five := Join(Start("fragment1"), More("fragment2"), Ping("pongme 1!"), More("fragment3"), More("fragment4"), Ping("pongme 2!"), End("fragment5"))
	want := []string{"ping pongme 1!", "ping pongme 2!", "text fragment1fragment2fragment3fragment4fragment5"}
	l.add("5.19", "text in five fragments, pings between", five, want...)
	l.chopped("5.20", "text in five fragments, pings between, octet by octet", 1, five, want...)
}

func (l *list) misc() {
	text := stars(65536)
	l.add("10.1.1", "text of 65536 in fragments of 1300", Fragments(opText, []byte(text), 1300), "text "+text)
}
