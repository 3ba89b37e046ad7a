package raftfsm

import (
	"encoding/binary"
	"fmt"

	"github.com/quorate/quorate/sequencer/wire"
)

// errVersion says that bytes are of a version that this program does not know.
var errVersion = fmt.Errorf("unknown version: %w", wire.ErrFormat)

// recordVersion is the first byte of every stored record.
const recordVersion = 1

func newRecord(dst []byte) []byte { return append(dst, recordVersion) }

func openRecord(b []byte) decoder {
	if len(b) == 0 || b[0] != recordVersion {
		return decoder{err: errVersion}
	}
	return decoder{rest: b[1:]}
}

// meta is the one record of its table: what belongs to the group as a whole.
type meta struct {
	index, term uint64 // of the last entry that the store holds
	feedNext    wire.Offset
	feedFloor   wire.Offset // the first event that can be read
	dedupFrom   wire.Offset // the first event whose dedup record is kept
	outboxNext  uint64
	outboxFirst uint64
}

// feedKept is the first event on disk: those before serve neither readers nor Expire.
func (m meta) feedKept() wire.Offset { return min(m.feedFloor, m.dedupFrom) }

func (m meta) append(dst []byte) []byte {
	dst = newRecord(dst)
	for _, v := range []uint64{
		m.index, m.term, uint64(m.feedNext), uint64(m.feedFloor), uint64(m.dedupFrom), m.outboxNext, m.outboxFirst,
	} {
		dst = binary.AppendUvarint(dst, v)
	}
	return dst
}

func decodeMeta(b []byte) (meta, error) {
	d := openRecord(b)
	m := meta{
		index: d.uvarint(), term: d.uvarint(), feedNext: wire.Offset(d.uvarint()), feedFloor: wire.Offset(d.uvarint()),
		dedupFrom: wire.Offset(d.uvarint()), outboxNext: d.uvarint(), outboxFirst: d.uvarint(),
	}
	return m, d.end()
}

// chatRecord is what rarely changes of a chat.
type chatRecord struct {
	typ              wire.ChatType
	name, creator    string
	createdAt        wire.Millis
	historyFromStart bool
	creation         []byte // the hash of what the chat was created with
	version          uint64
	members          []wire.Member // sorted by id
}

func (c *chatRecord) append(dst []byte) []byte {
	dst = newRecord(dst)
	dst = appendString(dst, string(c.typ))
	dst = appendString(dst, c.name)
	dst = appendString(dst, c.creator)
	dst = binary.AppendUvarint(dst, uint64(c.createdAt))
	dst = appendBool(dst, c.historyFromStart)
	dst = appendString(dst, string(c.creation))
	dst = binary.AppendUvarint(dst, c.version)
	dst = binary.AppendUvarint(dst, uint64(len(c.members)))
	for _, m := range c.members {
		dst = appendString(dst, m.UserID)
		dst = appendIntervals(dst, m.Intervals)
	}
	return dst
}

func decodeChat(b []byte) (*chatRecord, error) {
	d := openRecord(b)
	c := &chatRecord{
		typ: wire.ChatType(d.string()), name: d.string(), creator: d.string(), createdAt: d.millis(),
		historyFromStart: d.bool(), creation: []byte(d.string()), version: d.uvarint(),
	}
	n := d.count()
	for range n {
		c.members = append(c.members, wire.Member{UserID: d.string(), Intervals: d.intervals()})
	}
	return c, d.end()
}

func appendIntervals(dst []byte, all []wire.Interval) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(all)))
	for _, i := range all {
		dst = binary.AppendUvarint(dst, uint64(i.From))
		dst = binary.AppendUvarint(dst, uint64(i.To))
	}
	return dst
}

// count reads the length of a list whose items take at least one byte each.
func (d *decoder) count() uint64 {
	n := d.uvarint()
	if d.err == nil && n > uint64(len(d.rest)) {
		d.err = errTruncated
	}
	if d.err != nil {
		return 0
	}
	return n
}

func (d *decoder) intervals() []wire.Interval {
	n := d.count()
	if n == 0 {
		return nil
	}
	all := make([]wire.Interval, 0, n)
	for range n {
		all = append(all, wire.Interval{From: wire.Seq(d.uvarint()), To: wire.Seq(d.uvarint())})
	}
	return all
}

