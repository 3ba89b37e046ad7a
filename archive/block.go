package archive

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sort"
	"sync"

	"github.com/parquet-go/parquet-go"
)

// sparse is an object of which the footer is here, and some row groups.
type sparse struct {
	footer []byte
	tail   int64
	blocks []block

	mu     sync.RWMutex
	groups map[int]*cached
}

// cached is a row group that is here.
type cached struct {
	bytes []byte
}

// errAbsent says that bytes are read of a row group that is not here: the Parquet library looked where it should not.
var errAbsent = fmt.Errorf("%w: it refers to bytes outside of a row group", ErrCorrupt)

// ReadAt reads what is here.
func (s *sparse) ReadAt(p []byte, offset int64) (int, error) {
	if offset >= s.tail {
		return readAt(p, s.footer, offset-s.tail)
	}
	i := sort.Search(len(s.blocks), func(i int) bool { return s.blocks[i].offset > offset }) - 1
	if i < 0 {
		return 0, errAbsent
	}
	s.mu.RLock()
	group := s.groups[i]
	s.mu.RUnlock()
	if group == nil {
		return 0, errAbsent
	}
	return readAt(p, group.bytes, offset-s.blocks[i].offset)
}

func readAt(p, from []byte, offset int64) (int, error) {
	if offset < 0 || offset > int64(len(from)) {
		return 0, errAbsent
	}
	n := copy(p, from[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// put makes a row group present, and drop takes it away.
func (s *sparse) put(i int, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[i] = &cached{b}
}

func (s *sparse) drop(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.groups, i)
}

// blockOf finds the row group that holds a row, and the row's place in it.
func (f *footer) blockOf(row int64) (i int, within int64) {
	for i = range f.blocks {
		if row < f.blocks[i].rows {
			return i, row
		}
		row -= f.blocks[i].rows
	}
	return len(f.blocks), row
}

// fetch reads the bytes of row groups first to last with one request, and makes sure that they are what was written.
func (f *footer) fetch(ctx context.Context, store Store, key string, first, last int) ([][]byte, error) {
	begin, end := f.blocks[first].offset, f.blocks[last].offset+f.blocks[last].size
	b, err := store.Get(ctx, key, begin, end-begin)
	if err != nil {
		return nil, err
	}
	var groups [][]byte
	for i := first; i <= last; i++ {
		group := b[:f.blocks[i].size:f.blocks[i].size]
		b = b[f.blocks[i].size:]
		if crc32.Checksum(group, castagnoli) != f.blocks[i].crc {
			return nil, fmt.Errorf("%w: the checksum of row group %d of %s", ErrCorrupt, i, key)
		}
		groups = append(groups, group)
	}
	return groups, nil
}

// someRows gives rows of a row group that is here: count of them from one on.
func (f *footer) someRows(i int, from int64, count int) ([]Row, error) {
	rows := make([]Row, 0, count)
	err := f.decode(i, from, count, func(r *Row) error {
		rows = append(rows, *r)
		return nil
	})
	return rows, err
}

// decode visits rows of a row group that is here: count of them from one on.
func (f *footer) decode(i int, from int64, count int, visit func(*Row) error) (err error) {
	d := decoder{reader: parquet.NewGenericRowGroupReader[record](f.file.RowGroups()[i]), records: make([]record, min(count, decodeBatch))}
	defer func() { err = errors.Join(err, d.reader.Close()) }()
	if err := d.seek(from); err != nil {
		return err
	}
	for done := 0; done < count; {
		rows, err := d.next(count - done)
		if err == nil && len(rows) == 0 {
			err = fmt.Errorf("%w: row group %d ends after %d rows", ErrCorrupt, i, done)
		}
		for k := 0; k < len(rows) && err == nil; k++ {
			err = visit(&rows[k])
		}
		if err != nil {
			return err
		}
		done += len(rows)
	}
	return nil
}

// decoder reads the rows of one row group in order.
type decoder struct {
	reader  *parquet.GenericReader[record]
	records []record
	rows    []Row
}

func (d *decoder) seek(row int64) (err error) {
	defer contain(&err)
	if err := d.reader.SeekToRow(row); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}

// next gives some rows, at most so many, none where the row group ends. They are good until the next call; their strings are for ever.
func (d *decoder) next(most int) (rows []Row, err error) {
	defer contain(&err)
	n, err := d.reader.Read(d.records[:min(len(d.records), most)])
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	d.rows = d.rows[:0]
	for k := range n {
		row, err := d.records[k].row()
		if err != nil {
			return nil, err
		}
		d.rows = append(d.rows, row)
	}
	return d.rows, nil
}

// decodeBatch is how many records are decoded at one time.
const decodeBatch = 128
