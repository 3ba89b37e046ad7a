package wal

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// placed is a record of a segment and where it begins.
type placed struct {
	recordHeader
	off int64
}

// damage says what is wrong with a segment.
type damage struct {
	off    int64
	groups []uint32 // empty where any group's entries may be concerned
	reason string
}

// walker reads the frames of a segment.
type walker struct {
	b       []byte // the segment's bytes
	salt    uint64
	seq     uint64          // of the next frame
	off     int64           // of the next frame
	discard map[uint32]bool // groups whose damaged data is read past
	visit   func(placed)
}

// sealed reads all frames up to end, which the next segment names. Every one of them was synced.
func (w *walker) sealed(end int64) *damage {
	if end < w.off || end > int64(len(w.b)) {
		return &damage{off: int64(len(w.b)), reason: fmt.Sprintf("the file ends, its frames end at %d", end)}
	}
	for w.off < end {
		if confirms, d := w.frame(w.b[w.off:end]); d != nil {
			return d
		} else if confirms {
			return &damage{off: w.off, reason: "the last frames are missing"}
		}
	}
	return nil
}

// last reads the frames of the newest segment up to its end: the first place without a whole frame. A frame is only ever
// written when all before it are synced, so where another one lies behind that place, this is no write that was cut off.
func (w *walker) last() *damage {
	for {
		confirms, d := w.frame(w.b[w.off:])
		if d == nil && !confirms {
			continue
		}
		if d == nil {
			d = &damage{off: w.off, reason: "the last frames are missing"}
		}
		if w.frameBehind() {
			return d
		}
		return nil
	}
}

// frameBehind looks for a frame that is later than the next one.
func (w *walker) frameBehind() bool {
	for at := w.off + align; at+frameHeaderSize <= int64(len(w.b)); at += align {
		if binary.LittleEndian.Uint32(w.b[at:]) != frameMagic {
			continue
		}
		if h, ok := decodeFrameHeader(w.b[at:], w.salt); ok && h.seq > w.seq {
			return true
		}
	}
	return false
}

// frame reads the frame at the start of b, and goes on to the next one; confirms is true, and nothing is read, where it is
// one without records.
func (w *walker) frame(b []byte) (confirms bool, _ *damage) {
	h, ok := decodeFrameHeader(b, w.salt)
	switch {
	case !ok:
		return false, &damage{off: w.off, reason: "no frame"}
	case h.seq != w.seq:
		return false, &damage{off: w.off, reason: fmt.Sprintf("frame %d in place of %d", h.seq, w.seq)}
	case h.count == 0:
		return true, nil
	case int64(h.length) > int64(len(b)-frameHeaderSize):
		return false, &damage{off: w.off, reason: "the frame is longer than the file"}
	}
	records, d := w.records(h, b[frameHeaderSize:frameHeaderSize+int(h.length)])
	if d != nil {
		return false, d
	}
	for _, r := range records {
		w.visit(r)
	}
	w.off += frameBytes(int(h.length))
	w.seq++
	return false, nil
}

// records checks the records of a frame.
func (w *walker) records(h frameHeader, b []byte) ([]placed, *damage) {
	off := w.off + frameHeaderSize
	records := make([]placed, 0, min(int(h.count), len(b)/recordHeaderSize))
	var hurt []uint32
	hurtAt, sum := int64(0), uint32(0)
	for len(b) > 0 {
		r, err := decodeRecordHeader(b)
		if err != nil || r.size() > len(b) {
			return nil, &damage{off: off, reason: errRecordHeader.Error()}
		}
		if _, _, err := r.body(b); err != nil && !w.discard[r.group] {
			if len(hurt) == 0 {
				hurtAt = off
			}
			if !slices.Contains(hurt, r.group) {
				hurt = append(hurt, r.group)
			}
		}
		sum = addSum(sum, sums(b))
		records = append(records, placed{recordHeader: r, off: off})
		off += int64(r.size())
		b = b[r.size():]
	}
	if len(records) != int(h.count) || sum != h.sum {
		return nil, &damage{off: w.off, reason: "the records are not those of the frame"}
	}
	if len(hurt) > 0 { // the frame's sum says that the headers are right, so these are all
		return nil, &damage{off: hurtAt, groups: hurt, reason: errRecordData.Error()}
	}
	return records, nil
}
