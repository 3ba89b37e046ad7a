package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/hashicorp/raft"
)

// FORMAT.md describes these layouts. All numbers are little-endian.
const (
	version = 1

	segmentMagic      = "QWAL"
	segmentHeaderSize = 4096 // a block of its own: no write of a frame touches it
	segmentHeaderUsed = 48

	frameMagic      = 0x4d524651 // "QFRM"
	frameHeaderSize = 32

	recordHeaderSize = 48
	align            = 8

	maxRecordBytes = 1 << 30 // of data; a longer entry is refused
	maxExtensions  = math.MaxUint16
)

// What a record does.
const (
	kindEntry  = 1 // an entry of the log
	kindMoved  = 2 // an entry again, from a segment that is to be removed; it changes nothing else
	kindDelete = 3 // the entries from index to term, which is an index here, are gone
	kindRemove = 4 // the group is gone
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segmentHeader begins a segment.
type segmentHeader struct {
	number   uint64 // segments are numbered without holes
	salt     uint64 // seeds the checksums of frames: what an earlier use of the file left is not taken for this one's
	firstSeq uint64 // of the segment's first frame
	prevEnd  uint64 // where the frames of the segment before end
}

func (h segmentHeader) encode() []byte {
	b := make([]byte, segmentHeaderSize)
	copy(b, segmentMagic)
	b[4] = version
	binary.LittleEndian.PutUint64(b[8:], h.number)
	binary.LittleEndian.PutUint64(b[16:], h.salt)
	binary.LittleEndian.PutUint64(b[24:], h.firstSeq)
	binary.LittleEndian.PutUint64(b[32:], h.prevEnd)
	binary.LittleEndian.PutUint32(b[44:], crc32.Checksum(b[:44], castagnoli))
	return b
}

func decodeSegmentHeader(b []byte) (segmentHeader, error) {
	switch {
	case len(b) < segmentHeaderUsed:
		return segmentHeader{}, errors.New("a segment without a header")
	case string(b[:4]) != segmentMagic:
		return segmentHeader{}, errors.New("not a segment")
	case b[4] != version:
		return segmentHeader{}, fmt.Errorf("version %d, this program knows %d", b[4], version)
	case binary.LittleEndian.Uint32(b[44:]) != crc32.Checksum(b[:44], castagnoli):
		return segmentHeader{}, errors.New("the header's checksum is wrong")
	}
	return segmentHeader{
		number: binary.LittleEndian.Uint64(b[8:]), salt: binary.LittleEndian.Uint64(b[16:]),
		firstSeq: binary.LittleEndian.Uint64(b[24:]), prevEnd: binary.LittleEndian.Uint64(b[32:]),
	}, nil
}

// frameHeader begins a frame: the records that one write brought. A frame of no records says that all before it is synced.
type frameHeader struct {
	length uint32 // of the records
	seq    uint64 // one more than that of the frame before
	count  uint32 // of records
	sum    uint32 // over the checksums of the records: it ties them to this frame
}

// put writes the header to the start of b.
func (h frameHeader) put(b []byte, salt uint64) {
	binary.LittleEndian.PutUint32(b, frameMagic)
	binary.LittleEndian.PutUint32(b[4:], h.length)
	binary.LittleEndian.PutUint64(b[8:], h.seq)
	binary.LittleEndian.PutUint32(b[16:], h.count)
	binary.LittleEndian.PutUint32(b[20:], h.sum)
	binary.LittleEndian.PutUint32(b[24:], 0)
	binary.LittleEndian.PutUint32(b[28:], saltedSum(b[:28], salt))
}

// decodeFrameHeader is false where b does not begin with a frame of a segment with this salt.
func decodeFrameHeader(b []byte, salt uint64) (frameHeader, bool) {
	if len(b) < frameHeaderSize || binary.LittleEndian.Uint32(b) != frameMagic ||
		binary.LittleEndian.Uint32(b[28:]) != saltedSum(b[:28], salt) {
		return frameHeader{}, false
	}
	return frameHeader{
		length: binary.LittleEndian.Uint32(b[4:]), seq: binary.LittleEndian.Uint64(b[8:]),
		count: binary.LittleEndian.Uint32(b[16:]), sum: binary.LittleEndian.Uint32(b[20:]),
	}, true
}

func saltedSum(b []byte, salt uint64) uint32 {
	var s [8]byte
	binary.LittleEndian.PutUint64(s[:], salt)
	return crc32.Update(crc32.Checksum(s[:], castagnoli), castagnoli, b)
}

// recordHeader begins a record.
type recordHeader struct {
	dataSum    uint32 // over data and extensions
	length     uint32 // of data
	group      uint32
	kind       uint8
	logType    uint8
	extensions uint16 // length, behind data
	index      uint64
	term       uint64
	appended   int64 // unix nanoseconds, or 0
}

// size is what the record takes in a frame.
func (h recordHeader) size() int {
	return (recordHeaderSize + int(h.length) + int(h.extensions) + align - 1) &^ (align - 1)
}

// appendRecord encodes a record at the end of dst, and returns its two checksums as one number.
func appendRecord(dst []byte, h recordHeader, data, extensions []byte) ([]byte, uint64) {
	h.length, h.extensions = uint32(len(data)), uint16(len(extensions))
	h.dataSum = crc32.Update(crc32.Checksum(data, castagnoli), castagnoli, extensions)
	start := len(dst)
	var b [recordHeaderSize]byte
	binary.LittleEndian.PutUint32(b[4:], h.dataSum)
	binary.LittleEndian.PutUint32(b[8:], h.length)
	binary.LittleEndian.PutUint32(b[12:], h.group)
	b[16], b[17] = h.kind, h.logType
	binary.LittleEndian.PutUint16(b[18:], h.extensions)
	binary.LittleEndian.PutUint64(b[24:], h.index)
	binary.LittleEndian.PutUint64(b[32:], h.term)
	binary.LittleEndian.PutUint64(b[40:], uint64(h.appended))
	headSum := crc32.Checksum(b[4:], castagnoli)
	binary.LittleEndian.PutUint32(b[:], headSum)
	dst = append(append(append(dst, b[:]...), data...), extensions...)
	var pad [align]byte
	dst = append(dst, pad[:start+h.size()-len(dst)]...)
	return dst, uint64(h.dataSum)<<32 | uint64(headSum)
}

var (
	errRecordHeader = errors.New("a record's header is damaged")
	errRecordData   = errors.New("a record's data is damaged")
)

// decodeRecordHeader reads the header of the record that b begins with.
func decodeRecordHeader(b []byte) (recordHeader, error) {
	if len(b) < recordHeaderSize || binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:recordHeaderSize], castagnoli) {
		return recordHeader{}, errRecordHeader
	}
	h := recordHeader{
		dataSum: binary.LittleEndian.Uint32(b[4:]), length: binary.LittleEndian.Uint32(b[8:]),
		group: binary.LittleEndian.Uint32(b[12:]), kind: b[16], logType: b[17],
		extensions: binary.LittleEndian.Uint16(b[18:]), index: binary.LittleEndian.Uint64(b[24:]),
		term: binary.LittleEndian.Uint64(b[32:]), appended: int64(binary.LittleEndian.Uint64(b[40:])),
	}
	if h.kind < kindEntry || h.kind > kindRemove || h.length > maxRecordBytes {
		return recordHeader{}, errRecordHeader
	}
	return h, nil
}

