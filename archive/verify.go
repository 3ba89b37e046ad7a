package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"

	"github.com/quorate/quorate/sequencer/wire"
)

// Scan reads all rows of a segment in order. It holds one row group.
func Scan(ctx context.Context, store Store, seg wire.Segment, visit func(*Row) error) error {
	f, err := fetchFooter(ctx, store, &seg)
	if err != nil {
		return err
	}
	return f.scan(ctx, store, seg.Key, nil, visit)
}

// Verify reads a segment back whole and makes sure that it is what was written: every byte of it, and that its rows can be read
// and are those that it says. It answers ErrCorrupt where they are not. pause is called now and then, unless it is nil; its error ends it.
func Verify(ctx context.Context, store Store, seg wire.Segment, pause func() error) (Info, []Range, error) {
	f, err := fetchFooter(ctx, store, &seg)
	if err != nil {
		return Info{}, nil, err
	}
	ranges, sum, err := f.check(ctx, store, seg.Key, pause)
	if err != nil {
		return Info{}, nil, err
	}
	if sum != seg.SHA256 || f.rows != seg.Rows {
		return Info{}, nil, fmt.Errorf("%w: %s is another object than the one that was written", ErrCorrupt, seg.Key)
	}
	return f.info, ranges, nil
}

// Probe reads the end of a segment, which says what else is in it, and makes sure that it is what was written: ErrCorrupt.
func Probe(ctx context.Context, store Store, seg wire.Segment) error {
	_, err := fetchFooter(ctx, store, &seg)
	return err
}

// Inspect reads a segment whole of which nothing is known but its key and size.
func Inspect(ctx context.Context, store Store, o Object) (Info, []Range, wire.Segment, error) {
	seg := wire.Segment{Key: o.Key, Size: o.Size}
	fail := func(err error) (Info, []Range, wire.Segment, error) { return Info{}, nil, seg, err }
	f, err := findFooter(ctx, store, &seg)
	if err != nil {
		return fail(err)
	}
	ranges, sum, err := f.check(ctx, store, seg.Key, nil)
	if err != nil {
		return fail(err)
	}
	seg.SHA256 = sum
	named, ok := ParseKey(o.Key)
	if ok && (named.Cluster != f.info.Cluster || named.Group != f.info.Group || named.Term != f.info.Term || Key(f.info, sum) != o.Key) {
		return fail(fmt.Errorf("%w: %s is not what its name says", ErrCorrupt, o.Key))
	}
	return f.info, ranges, seg, nil
}

func fetchFooter(ctx context.Context, store Store, seg *wire.Segment) (*footer, error) {
	if seg.FooterSize <= 0 || seg.FooterSize > min(seg.Size, maxFooterBytes) {
		return nil, fmt.Errorf("%w: a footer of %d bytes", ErrCorrupt, seg.FooterSize)
	}
	raw, err := store.Get(ctx, seg.Key, seg.Size-seg.FooterSize, seg.FooterSize)
	if err != nil {
		return nil, err
	}
	f, err := openFooter(raw, seg.Size, &seg.FooterCRC)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", seg.Key, err)
	}
	return f, nil
}

// findFooter finds out where the footer of an object begins. Parquet's own part of it tells its length at the end; what belongs to
// ours lies before that, up to the last row group.
func findFooter(ctx context.Context, store Store, seg *wire.Segment) (*footer, error) {
	if seg.Size < int64(len(magic))*2+4 {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrCorrupt, seg.Key, seg.Size)
	}
	end, err := store.Get(ctx, seg.Key, seg.Size-8, 8)
	if err != nil {
		return nil, err
	}
	length := int64(binary.LittleEndian.Uint32(end)) + 8
	if string(end[4:]) != magic || length > min(seg.Size, maxFooterBytes) {
		return nil, fmt.Errorf("%w: %s is no Parquet file", ErrCorrupt, seg.Key)
	}
	// The page indexes lie before Parquet's footer: as much again is read, and more where that was too little.
	for size := min(2*length+64<<10, seg.Size); ; size = min(size*4, seg.Size) {
		raw, err := store.Get(ctx, seg.Key, seg.Size-size, min(size, maxGet))
		if err != nil {
			return nil, err
		}
		f, err := openLoose(raw, seg.Size)
		if err == nil {
			seg.FooterSize = seg.Size - f.tail
			seg.FooterCRC = crc32.Checksum(f.raw, castagnoli)
			seg.Rows, seg.NewestAt = f.rows, f.newest
			return f, nil
		}
		if size == seg.Size || size >= maxFooterBytes || errors.Is(err, ErrFormat) {
			return nil, fmt.Errorf("%s: %w", seg.Key, err)
		}
	}
}

// openLoose opens a footer of which raw holds at least all.
func openLoose(raw []byte, size int64) (*footer, error) {
	tail, err := tailOf(raw, size)
	if err != nil {
		return nil, err
	}
	if size-tail > int64(len(raw)) {
		return nil, fmt.Errorf("%w: its footer is longer than what was read", ErrCorrupt)
	}
	return openFooter(bytes.Clone(raw[int64(len(raw))-(size-tail):]), size, nil)
}

// check reads all row groups of a segment and compares rows with what the footer says.
func (f *footer) check(ctx context.Context, store Store, key string, pause func() error) (ranges []Range, sum [32]byte, err error) {
	if ranges, err = f.allRanges(); err != nil {
		return nil, sum, err
	}
	whole := sha256.New()
	first, err := store.Get(ctx, key, 0, int64(len(magic)))
	if err != nil {
		return nil, sum, err
	}
	whole.Write(first)
	at, row := 0, int64(0)
	err = f.scan(ctx, store, key, whole, func(r *Row) error {
		if row > ranges[at].Row+int64(ranges[at].To-ranges[at].From) {
			at++
		}
		if want := ranges[at].From + wire.Seq(row-ranges[at].Row); r.ChatID != ranges[at].ChatID || r.Seq != want {
			return fmt.Errorf("%w: %s has %s:%d in row %d, which should be %s:%d", ErrCorrupt, key, r.ChatID, r.Seq, row, ranges[at].ChatID, want)
		}
		if row++; row%decodeBatch == 0 && pause != nil {
			return pause()
		}
		return nil
	})
	if err != nil {
		return nil, sum, err
	}
	whole.Write(f.raw)
	copy(sum[:], whole.Sum(nil))
	return ranges, sum, nil
}

// scan visits all rows. whole is given all bytes of the row groups.
func (f *footer) scan(ctx context.Context, store Store, key string, whole hash.Hash, visit func(*Row) error) error {
	for i := range f.blocks {
		groups, err := f.fetch(ctx, store, key, i, i)
		if err != nil {
			return err
		}
		if whole != nil {
			whole.Write(groups[0])
		}
		f.loaded.put(i, groups[0])
		err = f.decode(i, 0, int(f.blocks[i].rows), visit)
		f.loaded.drop(i)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}
