package archive

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/quorate/quorate/sequencer/wire"
)

// Keys of the metadata that a segment has beside Parquet's own.
const (
	keyInfo   = "quorate.segment" // JSON: segmentInfo
	keyBlocks = "quorate.blocks"  // base64: per row group uvarint size, 4 bytes CRC-32C, uvarint rows
	keyRanges = "quorate.ranges"  // base64 of zstd: per range uvarint shared, string rest, uvarint from, uvarint to-from
)

// formatVersion is that of the segments that are written.
const formatVersion = 1

// Bounds of what a footer may hold, whoever wrote it.
const (
	maxFooterBytes = 32 << 20
	maxRangeBytes  = 64 << 20 // of the ranges, unpacked
	maxBlocks      = 1 << 16
	maxBlockBytes  = 64 << 20
)

// segmentInfo is the JSON under keyInfo.
type segmentInfo struct {
	Format    int    `json:"format"`
	Cluster   string `json:"cluster"`
	Group     uint32 `json:"group"`
	Term      uint64 `json:"term"`
	CreatedAt int64  `json:"createdAt"`
	Rows      int64  `json:"rows"`
	NewestAt  int64  `json:"newestAt"`
	Chats     int    `json:"chats"`
}

func metadata(info Info, rows int64, newest wire.Millis, blocks []block, ranges []Range) map[string]string {
	chats := 0
	for i := range ranges {
		if i == 0 || ranges[i].ChatID != ranges[i-1].ChatID {
			chats++
		}
	}
	text, err := json.Marshal(segmentInfo{
		Format: formatVersion, Cluster: info.Cluster, Group: uint32(info.Group), Term: info.Term, CreatedAt: int64(info.CreatedAt),
		Rows: rows, NewestAt: int64(newest), Chats: chats,
	})
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return map[string]string{
		keyInfo: string(text), keyBlocks: base64.StdEncoding.EncodeToString(appendBlocks(nil, blocks)),
		keyRanges: base64.StdEncoding.EncodeToString(packRanges(ranges)),
	}
}

func appendBlocks(dst []byte, blocks []block) []byte {
	for _, b := range blocks {
		dst = binary.AppendUvarint(dst, uint64(b.size))
		dst = binary.BigEndian.AppendUint32(dst, b.crc)
		dst = binary.AppendUvarint(dst, uint64(b.rows))
	}
	return dst
}

// decodeBlocks reads the row groups, which follow each other from the first bytes up to tail and have rows together.
func decodeBlocks(b []byte, tail, rows int64) (blocks []block, err error) {
	offset := int64(len(magic))
	for len(b) > 0 {
		size, n := binary.Uvarint(b)
		if n <= 0 || len(b) < n+4 || size == 0 || size > maxBlockBytes || len(blocks) == maxBlocks {
			return nil, errBlocks
		}
		crc := binary.BigEndian.Uint32(b[n:])
		count, m := binary.Uvarint(b[n+4:])
		if m <= 0 || count == 0 || count > maxBlockRows*2 {
			return nil, errBlocks
		}
		b = b[n+4+m:]
		blocks = append(blocks, block{offset: offset, size: int64(size), crc: crc, rows: int64(count)})
		offset += int64(size)
		rows -= int64(count)
	}
	if offset != tail || rows != 0 {
		return nil, errBlocks
	}
	return blocks, nil
}

var errBlocks = fmt.Errorf("%w: its row groups are not told rightly", ErrCorrupt)

var packer, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)) // of these options none fails

func packRanges(ranges []Range) []byte { return packer.EncodeAll(appendRanges(nil, ranges), nil) }

// appendRanges encodes ranges: of a chat id only what differs from the one before it, and no rows, as they follow on.
func appendRanges(dst []byte, ranges []Range) []byte {
	before := ""
	for _, r := range ranges {
		shared := 0
		for shared < min(len(before), len(r.ChatID)) && before[shared] == r.ChatID[shared] {
			shared++
		}
		dst = binary.AppendUvarint(dst, uint64(shared))
		dst = binary.AppendUvarint(dst, uint64(len(r.ChatID)-shared))
		dst = append(dst, r.ChatID[shared:]...)
		dst = binary.AppendUvarint(dst, uint64(r.From))
		dst = binary.AppendUvarint(dst, uint64(r.To-r.From))
		before = r.ChatID
	}
	return dst
}

