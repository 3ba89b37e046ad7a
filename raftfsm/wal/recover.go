package wal

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// recover reads what is in the directory. Without a segment it leaves head nil.
func (l *Log) recover(discard []uint32) error {
	numbers, err := l.segmentNumbers()
	if err != nil || len(numbers) == 0 {
		return err
	}
	for _, n := range numbers {
		if err := l.openSegment(n); err != nil {
			return err
		}
	}
	r := replay{groups: make(map[uint32]map[uint64]pos)}
	w := walker{discard: make(map[uint32]bool), seq: l.segments[0].header.firstSeq}
	for _, id := range discard {
		w.discard[id] = true
	}
	for i, seg := range l.segments {
		if w.seq != seg.header.firstSeq {
			return l.corrupt(seg, damage{reason: fmt.Sprintf("it begins with frame %d, not %d", seg.header.firstSeq, w.seq)})
		}
		if w.b, err = seg.read(w.b); err != nil {
			return fmt.Errorf("read %s: %w", l.path(seg.name), err)
		}
		w.salt, w.off = seg.header.salt, segmentHeaderSize
		w.visit = func(p placed) { r.apply(p.recordHeader, at(seg.header.number, p.off, p.size())) }
		var d *damage
		if i < len(l.segments)-1 {
			d = w.sealed(int64(l.segments[i+1].header.prevEnd))
		} else {
			d = w.last()
		}
		if d != nil {
			return l.corrupt(seg, *d)
		}
	}
	l.head, l.end, l.seq = l.segments[len(l.segments)-1], w.off, w.seq
	return l.adopt(r)
}

func (l *Log) corrupt(seg *segment, d damage) error {
	return &CorruptError{File: l.path(seg.name), Offset: d.off, Groups: d.groups, Reason: d.reason}
}

// segmentNumbers lists the segments in order, and removes files that never became one.
func (l *Log) segmentNumbers() ([]uint64, error) {
	names, err := l.fs.List()
	if err != nil {
		return nil, fmt.Errorf("list the segments: %w", err)
	}
	var numbers []uint64
	for _, name := range names {
		if strings.HasPrefix(name, sparePrefix) {
			if err := l.fs.Remove(name); err != nil {
				return nil, fmt.Errorf("remove %s: %w", l.path(name), err)
			}
		}
		if n, ok := segmentNumber(name); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for i, n := range numbers {
		if want := numbers[0] + uint64(i); n != want {
			return nil, &CorruptError{File: l.path(segmentName(want)), Offset: -1, Reason: "the segment is gone"}
		}
	}
	return numbers, nil
}

// openSegment opens a segment and reads its header.
func (l *Log) openSegment(number uint64) error {
	seg := &segment{name: segmentName(number)}
	var err error
	if seg.file, err = l.fs.Open(seg.name, false); err != nil {
		return fmt.Errorf("open %s: %w", l.path(seg.name), err)
	}
	l.segments = append(l.segments, seg)
	if seg.size, err = seg.file.Size(); err != nil {
		return fmt.Errorf("open %s: %w", l.path(seg.name), err)
	}
	b := make([]byte, segmentHeaderUsed)
	if _, err = seg.file.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %s: %w", l.path(seg.name), err)
	}
	seg.header, err = decodeSegmentHeader(b)
	if err == nil && seg.size < segmentHeaderSize {
		err = errors.New("the file ends in the header")
	}
	if err == nil && seg.header.number != number {
		err = fmt.Errorf("it is segment %d", seg.header.number)
	}
	if err != nil {
		return l.corrupt(seg, damage{reason: err.Error()})
	}
	return nil
}

// read reads all of a segment, into b where that is large enough.
func (s *segment) read(b []byte) ([]byte, error) {
	if int64(cap(b)) < s.size {
		b = make([]byte, s.size)
	}
	b = b[:s.size]
	n, err := s.file.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// replay is what the records say, while the log is read. Entries that were moved come out of order, so for a while a
// group may have holes.
type replay struct {
	groups map[uint32]map[uint64]pos
}

func (r *replay) apply(h recordHeader, p pos) {
	entries := r.groups[h.group]
	switch h.kind {
	case kindEntry, kindMoved:
		if entries == nil {
			entries = make(map[uint64]pos)
			r.groups[h.group] = entries
		}
		entries[h.index] = p
	case kindDelete:
		if h.term-h.index < uint64(len(entries)) {
			for i := range h.term - h.index + 1 {
				delete(entries, h.index+i)
			}
			return
		}
		for i := range entries {
			if i >= h.index && i <= h.term {
				delete(entries, i)
			}
		}
	case kindRemove:
		delete(r.groups, h.group)
	}
}

// adopt makes the indexes of the log from what was read.
func (l *Log) adopt(r replay) error {
	for id, entries := range r.groups {
		if len(entries) == 0 {
			continue
		}
		x := index{first: ^uint64(0), at: make([]pos, len(entries))}
		last := uint64(0)
		for i := range entries {
			x.first, last = min(x.first, i), max(last, i)
		}
		if last-x.first != uint64(len(entries))-1 {
			return &CorruptError{File: l.dir, Offset: -1, Groups: []uint32{id}, Reason: fmt.Sprintf(
				"of the entries %d to %d there are %d", x.first, last, len(entries))}
		}
		for i, p := range entries {
			x.at[i-x.first] = p
			l.segment(p).live += p.bytes()
		}
		l.group(id).index = x
	}
	return nil
}
