package raftfsm

import (
	"encoding/binary"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/sequencer/wire"
)

// runKey is the key of the archived run of a chat that begins at a seq.
func runKey(dst []byte, chatID string, from wire.Seq) []byte {
	dst = append(append(dst, tableRun), chatID...)
	return binary.BigEndian.AppendUint64(append(dst, 0), uint64(from))
}

// runBounds are those of all archived runs of a chat.
func runBounds(chatID string) *pebble.IterOptions {
	prefix := key2(nil, tableRun, chatID, "")
	return &pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)}
}

// archivedRun says where a run stands in the archive; its key has the chat and its first seq.
type archivedRun struct {
	to      wire.Seq
	row     uint64 // of the first message
	segment uint64 // number
	reached uint64 // one more than the sum of watermarks that the object has; 0 where there are newer ones
}

func (r archivedRun) append(dst []byte) []byte {
	dst = binary.AppendUvarint(newRecord(dst), uint64(r.to))
	dst = binary.AppendUvarint(dst, r.row)
	return binary.AppendUvarint(binary.AppendUvarint(dst, r.segment), r.reached)
}

func decodeArchivedRun(b []byte) (archivedRun, error) {
	d := openRecord(b)
	r := archivedRun{to: wire.Seq(d.uvarint()), row: d.uvarint(), segment: d.uvarint(), reached: d.uvarint()}
	return r, d.end()
}

// segment is an object of the archive that runs refer to.
type segment struct {
	number uint64
	ref    wire.Segment
	at     wire.Millis // when the first run of it was committed
	live   uint64      // messages in it that runs refer to
}

func (s *segment) append(dst []byte) []byte {
	dst = appendSegment(newRecord(dst), &s.ref)
	dst = binary.AppendUvarint(dst, uint64(s.at))
	return binary.AppendUvarint(dst, s.live)
}

func decodeSegment(b []byte, number uint64) (segment, error) {
	d := openRecord(b)
	s := segment{number: number, ref: d.segment(), at: d.millis(), live: d.uvarint()}
	return s, d.end()
}

func appendSegment(dst []byte, s *wire.Segment) []byte {
	dst = appendString(dst, s.Key)
	dst = binary.AppendUvarint(dst, uint64(s.Size))
	dst = binary.AppendUvarint(dst, uint64(s.FooterSize))
	dst = binary.AppendUvarint(dst, uint64(s.FooterCRC))
	dst = append(dst, s.SHA256[:]...)
	return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(s.Rows)), uint64(s.NewestAt))
}

func (d *decoder) segment() (s wire.Segment) {
	s.Key = d.string()
	s.Size, s.FooterSize = int64(d.atMost(math.MaxInt64)), int64(d.atMost(math.MaxInt64))
	s.FooterCRC = uint32(d.atMost(math.MaxUint32))
	copy(s.SHA256[:], d.bytes(uint64(len(s.SHA256))))
	s.Rows, s.NewestAt = int64(d.atMost(math.MaxInt64)), d.millis()
	return s
}

func appendRuns(dst []byte, runs []ArchivedRun) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(runs)))
	for _, r := range runs {
		dst = appendString(dst, r.ChatID)
		for _, v := range []uint64{uint64(r.From), uint64(r.To), r.Row, r.Reached} {
			dst = binary.AppendUvarint(dst, v)
		}
	}
	return dst
}

func (d *decoder) runs() []ArchivedRun {
	n := d.count()
	if n == 0 {
		return nil
	}
	runs := make([]ArchivedRun, 0, min(n, maxArchivedRuns))
	for range n {
		runs = append(runs, ArchivedRun{
			ChatID: d.string(), From: wire.Seq(d.uvarint()), To: wire.Seq(d.uvarint()), Row: d.uvarint(), Reached: d.uvarint(),
		})
	}
	return runs
}

// keeping says what of a chat's log is kept, and for how long.
type keeping struct {
	first  wire.Seq    // the first message that was not deleted
	own    bool        // the chat has a time of its own, not the cluster's
	millis wire.Millis // 0 for ever
}

func (k keeping) append(dst []byte) []byte {
	dst = binary.AppendUvarint(newRecord(dst), uint64(k.first))
	return binary.AppendUvarint(appendBool(dst, k.own), uint64(k.millis))
}

func decodeKeeping(b []byte) (keeping, error) {
	d := openRecord(b)
	k := keeping{first: wire.Seq(d.uvarint()), own: d.bool(), millis: d.millis()}
	return k, d.end()
}
