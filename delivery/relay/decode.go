package relay

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/quorate/quorate/sequencer/wire"
)

// Read reads one frame into buf, which grows as needed and may be used again. The payload lies in buf.
func Read(r io.Reader, buf []byte) (k Kind, payload, grown []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, buf, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n < 1 || n > MaxFrameBytes {
		return 0, nil, buf, fmt.Errorf("%w: %d bytes", ErrFrame, n)
	}
	if uint32(cap(buf)) < n-1 {
		buf = make([]byte, n-1)
	}
	buf = buf[:n-1]
	if _, err := io.ReadFull(r, buf); err != nil {
		return 0, nil, buf, err
	}
	return Kind(head[4]), buf, buf, nil
}

// cursor reads the parts of a payload. After the first error it gives zeros.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) fail(what string) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s", ErrFrame, what)
	}
	c.b = nil
}

func (c *cursor) number() uint64 {
	n, size := binary.Uvarint(c.b)
	if size <= 0 || n > math.MaxInt64 {
		c.fail("a number")
		return 0
	}
	c.b = c.b[size:]
	return n
}

func (c *cursor) byte() byte {
	if len(c.b) == 0 {
		c.fail("too short")
		return 0
	}
	b := c.b[0]
	c.b = c.b[1:]
	return b
}

func (c *cursor) bool() bool {
	b := c.byte()
	if b > 1 {
		c.fail("a flag")
	}
	return b == 1
}

func (c *cursor) string() string {
	n := c.number()
	if n > uint64(len(c.b)) {
		c.fail("a string longer than its frame")
		return ""
	}
	s := string(c.b[:n])
	c.b = c.b[n:]
	return s
}

// count reads how many things of at least size bytes follow.
func (c *cursor) count(size int) int {
	n := c.number()
	if n > uint64(len(c.b)/size) {
		c.fail("more parts than fit")
		return 0
	}
	return int(n)
}

func (c *cursor) group() wire.GroupID {
	n := c.number()
	if n > math.MaxUint16 {
		c.fail("a group")
	}
	return wire.GroupID(n)
}

func (c *cursor) status() Status {
	s := Status(c.byte())
	if s > Online {
		c.fail("a status")
	}
	return s
}

func (c *cursor) presence() Presence {
	return Presence{Status: c.status(), LastSeen: wire.Millis(c.number())}
}

// end gives the error, which there also is where something is left.
func (c *cursor) end() error {
	if c.err == nil && len(c.b) > 0 {
		c.fail("too long")
	}
	return c.err
}

// DecodeHello is the inverse of AppendHello.
func DecodeHello(b []byte) (Hello, error) {
	c := cursor{b: b}
	h := Hello{Version: c.number(), Node: c.string(), Region: c.string(), Peer: c.bool()}
	if c.err == nil && h.Version != Version {
		return h, fmt.Errorf("%w: version %d, this program speaks %d", ErrFrame, h.Version, Version)
	}
	return h, c.end()
}

// DecodeUsers is the inverse of AppendUsers.
func DecodeUsers(b []byte) (Users, error) {
	c := cursor{b: b}
	u := Users{Number: c.number(), Reset: c.bool()}
	n := c.count(2)
	if n > MaxUsers {
		c.fail("too many users")
		n = 0
	}
	u.Users = make([]User, 0, n)
	for range n {
		u.Users = append(u.Users, User{ID: c.string(), Status: c.status()})
	}
	return u, c.end()
}

// DecodePlaces is the inverse of AppendPlaces.
func DecodePlaces(b []byte) ([]Place, error) {
	c := cursor{b: b}
	n := c.count(2)
	if n > MaxGroups {
		c.fail("too many groups")
		n = 0
	}
	places := make([]Place, 0, n)
	for range n {
		places = append(places, Place{Group: c.group(), Next: wire.Offset(c.number())})
	}
	return places, c.end()
}

// DecodeNumber is the inverse of AppendNumber.
func DecodeNumber(b []byte) (uint64, error) {
	c := cursor{b: b}
	return c.number(), c.end()
}

// DecodeCovered is the inverse of AppendCovered.
func DecodeCovered(b []byte) (Covered, error) {
	c := cursor{b: b}
	return Covered{Group: c.group(), From: wire.Offset(c.number()), To: wire.Offset(c.number())}, c.end()
}

// DecodeBatch is the inverse of AppendBatch. Nothing in the batch refers to b.
func DecodeBatch(b []byte) (Batch, error) {
	c := cursor{b: b}
	batch := Batch{Number: c.number()}
	n := c.count(3)
	batch.Entries = make([]Entry, 0, n)
	for range n {
		var e Entry
		users := c.count(1)
		e.Users = make([]string, 0, users)
		for range users {
			e.Users = append(e.Users, c.string())
		}
		e.Item = c.item()
		if c.err != nil {
			break
		}
		batch.Entries = append(batch.Entries, e)
	}
	return batch, c.end()
}

func (c *cursor) item() Item {
	i := Item{Kind: ItemKind(c.byte()), ChatID: c.string()}
	switch i.Kind {
	case ItemMessage:
		i.Message = &wire.Message{ChatID: i.ChatID, Seq: wire.Seq(c.number())}
		m := i.Message
		m.SenderID, m.ClientMessageID, m.Text = c.string(), c.string(), c.string()
		m.SentAt, m.Lamport, m.Trace = wire.Millis(c.number()), wire.Lamport(c.number()), c.string()
	case ItemReceipt:
		i.Marks.UserID = c.string()
		i.Marks.Delivered, i.Marks.Read = wire.Seq(c.number()), wire.Seq(c.number())
		i.Marks.DeliveredAt, i.Marks.ReadAt = wire.Millis(c.number()), wire.Millis(c.number())
		i.At = wire.Millis(c.number())
	case ItemChat, ItemCreated, ItemLeft:
		i.Frame = []byte(c.string())
	case ItemLook:
		i.Seq = wire.Seq(c.number())
	case ItemTyping:
		i.UserID = c.string()
	case ItemPresence:
		i.UserID, i.Presence = c.string(), c.presence()
	default:
		c.fail("an unknown item")
	}
	return i
}

// DecodeHint is the inverse of AppendHint.
func DecodeHint(b []byte) (Hint, error) {
	c := cursor{b: b}
	h := Hint{Kind: HintKind(c.byte()), UserID: c.string(), Presence: c.presence(), Relayed: c.bool()}
	if h.Kind != HintTyping && h.Kind != HintPresence {
		c.fail("an unknown hint")
	}
	n := c.count(1)
	h.Chats = make([]string, 0, n)
	for range n {
		h.Chats = append(h.Chats, c.string())
	}
	if h.Kind == HintTyping && n != 1 {
		c.fail("one types in one chat")
	}
	return h, c.end()
}

// DecodeAsk is the inverse of AppendAsk.
func DecodeAsk(b []byte) (Ask, error) {
	c := cursor{b: b}
	return Ask{Number: c.number(), UserID: c.string()}, c.end()
}

// DecodeAnswer is the inverse of AppendAnswer.
func DecodeAnswer(b []byte) (Answer, error) {
	c := cursor{b: b}
	return Answer{Number: c.number(), Presence: c.presence()}, c.end()
}