// body gives data and extensions of the record that b begins with; h is its header. They share b's memory.
func (h recordHeader) body(b []byte) (data, extensions []byte, err error) {
	if len(b) < h.size() {
		return nil, nil, errRecordData
	}
	all := b[recordHeaderSize : recordHeaderSize+int(h.length)+int(h.extensions)]
	if crc32.Checksum(all, castagnoli) != h.dataSum {
		return nil, nil, errRecordData
	}
	return all[:h.length:h.length], all[h.length:], nil
}

// sums gives the checksums of a record as appendRecord does; b begins with it.
func sums(b []byte) uint64 {
	return uint64(binary.LittleEndian.Uint32(b[4:]))<<32 | uint64(binary.LittleEndian.Uint32(b))
}

// addSum continues a frame's sum over the checksums of one more record.
func addSum(sum uint32, record uint64) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], record)
	return crc32.Update(sum, castagnoli, b[:])
}

// entryHeader describes an entry of raft.
func entryHeader(group uint32, l *raft.Log) recordHeader {
	h := recordHeader{group: group, kind: kindEntry, logType: uint8(l.Type), index: l.Index, term: l.Term}
	if !l.AppendedAt.IsZero() {
		h.appended = l.AppendedAt.UnixNano()
	}
	return h
}

// fill makes l the entry that the record holds. l keeps data and extensions.
func (h recordHeader) fill(l *raft.Log, data, extensions []byte) {
	*l = raft.Log{Index: h.index, Term: h.term, Type: raft.LogType(h.logType), Data: data}
	if len(extensions) > 0 {
		l.Extensions = extensions
	}
	if h.appended != 0 {
		l.AppendedAt = time.Unix(0, h.appended)
	}
}
