package frame

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// Kind says what an Event is.
type Kind uint8

// The kinds of events. A client's binary message is an error, not an event.
const (
	None  Kind = iota // no event: all bytes are consumed and more are needed
	Text              // a whole text message, valid UTF-8
	Ping              // to be answered by a pong with the same payload
	Pong              // a pong, asked for or not
	Close             // the client's close frame; whatever comes after it is to be ignored
)

// Event is one thing that a client said.
type Event struct {
	Kind    Kind
	Payload []byte // of Text, Ping and Pong; the reason of Close. Valid until the next call of a method of the Parser.
	Code    int    // of Close; 1005 where the frame had none
}

// Error is a breach of the protocol, with the close code and the reason to answer it with.
type Error struct {
	Code   int
	Reason string
}

// Error gives code and reason.
func (e *Error) Error() string { return fmt.Sprintf("websocket: %s (%d)", e.Reason, e.Code) }

// The close codes that a Parser answers breaches with, and the one that stands for a close frame without a code.
const (
	codeProtocol    = 1002
	codeUnsupported = 1003
	codeNoStatus    = 1005
	codeInvalidData = 1007
	codeTooBig      = 1009
)

var (
	errReserved    = &Error{codeProtocol, "reserved bit set"}
	errOpcode      = &Error{codeProtocol, "unknown opcode"}
	errUnmasked    = &Error{codeProtocol, "frame is not masked"}
	errControlFin  = &Error{codeProtocol, "fragmented control frame"}
	errControlSize = &Error{codeProtocol, "control frame over 125 bytes"}
	errNotStarted  = &Error{codeProtocol, "continuation of nothing"}
	errNotFinished = &Error{codeProtocol, "new message inside a fragmented one"}
	errLengthForm  = &Error{codeProtocol, "length not in its shortest form"}
	errCloseSize   = &Error{codeProtocol, "close frame of one byte"}
	errCloseCode   = &Error{codeProtocol, "close code not allowed"}
	errBinary      = &Error{codeUnsupported, "only text messages"}
	errUTF8        = &Error{codeInvalidData, "text is not UTF-8"}
	errCloseUTF8   = &Error{codeInvalidData, "close reason is not UTF-8"}
	errTooBig      = &Error{codeTooBig, "message too big"}
	errReleased    = &Error{codeProtocol, "connection has ended"}
)

// Parser reads the frames of one client from its bytes, however TCP split them; the events and the error do not depend on the
// splits. It is small and holds no buffer while no message is half read, so it is meant to live inside a connection. It is not
// safe for concurrent use.
type Parser struct {
	// MaxMessage bounds the payload of a message, all fragments together. Longer ones fail at the header that shows it, before
	// any of it is stored. It must be set before the first Next.
	MaxMessage uint32

	left   uint32 // payload bytes of this frame still to come
	size   uint32 // payload bytes of this message, those of the current frame included
	costly uint32 // costly frames since the last TakeCostly
	hold   *hold  // the message or control frame that is half read; nil most of the time
	failed *Error

	head    [14]byte // the header that is half read
	headLen uint8
	maskAt  uint8 // position in mask of the next payload byte
	mask    [4]byte
	opcode  Opcode
	fin     bool
	inFrame bool // the header is complete; left bytes of payload are to come
	partial bool // a message has begun and its last fragment has not ended
	given   bool // the last event's payload lies in hold
}

// TinyFragment is the length in bytes under which a fragment of a message counts as costly.
const TinyFragment = 64

// TakeCostly tells how many frames came, since it was last asked, that cost the server more than their bytes say: pings, pongs
// and fragments under TinyFragment bytes. What is too many is the caller's to judge.
func (p *Parser) TakeCostly() int {
	n := p.costly
	p.costly = 0
	return int(n)
}

// Next takes bytes that came after those of the last call and returns the first event in them, and the bytes that it did not
// consume. An Event of kind None means that none are left. The payload bytes of data are unmasked in place. An error is always
// an *Error and ends the stream: further calls return it again.
func (p *Parser) Next(data []byte) (Event, []byte, error) {
	p.reuse()
	if p.failed != nil {
		return Event{}, nil, p.failed
	}
	for {
		if !p.inFrame {
			n, err := p.header(data)
			data = data[n:]
			if err != nil {
				return p.fail(err)
			}
			if !p.inFrame {
				return Event{}, nil, nil
			}
		}
		take := min(int(p.left), len(data))
		chunk := data[:take:take]
		data = data[take:]
		p.left -= uint32(take)
		p.unmask(chunk)
		ev, err := p.payload(chunk)
		if err != nil {
			return p.fail(err)
		}
		if ev.Kind != None {
			return ev, data, nil
		}
		if p.inFrame {
			return Event{}, nil, nil
		}
	}
}

// Holding tells whether the client has sent a part of a message and not its end.
func (p *Parser) Holding() bool { return p.headLen > 0 || p.inFrame || p.partial }

// Release gives the buffers back. Only a connection that ends needs it; the Parser accepts nothing afterwards.
func (p *Parser) Release() {
	p.hold.release()
	p.hold, p.given = nil, false
	if p.failed == nil {
		p.failed = errReleased
	}
}

// reuse takes back the payload that the last event lent out.
func (p *Parser) reuse() {
	if !p.given {
		return
	}
	p.given = false
	if !p.partial {
		p.hold.release()
		p.hold = nil
	}
}

func (p *Parser) fail(err *Error) (Event, []byte, error) {
	p.failed = err
	p.Release()
	return Event{}, nil, err
}

