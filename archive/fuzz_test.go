package archive

import (
	"bytes"
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

var update = flag.Bool("update", false, "write the golden files anew")

// someRanges are what a small segment has.
var someRanges = []Range{
	{ChatID: "c.1", From: 1, To: 3, Row: 0}, {ChatID: "c.1", From: 7, To: 7, Row: 3}, {ChatID: "c.22", From: 5, To: 6, Row: 4}, {ChatID: "d", From: 1, To: 1, Row: 6},
}

// someSegment writes a small segment of those ranges.
func someSegment(t testing.TB) ([]byte, Summary) {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, Info{Cluster: "c-1", Group: 3, Term: 7, CreatedAt: 1_700_000_000_000}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range someRanges {
		for seq := r.From; seq <= r.To; seq++ {
			row := Row{Message: wire.Message{
				ChatID: r.ChatID, Seq: seq, SenderID: "ann", ClientMessageID: "m-1", Text: "hello, wörld", SentAt: 1_690_000_000_000 + wire.Millis(seq), Lamport: 9,
			}, Receipts: []Receipt{{"bob", 1_690_000_000_500, 0}, {"cid", 1_690_000_000_500, 1_690_000_000_900}}}
			if err := w.Write(&row); err != nil {
				t.Fatal(err)
			}
		}
	}
	sum, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), sum
}

// memStore is an object in memory.
type memStore []byte

func (memStore) Put(context.Context, string, io.ReaderAt, int64) error  { return nil }
func (memStore) List(context.Context, string, func(Object) error) error { return nil }
func (memStore) Delete(context.Context, string) error                   { return nil }
func (m memStore) Get(_ context.Context, _ string, offset, size int64) ([]byte, error) {
	if offset < 0 || size <= 0 || offset+size > int64(len(m)) {
		return nil, ErrCorrupt
	}
	return m[offset : offset+size], nil
}

// TestSegment_Golden: a segment that was written once is read for ever.
func TestSegment_Golden(t *testing.T) {
	path := filepath.Join("testdata", "segment.v1.parquet")
	if *update {
		body, _ := someSegment(t)
		if err := os.WriteFile(path, body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, ranges, seg, err := Inspect(t.Context(), memStore(body), Object{Key: "x", Size: int64(len(body))})
	if err != nil || info.Cluster != "c-1" || !reflect.DeepEqual(ranges, someRanges) || seg.Rows != 7 {
		t.Fatalf("%+v, %+v, %v", info, ranges, err)
	}
	rows := 0
	err = Scan(t.Context(), memStore(body), seg, func(r *Row) error {
		if rows++; r.Text != "hello, wörld" || len(r.Receipts) != 2 || r.Receipts[1].ReadAt != 1_690_000_000_900 {
			t.Errorf("%+v", r)
		}
		return nil
	})
	if err != nil || rows != 7 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

func TestRanges_ThereAndBack(t *testing.T) {
	got, err := unpackRanges(packRanges(someRanges), 7)
	if err != nil || !reflect.DeepEqual(got, someRanges) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, rows := range []int64{0, 6, 8} {
		if _, err := unpackRanges(packRanges(someRanges), rows); err == nil {
			t.Errorf("%d rows were believed", rows)
		}
	}
	if _, err := unpackRanges(packer.EncodeAll(make([]byte, maxRangeBytes+2), nil), 1); err == nil {
		t.Error("a bomb was unpacked")
	}
}

func FuzzRanges(f *testing.F) {
	f.Add(appendRanges(nil, someRanges), int64(7))
	f.Fuzz(func(t *testing.T, b []byte, rows int64) {
		ranges, err := decodeRanges(b, rows)
		if err != nil {
			return
		}
		again, err := decodeRanges(appendRanges(nil, ranges), rows)
		if err != nil || !reflect.DeepEqual(again, ranges) {
			t.Fatalf("%+v became %+v: %v", ranges, again, err)
		}
	})
}

func FuzzBlocks(f *testing.F) {
	f.Add(appendBlocks(nil, []block{{size: 1000, crc: 7, rows: 9}, {size: 5, rows: 1}}), int64(1009), int64(10))
	f.Fuzz(func(_ *testing.T, b []byte, tail, rows int64) { _, _ = decodeBlocks(b, tail, rows) })
}

// FuzzSegment: whatever an object holds, reading it ends, and with rows in order or with an error.
func FuzzSegment(f *testing.F) {
	body, sum := someSegment(f)
	f.Add(body)
	f.Add(body[:len(body)/2])
	f.Add(body[len(body)-int(sum.Segment.FooterSize):])
	f.Fuzz(func(t *testing.T, b []byte) {
		_, ranges, seg, err := Inspect(t.Context(), memStore(b), Object{Key: "x", Size: int64(len(b))})
		if err != nil {
			return
		}
		if seg.Rows <= 0 || len(ranges) == 0 {
			t.Fatalf("%+v, %+v", seg, ranges)
		}
	})
}

func FuzzKey(f *testing.F) {
	f.Add(Key(Info{Cluster: "c-1", Group: 3, Term: 7}, [32]byte{1}))
	f.Fuzz(func(t *testing.T, key string) {
		info, ok := ParseKey(key)
		if ok && (checkKey(key) != nil || key[:len(GroupPrefix(info.Cluster, info.Group))] != GroupPrefix(info.Cluster, info.Group)) {
			t.Fatalf("%q is taken for %+v", key, info)
		}
	})
}
