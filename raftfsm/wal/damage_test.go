package wal

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/hashicorp/raft"
)

// written gives a file system with a log of three groups in two segments, closed, and what is in it.
func written(t testing.TB) (*crashFS, map[uint32][]*raft.Log) {
	t.Helper()
	fs := newCrashFS()
	l := mustOpen(t, fs)
	want := map[uint32][]*raft.Log{}
	for round := range uint64(3) {
		for id := range uint32(3) {
			more := entries(id, round*5+1, round*5+5, 7, 60)
			must(t, mustGroup(t, l, id).StoreLogs(more))
			want[id] = append(want[id], more...)
		}
	}
	if l.head.header.number != 2 {
		t.Fatalf("the log has %d segments", l.head.header.number)
	}
	must(t, l.Close())
	return fs, want
}

// TestDamage_FlippedBitIsSeen flips a bit of every byte in turn. The log must call itself corrupt, or lack nothing.
func TestDamage_FlippedBitIsSeen(t *testing.T) {
	fs, want := written(t)
	step := 1
	if testing.Short() {
		step = 13
	}
	seen := 0
	for _, name := range []string{segmentName(1), segmentName(2)} {
		b := fs.names[name].seen
		for i := 0; i < len(b); i += step {
			b[i] ^= 1 << (i % 8)
			if flipIsSeen(t, fs, name, int64(i), want) {
				seen++
			}
			b[i] ^= 1 << (i % 8)
		}
	}
	if least := 45 * 60 / step; seen < least {
		t.Fatalf("%d flips were seen, there are %d bytes of entries", seen, least)
	}
}

func flipIsSeen(t *testing.T, fs *crashFS, name string, off int64, want map[uint32][]*raft.Log) bool {
	t.Helper()
	l, err := Open("log", Options{FS: fs, SegmentBytes: minSegmentBytes, Inline: true})
	if err == nil {
		for id, w := range want {
			mustHold(t, mustGroup(t, l, id), w)
		}
		must(t, l.Close())
		return false
	}
	var c *CorruptError
	if !errors.As(err, &c) || c.File != "log/"+name || c.Offset > off {
		t.Fatalf("byte %d of %s: %v", off, name, err)
	}
	return true
}

// dataOf finds an entry's data in a file.
func dataOf(t *testing.T, b []byte, e *raft.Log) int {
	t.Helper()
	for i := segmentHeaderSize; i < len(b)-len(e.Data); i += align {
		if slices.Equal(b[i:i+len(e.Data)], e.Data) {
			return i
		}
	}
	t.Fatal("the entry is not in the file")
	return 0
}

func TestDamage_NamesTheGroupAndCanDiscardIt(t *testing.T) {
	fs, want := written(t)
	b := fs.names[segmentName(1)].seen
	at := dataOf(t, b, want[1][2])
	b[at] ^= 4
	if c := mustBeCorrupt(t, fs); !slices.Equal(c.Groups, []uint32{1}) || c.Offset != int64(at-recordHeaderSize) {
		t.Fatalf("got %v", c)
	}
	if _, err := Open("log", Options{FS: fs, SegmentBytes: minSegmentBytes, Inline: true, Discard: []uint32{2}}); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("the damage of another group was read past: %v", err)
	}
	l, err := Open("log", Options{FS: fs, SegmentBytes: minSegmentBytes, Inline: true, Discard: []uint32{1}})
	must(t, err)
	mustHold(t, mustGroup(t, l, 0), want[0])
	mustHold(t, mustGroup(t, l, 1), nil)
	mustHold(t, mustGroup(t, l, 2), want[2])
	must(t, l.Close())
}

func TestDamage_ReadSeesIt(t *testing.T) {
	fs, want := written(t)
	l := mustOpen(t, fs)
	defer l.Close()
	b := fs.names[segmentName(1)].seen
	at := dataOf(t, b, want[2][0])
	b[at] ^= 4
	var c *CorruptError
	if err := mustGroup(t, l, 2).GetLog(1, new(raft.Log)); !errors.As(err, &c) || !slices.Equal(c.Groups, []uint32{2}) {
		t.Fatalf("got %v", err)
	}
	must(t, mustGroup(t, l, 2).GetLog(2, new(raft.Log)))
}

func TestDamage_MissingFiles(t *testing.T) {
	for name, remove := range map[string][]string{
		"all":    {segmentName(1), segmentName(2)},
		"middle": {segmentName(2)},
	} {
		fs, _ := written(t)
		if name == "middle" {
			fs.names[segmentName(3)] = fs.names[segmentName(1)]
		}
		for _, r := range remove {
			delete(fs.names, r)
		}
		_, err := Open("log", Options{FS: fs, MustExist: true, Inline: true})
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDamage_RecordOfAnotherTime puts a whole record from elsewhere, as an earlier use of the file may have left it, where
// a write that was cut off should have put another one.
func TestDamage_RecordOfAnotherTime(t *testing.T) {
	fs := newCrashFS()
	l := mustOpen(t, fs)
	g := mustGroup(t, l, 1)
	must(t, g.StoreLog(entry(1, 1, 1, 64)))
	must(t, g.StoreLog(entry(1, 2, 1, 64)))
	end := l.end
	must(t, l.Close())
	f := fs.names[segmentName(1)]
	binary.LittleEndian.PutUint32(f.seen[end:], 0) // the confirming frame, which a crash may lose
	stale, _ := appendRecord(nil, recordHeader{group: 1, kind: kindEntry, index: 2, term: 9}, make([]byte, 64), nil)
	copy(f.seen[end-int64(len(stale)):], stale)
	l = mustOpen(t, fs)
	defer l.Close()
	mustHold(t, mustGroup(t, l, 1), entries(1, 1, 1, 1, 64))
}

func TestDamage_TornTailIsCut(t *testing.T) {
	fs := newCrashFS()
	l := mustOpen(t, fs)
	g := mustGroup(t, l, 1)
	must(t, g.StoreLogs(entries(1, 1, 4, 1, 64)))
	whole := l.end
	must(t, g.StoreLogs(entries(1, 5, 8, 1, 64)))
	end := l.end
	must(t, l.Close())
	f := fs.names[segmentName(1)]
	for cut := whole; cut < end; cut += align {
		clear(f.seen[cut : end+frameHeaderSize])
		l := mustOpen(t, fs)
		mustHold(t, mustGroup(t, l, 1), entries(1, 1, 4, 1, 64))
		must(t, mustGroup(t, l, 1).StoreLogs(entries(1, 5, 8, 1, 64)))
		mustHold(t, mustGroup(t, l, 1), entries(1, 1, 8, 1, 64))
		must(t, l.Close())
	}
}
