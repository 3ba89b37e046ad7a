package archive_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/sequencer/wire"
)

// someRuns cuts ranges into runs of 1 to most messages and leaves about a third of them out.
func someRuns(r *rand.Rand, ranges []archive.Range, most int) (runs []archive.Range) {
	for _, whole := range ranges {
		for from := whole.From; from <= whole.To; {
			to := min(from+wire.Seq(r.IntN(most)), whole.To)
			if r.IntN(3) > 0 {
				runs = append(runs, archive.Range{ChatID: whole.ChatID, From: from, To: to, Row: whole.Row + int64(from-whole.From)})
			}
			from = to + 1
		}
	}
	return runs
}

// scan reads runs of a segment.
func scan(t testing.TB, store archive.Store, seg wire.Segment, runs []archive.Range) (got []archive.Row, err error) {
	t.Helper()
	s, err := archive.OpenScanner(t.Context(), store, seg)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, run := range runs {
		if err := s.Scan(t.Context(), run, func(r *archive.Row) error { got = append(got, *r); return nil }); err != nil {
			return got, err
		}
	}
	return got, nil
}

func TestScanner_ReadsEachRowGroupOnce(t *testing.T) {
	rows := someRows(11, 40, 300, 2)
	w, dir := stored(t, rows, archive.Options{BlockBytes: 16 << 10})
	for _, most := range []int{1, 20, 400} {
		store := &counting{Store: dir}
		runs := someRuns(rand.New(rand.NewPCG(11, uint64(most))), w.Ranges, most)
		got, err := scan(t, store, w.Segment, runs)
		if err != nil {
			t.Fatal(err)
		}
		var want []archive.Row
		for _, run := range runs {
			want = append(want, rows[run.Row:run.Row+int64(run.To-run.From)+1]...)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("runs of up to %d: %d rows, want %d", most, len(got), len(want))
		}
		if gets, most := store.gets.Load(), 2+w.Segment.Size/(16<<10); gets > most {
			t.Errorf("%d requests for an object of %d bytes, want at most %d", gets, w.Segment.Size, most)
		}
	}
}

// TestScanner_PassesOverWhatNobodyWants: a row group of which no row is asked for is not read.
func TestScanner_PassesOverWhatNobodyWants(t *testing.T) {
	rows := someRows(12, 40, 300, 2)
	w, dir := stored(t, rows, archive.Options{BlockBytes: 16 << 10})
	store := &counting{Store: dir}
	runs := []archive.Range{w.Ranges[0], w.Ranges[39]}
	runs[0].To, runs[1].From, runs[1].Row = runs[0].From, runs[1].To, runs[1].Row+int64(runs[1].To-runs[1].From)
	got, err := scan(t, store, w.Segment, runs)
	if err != nil || len(got) != 2 || !reflect.DeepEqual(got[1], rows[len(rows)-1]) || store.gets.Load() != 3 {
		t.Errorf("%d rows in %d requests, %v", len(got), store.gets.Load(), err)
	}
}

func TestScanner_RefusesWhatLiesBefore(t *testing.T) {
	w, store := stored(t, someRows(13, 3, 20, 2), archive.Options{})
	past, short := w.Ranges[2], w.Ranges[0]
	past.To++
	short.To = short.From - 1
	for what, runs := range map[string][]archive.Range{
		"what was read": {w.Ranges[0], w.Ranges[0]}, "a chat before": {w.Ranges[1], w.Ranges[0]}, "past the end": {past}, "nothing": {short},
	} {
		if _, err := scan(t, store, w.Segment, runs); !errors.Is(err, wire.ErrBadRequest) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestScanner_NeverShowsWhatIsBroken(t *testing.T) {
	rows := someRows(14, 5, 400, 2)
	w, dir := stored(t, rows, archive.Options{BlockBytes: 16 << 10})
	r := rand.New(rand.NewPCG(14, 14))
	flip := func(b []byte, err error) ([]byte, error) {
		b = bytes.Clone(b)
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		return b, err
	}
	for at := range int64(4) { // the footer, and row groups
		store := &counting{Store: dir}
		for _, whole := range []bool{true, false} {
			store.get = func(b []byte, err error) ([]byte, error) {
				if n := store.gets.Load(); n <= at || !whole && n > at+1 {
					return b, err
				}
				return flip(b, err)
			}
			store.gets.Store(0)
			got, err := scan(t, store, w.Segment, w.Ranges)
			if whole && !errors.Is(err, archive.ErrCorrupt) || !whole && (err != nil || len(got) != len(rows)) { // once is not for ever
				t.Errorf("broken from request %d on, for good %v: %d rows, %v", at, whole, len(got), err)
			}
			if len(got) > 0 && !reflect.DeepEqual(got, rows[:len(got)]) {
				t.Error("what was shown is not what was written")
			}
		}
	}
	runs := []archive.Range{w.Ranges[0]}
	runs[0].ChatID = w.Ranges[1].ChatID
	if _, err := scan(t, dir, w.Segment, runs); !errors.Is(err, archive.ErrCorrupt) {
		t.Errorf("another chat's rows: %v", err)
	}
	seg := w.Segment
	seg.Rows++
	if _, err := archive.OpenScanner(t.Context(), dir, seg); !errors.Is(err, archive.ErrCorrupt) {
		t.Errorf("fewer rows than there should be: %v", err)
	}
}

// BenchmarkScanner reads all runs of an object, of up to 8 messages each, as a merge does.
func BenchmarkScanner(b *testing.B) {
	rows := someRows(15, 500, 200, 2)
	w, store := stored(b, rows, archive.Options{})
	runs := someRuns(rand.New(rand.NewPCG(15, 15)), w.Ranges, 8)
	b.ReportAllocs()
	count := 0
	for b.Loop() {
		got, err := scan(b, store, w.Segment, runs)
		if err != nil {
			b.Fatal(err)
		}
		count += len(got)
	}
	b.ReportMetric(float64(count)/b.Elapsed().Seconds(), "rows/s")
}