// header reads what is missing of a header and says how many bytes it took. It checks each byte as early as it has it.
func (p *Parser) header(data []byte) (int, *Error) {
	used := 0
	for {
		want := p.headWant()
		n := copy(p.head[p.headLen:want], data[used:])
		used += n
		p.headLen += uint8(n)
		if int(p.headLen) < want {
			return used, nil
		}
		if want == 2 {
			if err := p.checkStart(); err != nil {
				return used, err
			}
			continue // with mask and length bytes
		}
		return used, p.begin(want)
	}
}

// headWant is the length that the header has as far as it is known.
func (p *Parser) headWant() int {
	if p.headLen < 2 {
		return 2
	}
	switch p.head[1] &^ bitMask {
	case len16:
		return 2 + 2 + 4
	case len64:
		return 2 + 8 + 4
	default:
		return 2 + 4
	}
}

// checkStart judges the first two bytes.
func (p *Parser) checkStart() *Error {
	first, second := p.head[0], p.head[1]
	op, fin := Opcode(first&0x0F), first&bitFin != 0
	if first&bitsRSV != 0 {
		return errReserved
	}
	if second&bitMask == 0 {
		return errUnmasked
	}
	switch op {
	case OpClose, OpPing, OpPong:
		if !fin {
			return errControlFin
		}
		if second&^bitMask >= len16 {
			return errControlSize
		}
	case OpContinuation:
		if !p.partial {
			return errNotStarted
		}
	case OpText, OpBinary:
		if p.partial {
			return errNotFinished
		}
		if op == OpBinary {
			return errBinary
		}
	default:
		return errOpcode
	}
	return nil
}

// begin starts the frame whose header of n bytes is complete.
func (p *Parser) begin(n int) *Error {
	p.opcode, p.fin = Opcode(p.head[0]&0x0F), p.head[0]&bitFin != 0
	var length uint64
	switch n {
	case 2 + 4:
		length = uint64(p.head[1] &^ bitMask)
	case 2 + 2 + 4:
		length = uint64(binary.BigEndian.Uint16(p.head[2:]))
		if length < len16 {
			return errLengthForm
		}
	default:
		length = binary.BigEndian.Uint64(p.head[2:])
		if length <= 0xFFFF {
			return errLengthForm
		}
	}
	if !p.account(length) {
		return errTooBig
	}
	copy(p.mask[:], p.head[n-4:n])
	p.headLen, p.maskAt, p.inFrame, p.left = 0, 0, true, uint32(length)
	return nil
}

// account judges the frame's length against the message's limit, and counts the frame if it is a costly one.
func (p *Parser) account(length uint64) bool {
	if p.opcode >= OpClose {
		if p.opcode != OpClose {
			p.costly++
		}
		return true
	}
	if p.opcode == OpText {
		p.size = 0
	}
	if length > uint64(p.MaxMessage-p.size) {
		return false
	}
	p.size += uint32(length)
	p.partial = true
	if whole := p.opcode == OpText && p.fin; !whole && length < TinyFragment {
		p.costly++
	}
	return true
}

// unmask undoes the mask of the next payload bytes in place.
func (p *Parser) unmask(b []byte) {
	key := p.mask
	at := p.maskAt
	p.maskAt = (at + uint8(len(b)&3)) & 3
	if at != 0 {
		key = [4]byte{key[at&3], key[(at+1)&3], key[(at+2)&3], key[(at+3)&3]}
	}
	if len(b) >= 8 {
		k32 := uint64(binary.LittleEndian.Uint32(key[:]))
		k64 := k32<<32 | k32
		for len(b) >= 8 {
			binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^k64)
			b = b[8:]
		}
	}
	for i := range b {
		b[i] ^= key[i&3]
	}
}

// payload handles the next unmasked bytes of the current frame, all of them when p.left is 0.
func (p *Parser) payload(chunk []byte) (Event, *Error) {
	done := p.left == 0
	p.inFrame = !done
	if p.opcode >= OpClose {
		return p.control(chunk, done)
	}
	last := done && p.fin
	if p.hold == nil && last { // the whole message lies in the caller's bytes
		p.partial = false
		if !utf8.Valid(chunk) {
			return Event{}, errUTF8
		}
		return Event{Kind: Text, Payload: chunk}, nil
	}
	if p.hold == nil {
		p.hold = newHold()
	}
	if !p.hold.appendText(chunk, last) {
		return Event{}, errUTF8
	}
	if !last {
		return Event{}, nil
	}
	p.partial, p.given = false, true
	return Event{Kind: Text, Payload: p.hold.text}, nil
}

// control handles the bytes of a ping, pong or close frame.
func (p *Parser) control(chunk []byte, done bool) (Event, *Error) {
	body := chunk
	if !done || (p.hold != nil && p.hold.controlLen > 0) {
		if p.hold == nil {
			p.hold = newHold()
		}
		body = p.hold.appendControl(chunk)
	}
	if !done {
		return Event{}, nil
	}
	if p.hold != nil {
		p.hold.controlLen = 0
		p.given = true
	}
	switch p.opcode {
	case OpPing:
		return Event{Kind: Ping, Payload: body}, nil
	case OpPong:
		return Event{Kind: Pong, Payload: body}, nil
	default:
		return closeEvent(body)
	}
}

// closeEvent judges the body of a close frame.
func closeEvent(body []byte) (Event, *Error) {
	switch {
	case len(body) == 0:
		return Event{Kind: Close, Code: codeNoStatus}, nil
	case len(body) == 1:
		return Event{}, errCloseSize
	}
	code := int(binary.BigEndian.Uint16(body))
	if !ValidCloseCode(code) {
		return Event{}, errCloseCode
	}
	if !utf8.Valid(body[2:]) {
		return Event{}, errCloseUTF8
	}
	return Event{Kind: Close, Code: code, Payload: body[2:]}, nil
}
