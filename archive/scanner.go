package archive

import (
	"context"
	"fmt"

	"github.com/parquet-go/parquet-go"

	"github.com/quorate/quorate/sequencer/wire"
)

// Scanner reads runs of a segment in the order in which they lie there, each row group once. It holds one row group, until it is closed.
// After an error that is all it can do. It is of one goroutine.
type Scanner struct {
	store Store
	seg   wire.Segment
	f     *footer

	row     int64 // of the segment, that comes next
	block   int   // row group that is here; -1 for none
	ends    int64 // the row behind it
	decoder decoder
	rows    []Row // decoded, from row on
}

// OpenScanner reads the footer of a segment: ErrCorrupt, ErrNotFound, ErrUnavailable.
func OpenScanner(ctx context.Context, store Store, seg wire.Segment) (*Scanner, error) {
	s := &Scanner{store: store, seg: seg, block: -1}
	err := again(func() (err error) {
		s.f, err = fetchFooter(ctx, store, &seg)
		return err
	})
	if err != nil {
		return nil, err
	}
	if s.f.rows != seg.Rows {
		return nil, fmt.Errorf("%w: %s has %d rows, not %d", ErrCorrupt, seg.Key, s.f.rows, seg.Rows)
	}
	return s, nil
}

// Scan visits the messages of a run, which lies behind the one that was scanned last (else wire.ErrBadRequest). It makes sure that they
// are those of the chat: ErrCorrupt. What comes back broken is asked for once more, as Reader.Read does.
func (s *Scanner) Scan(ctx context.Context, run Range, visit func(*Row) error) error {
	if end := run.Row + int64(run.To-run.From); run.To < run.From || run.Row < s.row || end < run.Row || end >= s.f.rows {
		return fmt.Errorf("%w: the run in row %d of %s, with row %d next of %d", wire.ErrBadRequest, run.Row, s.seg.Key, s.row, s.f.rows)
	}
	if err := s.skip(ctx, run.Row); err != nil {
		return err
	}
	for seq := run.From; seq <= run.To; seq++ {
		if len(s.rows) == 0 {
			if err := s.more(ctx); err != nil {
				return err
			}
		}
		r := &s.rows[0]
		if r.ChatID != run.ChatID || r.Seq != seq {
			return fmt.Errorf("%w: %s has %s:%d where %s:%d should be", ErrCorrupt, s.seg.Key, r.ChatID, r.Seq, run.ChatID, seq)
		}
		s.pass(1)
		if err := visit(r); err != nil {
			return err
		}
	}
	return nil
}

// skip goes on to a row. Row groups between are not read.
func (s *Scanner) skip(ctx context.Context, row int64) error {
	if row >= s.ends {
		i, within := s.f.blockOf(row)
		if err := s.load(ctx, i, row-within); err != nil {
			return err
		}
	}
	for s.row < row {
		if len(s.rows) == 0 {
			if err := s.more(ctx); err != nil {
				return err
			}
		}
		s.pass(min(row-s.row, int64(len(s.rows))))
	}
	return nil
}

func (s *Scanner) pass(rows int64) { s.row, s.rows = s.row+rows, s.rows[rows:] }

// more decodes rows from row on.
func (s *Scanner) more(ctx context.Context) (err error) {
	if s.row == s.ends {
		if err := s.load(ctx, s.block+1, s.row); err != nil {
			return err
		}
	}
	s.rows, err = s.decoder.next(decodeBatch)
	if err == nil && (len(s.rows) == 0 || int64(len(s.rows)) > s.ends-s.row) {
		err = fmt.Errorf("%w: row group %d has not %d rows", ErrCorrupt, s.block, s.f.blocks[s.block].rows)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.seg.Key, err)
	}
	return nil
}

// load reads a row group in place of the one that is here. first is its first row.
func (s *Scanner) load(ctx context.Context, i int, first int64) error {
	if err := s.Close(); err != nil {
		return err
	}
	var groups [][]byte
	err := again(func() (err error) {
		groups, err = s.f.fetch(ctx, s.store, s.seg.Key, i, i)
		return err
	})
	if err != nil {
		return err
	}
	s.f.loaded.put(i, groups[0])
	s.row, s.block, s.ends, s.rows = first, i, first+s.f.blocks[i].rows, nil
	s.decoder.reader = parquet.NewGenericRowGroupReader[record](s.f.file.RowGroups()[i])
	if s.decoder.records == nil {
		s.decoder.records = make([]record, decodeBatch)
	}
	return nil
}

// Close lets go of the row group that is here.
func (s *Scanner) Close() error {
	if s.block < 0 {
		return nil
	}
	err := s.decoder.reader.Close()
	s.f.loaded.drop(s.block)
	s.block, s.rows = -1, nil
	return err
}