// counters are what every append changes of a chat.
type counters struct {
	lastSeq, hotFrom wire.Seq
	lamport          wire.Lamport
	sentAt           wire.Millis // of the last message
}

func (c counters) append(dst []byte) []byte {
	dst = newRecord(dst)
	dst = binary.AppendUvarint(dst, uint64(c.lastSeq))
	dst = binary.AppendUvarint(dst, uint64(c.hotFrom))
	dst = binary.AppendUvarint(dst, uint64(c.lamport))
	return binary.AppendUvarint(dst, uint64(c.sentAt))
}

func decodeCounters(b []byte) (counters, error) {
	d := openRecord(b)
	c := counters{
		lastSeq: wire.Seq(d.uvarint()), hotFrom: wire.Seq(d.uvarint()), lamport: wire.Lamport(d.uvarint()), sentAt: d.millis(),
	}
	return c, d.end()
}

func appendMessage(dst []byte, m *wire.Message) []byte {
	dst = newRecord(dst)
	dst = appendString(dst, m.SenderID)
	dst = appendString(dst, m.ClientMessageID)
	dst = appendString(dst, m.Text)
	dst = binary.AppendUvarint(dst, uint64(m.SentAt))
	dst = binary.AppendUvarint(dst, uint64(m.Lamport))
	return appendString(dst, m.Trace)
}

func decodeMessage(b []byte, chatID string, seq wire.Seq) (wire.Message, error) {
	d := openRecord(b)
	m := wire.Message{
		ChatID: chatID, Seq: seq, SenderID: d.string(), ClientMessageID: d.string(), Text: d.string(),
		SentAt: d.millis(), Lamport: wire.Lamport(d.uvarint()), Trace: d.string(),
	}
	return m, d.end()
}

// dedup is what a retry of an append is answered from.
type dedup struct {
	hash    [16]byte // the first half of the text's SHA-256
	seq     wire.Seq
	sentAt  wire.Millis
	lamport wire.Lamport
}

func (r *dedup) append(dst []byte) []byte {
	dst = newRecord(dst)
	dst = append(dst, r.hash[:]...)
	dst = binary.AppendUvarint(dst, uint64(r.seq))
	dst = binary.AppendUvarint(dst, uint64(r.sentAt))
	return binary.AppendUvarint(dst, uint64(r.lamport))
}

func decodeDedup(b []byte) (dedup, error) {
	d := openRecord(b)
	var r dedup
	copy(r.hash[:], d.bytes(16))
	r.seq, r.sentAt, r.lamport = wire.Seq(d.uvarint()), d.millis(), wire.Lamport(d.uvarint())
	return r, d.end()
}

func appendMarks(dst []byte, m wire.Watermarks) []byte {
	dst = newRecord(dst)
	dst = binary.AppendUvarint(dst, uint64(m.Delivered))
	dst = binary.AppendUvarint(dst, uint64(m.Read))
	dst = binary.AppendUvarint(dst, uint64(m.DeliveredAt))
	return binary.AppendUvarint(dst, uint64(m.ReadAt))
}

func decodeMarks(b []byte, userID string) (wire.Watermarks, error) {
	d := openRecord(b)
	m := wire.Watermarks{
		UserID: userID, Delivered: wire.Seq(d.uvarint()), Read: wire.Seq(d.uvarint()), DeliveredAt: d.millis(), ReadAt: d.millis(),
	}
	return m, d.end()
}

// userChat is one line of a chat list; lines of chats that the user left stay for their version.
type userChat struct {
	present bool
	chat    wire.UserChat
}

func (u userChat) append(dst []byte) []byte {
	dst = newRecord(dst)
	dst = appendBool(dst, u.present)
	dst = appendString(dst, string(u.chat.Type))
	dst = appendString(dst, u.chat.Name)
	return binary.AppendUvarint(dst, u.chat.Version)
}

func decodeUserChat(b []byte, chatID string) (userChat, error) {
	d := openRecord(b)
	u := userChat{present: d.bool(), chat: wire.UserChat{
		ChatID: chatID, Type: wire.ChatType(d.string()), Name: d.string(), Version: d.uvarint(),
	}}
	return u, d.end()
}
