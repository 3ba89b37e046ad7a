package archive

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/quorate/quorate/sequencer/wire"
)

// Info is what a segment says of itself.
type Info struct {
	Cluster   string
	Group     wire.GroupID
	Term      uint64      // of the leader that wrote it
	CreatedAt wire.Millis // by that leader's clock
}

// Range is a run of a chat in a segment: From is row Row, and the others follow it without a hole.
type Range struct {
	ChatID   string
	From, To wire.Seq
	Row      int64
}

// Options are how a segment is written. A zero field takes its default.
type Options struct {
	BlockBytes int          // of a row group, compressed, about; default 1 MiB
	Pause      func() error // called between pieces of work, such as pages that are compressed; its error ends the writing; default none
}

// Summary is what was written. Segment has its Key.
type Summary struct {
	Segment  wire.Segment
	Ranges   []Range
	RawBytes int64 // of ids, texts and times, as they came
}

const (
	blockBytes     = 1 << 20
	firstRatio     = 3 // raw bytes for one compressed, before any are known
	maxBlockRows   = 1 << 16
	writerBatch    = 64 // rows handed to Parquet at one time
	pageBufferSize = 32 << 10
)

// ErrOrder says that a row does not stand behind the one before it.
var ErrOrder = errors.New("rows of a segment must ascend by chat and seq")

// Writer writes a segment. It holds one row group in memory.
type Writer struct {
	info  Info
	out   *tally
	pq    *parquet.GenericWriter[record]
	batch []record

	blocks  []block
	ranges  []Range
	rows    int64
	newest  wire.Millis
	raw     int64 // of all rows
	pending int64 // raw bytes in the open row group
	most    int64 // raw bytes at which it is full
	target  int64 // its compressed size
}

// block is a row group: a piece of the object that is read as one.
type block struct {
	offset, size int64
	crc          uint32
	rows         int64
}