func unpackRanges(packed []byte, rows int64) ([]Range, error) {
	unpacker, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRangeBytes))
	if err != nil {
		return nil, fmt.Errorf("%w: its ranges: %w", ErrCorrupt, err)
	}
	defer unpacker.Close()
	b, err := io.ReadAll(io.LimitReader(unpacker, maxRangeBytes+1))
	if err != nil || len(b) > maxRangeBytes {
		return nil, fmt.Errorf("%w: its ranges: %w", ErrCorrupt, errors.Join(err, errRanges))
	}
	return decodeRanges(b, rows)
}

var errRanges = errors.New("they are not told rightly")

func decodeRanges(b []byte, rows int64) (ranges []Range, err error) {
	bad := fmt.Errorf("%w: its ranges: %w", ErrCorrupt, errRanges)
	number := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			err, b = bad, nil
			return 0
		}
		b = b[n:]
		return v
	}
	before, last, row := "", wire.Seq(0), int64(0)
	for len(b) > 0 {
		shared, rest := number(), number()
		if err != nil || shared > uint64(len(before)) || rest > uint64(len(b)) {
			return nil, bad
		}
		id := before[:shared] + string(b[:rest])
		b = b[rest:]
		from, more := number(), number()
		if err != nil || from == 0 || from > uint64(wire.MaxSeq) || more > uint64(wire.MaxSeq)-from || wire.CheckID("chatId", id) != nil {
			return nil, bad
		}
		if before != "" && !follows(id, wire.Seq(from), before, last) {
			return nil, bad
		}
		r := Range{ChatID: id, From: wire.Seq(from), To: wire.Seq(from + more), Row: row}
		before, last = id, r.To
		if row += int64(more) + 1; row > rows {
			return nil, bad
		}
		ranges = append(ranges, r)
	}
	if row != rows {
		return nil, bad
	}
	return ranges, nil
}

// footer is what an object says of itself, once its bytes are trusted.
type footer struct {
	info   Info
	rows   int64
	newest wire.Millis
	blocks []block
	ranges string // packed, as it stands
	raw    []byte // from tail on
	tail   int64
	file   *parquet.File
	loaded *sparse
}

