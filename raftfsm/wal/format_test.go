package wal

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

var update = flag.Bool("update", false, "write the golden file anew")

// goldenSegment is a segment with every kind of record, cut behind its confirming frame.
func goldenSegment() []byte {
	h := segmentHeader{number: 3, salt: 0x0123456789abcdef, firstSeq: 41, prevEnd: 9000}
	b := h.encode()
	for i, frame := range [][]record{
		{
			{recordHeader{group: 1, kind: kindEntry, logType: uint8(raft.LogCommand), index: 7, term: 2, appended: 1_700_000_000_123_456_789}, []byte("hello"), nil},
			{recordHeader{group: 2, kind: kindEntry, logType: uint8(raft.LogConfiguration), index: 1, term: 1}, []byte("configuration"), []byte("ext")},
		},
		{{recordHeader{group: 2, kind: kindMoved, logType: uint8(raft.LogNoop), index: 2, term: 1}, nil, nil}},
		{{recordHeader{group: 1, kind: kindDelete, index: 7, term: 9}, nil, nil}, {recordHeader{group: 9, kind: kindRemove}, nil, nil}},
		nil,
	} {
		f := &batch{buf: make([]byte, frameHeaderSize)}
		for _, r := range frame {
			f.add(r)
		}
		f.finish(h.firstSeq+uint64(i), h.salt)
		b = append(b, f.buf...)
	}
	return b
}

func TestFormat_Golden(t *testing.T) {
	name := filepath.Join("testdata", "segment.golden")
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(name, goldenSegment(), 0o644))
	}
	want, err := os.ReadFile(name)
	must(t, err)
	if !bytes.Equal(goldenSegment(), want) {
		t.Error("the format is not that of the golden file")
	}
	var got []placed
	h, err := decodeSegmentHeader(want)
	must(t, err)
	w := walker{b: want, salt: h.salt, seq: h.firstSeq, off: segmentHeaderSize, visit: func(p placed) { got = append(got, p) }}
	if d := w.last(); d != nil || w.seq != 44 || len(got) != 5 {
		t.Fatalf("damage %+v, next frame %d, %d records", d, w.seq, len(got))
	}
	var l raft.Log
	data, extensions, err := got[1].body(want[got[1].off:])
	must(t, err)
	got[1].fill(&l, data, extensions)
	if l.Index != 1 || l.Term != 1 || l.Type != raft.LogConfiguration || string(l.Data) != "configuration" ||
		string(l.Extensions) != "ext" || !l.AppendedAt.IsZero() {
		t.Errorf("got %+v", l)
	}
	got[0].fill(&l, nil, nil)
	if !l.AppendedAt.Equal(time.Unix(0, 1_700_000_000_123_456_789)) {
		t.Errorf("got %s", l.AppendedAt)
	}
}

// FuzzRecover reads any bytes as the newest segment, behind a good header or not. It must not panic, and what it takes
// must survive a second start.
func FuzzRecover(f *testing.F) {
	golden := goldenSegment()
	f.Add(golden[segmentHeaderSize:], false)
	f.Add(golden[segmentHeaderSize:len(golden)-40], false)
	f.Add(golden[:segmentHeaderUsed], true)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, b []byte, bare bool) {
		if !bare {
			b = slices.Concat(golden[:segmentHeaderSize], b)
		}
		fs := newCrashFS()
		fs.names[segmentName(3)] = &crashFile{fs: fs, seen: b, disk: slices.Clone(b)}
		l, err := Open("log", Options{FS: fs, SegmentBytes: minSegmentBytes, Inline: true})
		if err != nil {
			return
		}
		before := l.Stats()
		var all []map[uint64]*raft.Log
		for id := range uint32(10) {
			c, err := contents(mustGroup(t, l, id))
			must(t, err)
			all = append(all, c)
		}
		must(t, l.Close())
		l = mustOpen(t, fs)
		defer l.Close()
		if after := l.Stats(); after.LiveBytes != before.LiveBytes {
			t.Fatalf("%+v, and at the next start %+v", before, after)
		}
		for id := range uint32(10) {
			mustHold(t, mustGroup(t, l, id), slices.Collect(maps.Values(all[id])))
		}
	})
}

// FuzzRecord reads any bytes as a record, and writes again what it took.
func FuzzRecord(f *testing.F) {
	r, _ := appendRecord(nil, recordHeader{group: 1, kind: kindEntry, index: 1, term: 2}, []byte("data"), []byte("x"))
	f.Add(r)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeRecordHeader(b)
		if err != nil {
			return
		}
		data, extensions, err := h.body(b)
		if err != nil {
			return
		}
		again, _ := appendRecord(nil, h, data, extensions)
		if h2, err := decodeRecordHeader(again); err != nil || h2 != h {
			t.Fatalf("%+v became %+v, %v", h, h2, err)
		}
	})
}