// tally counts and sums what goes through it.
type tally struct {
	w     io.Writer
	pause func() error
	size  int64
	crc   uint32 // since the last block, the magic left out
	sum   hash.Hash
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (t *tally) Write(p []byte) (int, error) {
	if err := t.pause(); err != nil {
		return 0, err
	}
	n, err := t.w.Write(p)
	skip := min(max(int64(len(magic))-t.size, 0), int64(n))
	t.size += int64(n)
	t.crc = crc32.Update(t.crc, castagnoli, p[skip:n])
	t.sum.Write(p[:n])
	return n, err
}

// pausing pauses before each page of a column that it compresses. Those of all columns are full at about the same row.
type pausing struct {
	zstd.Codec
	pause func() error
}

func (c *pausing) Encode(dst, src []byte) ([]byte, error) {
	if err := c.pause(); err != nil {
		return dst, err
	}
	return c.Codec.Encode(dst, src)
}

// NewWriter begins a segment.
func NewWriter(w io.Writer, info Info, opts Options) (*Writer, error) {
	if err := wire.CheckID("the cluster", info.Cluster); err != nil {
		return nil, err
	}
	target := int64(blockBytes)
	if opts.BlockBytes > 0 {
		target = int64(opts.BlockBytes)
	}
	pause := opts.Pause
	if pause == nil {
		pause = func() error { return nil }
	}
	out := &tally{w: w, pause: pause, sum: sha256.New()}
	return &Writer{
		info: info, out: out, most: target * firstRatio, target: target, batch: make([]record, 0, writerBatch),
		pq: parquet.NewGenericWriter[record](out,
			parquet.Compression(&pausing{Codec: zstd.Codec{Level: zstd.SpeedDefault}, pause: pause}), parquet.CreatedBy("quorate", "", ""), parquet.WriteBufferSize(0),
			parquet.PageBufferSize(pageBufferSize), parquet.DataPageStatistics(false), parquet.MaxRowsPerRowGroup(1<<40),
			parquet.SortingWriterConfig(parquet.SortingColumns(parquet.Ascending("chat_id"), parquet.Ascending("seq"))),
		),
	}, nil
}

// Write adds a row, which must stand behind the last one: ErrOrder. It keeps nothing of r.
func (w *Writer) Write(r *Row) error {
	if n := len(w.ranges); n == 0 || w.ranges[n-1].ChatID != r.ChatID || w.ranges[n-1].To+1 != r.Seq {
		if n > 0 && !follows(r.ChatID, r.Seq, w.ranges[n-1].ChatID, w.ranges[n-1].To) {
			return fmt.Errorf("%w: %s:%d after %s:%d", ErrOrder, r.ChatID, r.Seq, w.ranges[n-1].ChatID, w.ranges[n-1].To)
		}
		if err := wire.CheckID("chatId", r.ChatID); err != nil || r.Seq == 0 || r.Seq > wire.MaxSeq {
			return fmt.Errorf("%w: %q:%d is no message", ErrOrder, r.ChatID, r.Seq)
		}
		w.ranges = append(w.ranges, Range{ChatID: r.ChatID, From: r.Seq, Row: w.rows})
	}
	w.ranges[len(w.ranges)-1].To = r.Seq
	w.batch = w.batch[:len(w.batch)+1]
	w.batch[len(w.batch)-1].set(r)
	w.rows++
	w.newest = max(w.newest, r.SentAt)
	size := rawBytes(r)
	w.raw += size
	w.pending += size
	if len(w.batch) < cap(w.batch) && w.pending < w.most {
		return nil
	}
	if err := w.drain(); err != nil {
		return err
	}
	if w.pending >= w.most || w.rows-w.blockedRows() >= maxBlockRows {
		return w.flush()
	}
	return nil
}

// rawBytes is what a row takes as it comes: its strings, and eight bytes for each number.
func rawBytes(r *Row) int64 {
	n := len(r.ChatID) + len(r.SenderID) + len(r.ClientMessageID) + len(r.Text) + len(r.Trace) + 24
	for _, receipt := range r.Receipts {
		n += len(receipt.UserID) + 16
	}
	return int64(n)
}

func (w *Writer) drain() error {
	if _, err := w.pq.Write(w.batch); err != nil {
		return fmt.Errorf("write a segment: %w", err)
	}
	w.batch = w.batch[:0]
	return nil
}

func (w *Writer) blockedRows() (n int64) {
	for _, b := range w.blocks {
		n += b.rows
	}
	return n
}

// flush ends a row group.
func (w *Writer) flush() error {
	if w.pending == 0 {
		return nil
	}
	begin := w.out.size
	if begin == 0 {
		begin = int64(len(magic)) // Parquet writes its first bytes with the first row group
	}
	w.out.crc = 0
	if err := w.pq.Flush(); err != nil {
		return fmt.Errorf("write a segment: %w", err)
	}
	b := block{offset: begin, size: w.out.size - begin, crc: w.out.crc, rows: w.rows - w.blockedRows()}
	w.blocks = append(w.blocks, b)
	w.most = min(max(w.pending*w.target/max(b.size, 1), w.target/4), w.target*32)
	w.pending, w.out.crc = 0, 0
	return nil
}

// magic is what a Parquet file begins with; it belongs to no block.
const magic = "PAR1"

// Size is how many bytes have been written, about.
func (w *Writer) Size() int64 { return w.out.size + w.pending/firstRatio }

// Close ends the segment.
func (w *Writer) Close() (Summary, error) {
	if err := w.drain(); err != nil {
		return Summary{}, err
	}
	if err := w.flush(); err != nil {
		return Summary{}, err
	}
	tail := w.out.size
	for key, value := range metadata(w.info, w.rows, w.newest, w.blocks, w.ranges) {
		w.pq.SetKeyValueMetadata(key, value)
	}
	w.out.crc = 0
	if err := w.pq.Close(); err != nil {
		return Summary{}, fmt.Errorf("write a segment: %w", err)
	}
	s := Summary{Ranges: w.ranges, RawBytes: w.raw, Segment: wire.Segment{
		Size: w.out.size, FooterSize: w.out.size - tail, FooterCRC: w.out.crc, Rows: w.rows, NewestAt: w.newest,
	}}
	copy(s.Segment.SHA256[:], w.out.sum.Sum(nil))
	s.Segment.Key = Key(w.info, s.Segment.SHA256)
	return s, nil
}