// openFooter reads the last bytes of an object of a size. crc is their sum, where it is known.
func openFooter(raw []byte, size int64, crc *uint32) (f *footer, err error) {
	if crc != nil && crc32.Checksum(raw, castagnoli) != *crc {
		return nil, fmt.Errorf("%w: the checksum of its footer", ErrCorrupt)
	}
	defer contain(&err)
	f = &footer{raw: raw, tail: size - int64(len(raw))}
	f.loaded = &sparse{footer: raw, tail: f.tail, groups: map[int]*cached{}}
	f.file, err = parquet.OpenFile(f.loaded, size, parquet.SkipMagicBytes(true), parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if err := f.describe(); err != nil {
		return nil, err
	}
	if err := f.plausible(); err != nil {
		return nil, err
	}
	f.file, err = parquet.OpenFile(f.loaded, size, parquet.SkipMagicBytes(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	f.loaded.blocks = f.blocks
	return f, nil
}

// describe reads the metadata.
func (f *footer) describe() error {
	text, ok := f.file.Lookup(keyInfo)
	if !ok {
		return fmt.Errorf("%w: it is no segment", ErrCorrupt)
	}
	var info segmentInfo
	if err := json.Unmarshal([]byte(text), &info); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if info.Format > formatVersion {
		return fmt.Errorf("%w: %d", ErrFormat, info.Format)
	}
	if info.Rows <= 0 || info.Rows != f.file.NumRows() || info.CreatedAt < 0 || info.NewestAt < 0 || wire.CheckID("the cluster", info.Cluster) != nil {
		return fmt.Errorf("%w: what it says of itself cannot be", ErrCorrupt)
	}
	f.info = Info{Cluster: info.Cluster, Group: wire.GroupID(info.Group), Term: info.Term, CreatedAt: wire.Millis(info.CreatedAt)}
	f.rows, f.newest = info.Rows, wire.Millis(info.NewestAt)
	packed, _ := f.file.Lookup(keyBlocks)
	blocks, err := base64.StdEncoding.DecodeString(packed)
	if err != nil {
		return errBlocks
	}
	if f.blocks, err = decodeBlocks(blocks, f.tail, f.rows); err != nil {
		return err
	}
	groups := f.file.RowGroups()
	if len(groups) != len(f.blocks) {
		return errBlocks
	}
	for i, g := range groups {
		if g.NumRows() != f.blocks[i].rows {
			return errBlocks
		}
	}
	f.ranges, _ = f.file.Lookup(keyRanges)
	return nil
}

// ourSchema is that of every segment.
var ourSchema = parquet.SchemaOf(record{})

// plausible makes sure that the Parquet library is led to nothing that the writer here does not use: the library trusts what it
// reads, and some of what it can read makes it take all memory.
func (f *footer) plausible() error {
	if !parquet.EqualNodes(f.file.Schema(), ourSchema) {
		return fmt.Errorf("%w: its columns are not those of a segment", ErrCorrupt)
	}
	for i, group := range f.file.Metadata().RowGroups {
		b := f.blocks[i]
		for _, column := range group.Columns {
			m := &column.MetaData
			begin := m.DataPageOffset
			if m.DictionaryPageOffset > 0 {
				begin = min(begin, m.DictionaryPageOffset)
			}
			if m.Codec != format.Zstd || m.TotalCompressedSize <= 0 || m.TotalUncompressedSize <= 0 || m.TotalUncompressedSize > maxBlockBytes*8 ||
				m.TotalCompressedSize > b.size || begin < b.offset || begin+m.TotalCompressedSize > b.offset+b.size {
				return fmt.Errorf("%w: a column of row group %d is not told rightly", ErrCorrupt, i)
			}
			if !f.inFooter(column.ColumnIndexOffset, int64(column.ColumnIndexLength)) || !f.inFooter(column.OffsetIndexOffset, int64(column.OffsetIndexLength)) {
				return fmt.Errorf("%w: a page index of row group %d is not told rightly", ErrCorrupt, i)
			}
		}
	}
	return nil
}

// inFooter tells whether bytes lie behind the row groups.
func (f *footer) inFooter(offset, length int64) bool {
	return length >= 0 && offset >= f.tail && length <= f.tail+int64(len(f.raw))-offset
}

// allRanges unpacks the ranges.
func (f *footer) allRanges() ([]Range, error) {
	packed, err := base64.StdEncoding.DecodeString(f.ranges)
	if err != nil {
		return nil, fmt.Errorf("%w: its ranges: %w", ErrCorrupt, err)
	}
	return unpackRanges(packed, f.rows)
}

// contain, deferred, makes an error of what the Parquet library does with bytes that it was not written for.
func contain(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", ErrCorrupt, p)
	}
}

// tailOf finds where the row groups of an object end, of which raw are the last bytes.
func tailOf(raw []byte, size int64) (tail int64, err error) {
	defer contain(&err)
	loaded := &sparse{footer: raw, tail: size - int64(len(raw))}
	file, err := parquet.OpenFile(loaded, size, parquet.SkipMagicBytes(true), parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	packed, ok := file.Lookup(keyBlocks)
	if !ok {
		return 0, fmt.Errorf("%w: it is no segment", ErrCorrupt)
	}
	b, err := base64.StdEncoding.DecodeString(packed)
	if err != nil {
		return 0, errBlocks
	}
	for tail = int64(len(magic)); len(b) > 0; {
		length, n := binary.Uvarint(b)
		if n <= 0 || len(b) < n+4 || length > maxBlockBytes {
			return 0, errBlocks
		}
		_, m := binary.Uvarint(b[n+4:])
		if m <= 0 {
			return 0, errBlocks
		}
		b = b[n+4+m:]
		tail += int64(length)
	}
	if tail >= size {
		return 0, errBlocks
	}
	return tail, nil
}
