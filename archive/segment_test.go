package archive_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"sync/atomic"
	"testing"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/sequencer/wire"
)

func TestSegment_EveryPageIsWhatWasWritten(t *testing.T) {
	rows := someRows(1, 300, 40, 3)
	w, store := stored(t, rows, archive.Options{BlockBytes: 32 << 10})
	if w.Segment.Size != int64(len(w.bytes)) || w.Segment.Rows != int64(len(rows)) || len(w.Ranges) != 300 {
		t.Fatalf("%+v of %d bytes, %d ranges", w.Segment, len(w.bytes), len(w.Ranges))
	}
	info, ranges, err := archive.Verify(t.Context(), store, w.Segment, nil)
	if err != nil || info != someInfo || !reflect.DeepEqual(ranges, w.Ranges) {
		t.Fatalf("%+v, %v", info, err)
	}
	reader := archive.NewReader(store, archive.ReaderConfig{CacheBytes: 200 << 10})
	for _, run := range w.Ranges {
		for _, page := range []int{1, 7, 40} {
			for from := run.From; from <= run.To; from += wire.Seq(page) {
				count := min(page, int(run.To-from+1))
				got, err := reader.Read(t.Context(), w.Segment, run, from, count)
				if err != nil {
					t.Fatal(err)
				}
				at := run.Row + int64(from-run.From)
				if want := rows[at : at+int64(count)]; !reflect.DeepEqual(got, want) {
					t.Fatalf("%s from %d: %+v\nwant %+v", run.ChatID, from, got, want)
				}
			}
		}
	}
	at := 0
	err = archive.Scan(t.Context(), store, w.Segment, func(r *archive.Row) error {
		if !reflect.DeepEqual(*r, rows[at]) {
			t.Errorf("row %d: %+v, want %+v", at, *r, rows[at])
		}
		at++
		return nil
	})
	if err != nil || at != len(rows) {
		t.Errorf("%d rows, %v", at, err)
	}
}

func TestSegment_TellsAllOfItself(t *testing.T) {
	for _, rows := range [][]archive.Row{someRows(2, 1, 1, 1), someRows(2, 2000, 3, 2), someRows(2, 2, 3000, 2)} {
		w, store := stored(t, rows, archive.Options{})
		var found []archive.Object
		if err := store.List(t.Context(), archive.GroupPrefix("c-1", 3), func(o archive.Object) error { found = append(found, o); return nil }); err != nil {
			t.Fatal(err)
		}
		if len(found) != 1 || found[0].Key != w.Segment.Key {
			t.Fatalf("%+v", found)
		}
		info, ranges, seg, err := archive.Inspect(t.Context(), store, found[0])
		if err != nil || info != someInfo || seg != w.Segment || !reflect.DeepEqual(ranges, w.Ranges) {
			t.Errorf("%+v, %+v, %v", info, seg, err)
		}
	}
}

func TestWriter_RefusesWhatIsOutOfOrder(t *testing.T) {
	rows := someRows(3, 2, 3, 1)
	for what, order := range map[string][]int{"the same": {0, 0}, "back in a chat": {1, 0}, "back to a chat": {0, 3, 1}} {
		w, err := archive.NewWriter(&bytes.Buffer{}, someInfo, archive.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, at := range order {
			if err := w.Write(&rows[at]); (i == len(order)-1) != errors.Is(err, archive.ErrOrder) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

// TestWriter_Pauses: pages fill while a row group is open, and each is compressed after a pause. An error of a pause ends the writing.
func TestWriter_Pauses(t *testing.T) {
	rows, pauses, stop := someRows(9, 10, 200, 3), 0, error(nil)
	var out bytes.Buffer
	w, err := archive.NewWriter(&out, someInfo, archive.Options{Pause: func() error { pauses++; return stop }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		if err := w.Write(&rows[i]); err != nil {
			t.Fatal(err)
		}
	}
	if pauses < 2 || out.Len() > 0 {
		t.Errorf("%d pauses before anything was written, which are %d bytes now", pauses, out.Len())
	}
	stop = errors.New("no longer")
	if _, err := w.Close(); !errors.Is(err, stop) {
		t.Errorf("stopped in a pause: %v", err)
	}
}

// counting counts the requests to a store, and lets a test change their answers.
type counting struct {
	archive.Store
	gets atomic.Int64
	get  func(b []byte, err error) ([]byte, error)
}

func (c *counting) Get(ctx context.Context, key string, offset, size int64) ([]byte, error) {
	c.gets.Add(1)
	b, err := c.Store.Get(ctx, key, offset, size)
	if c.get != nil {
		return c.get(b, err)
	}
	return b, err
}

func TestReader_APageCostsOneRequest(t *testing.T) {
	rows := someRows(4, 50, 2000, 2)
	w, dir := stored(t, rows, archive.Options{})
	store := &counting{Store: dir}
	reader := archive.NewReader(store, archive.ReaderConfig{})
	read := func(chat int, from wire.Seq, want int64) {
		t.Helper()
		before := store.gets.Load()
		if _, err := reader.Read(t.Context(), w.Segment, w.Ranges[chat], w.Ranges[chat].From+from, 100); err != nil {
			t.Fatal(err)
		}
		if got := store.gets.Load() - before; got != want {
			t.Errorf("chat %d from %d: %d requests, want %d", chat, from, got, want)
		}
	}
	read(0, 0, 2) // the footer, and its row group
	read(0, 100, 0)
	read(49, 500, 1)
	read(49, 500, 0)
}

func TestReader_NeverShowsWhatIsBroken(t *testing.T) {
	rows := someRows(5, 5, 400, 2)
	w, dir := stored(t, rows, archive.Options{BlockBytes: 16 << 10})
	r := rand.New(rand.NewPCG(5, 5))
	for range 300 {
		store := &counting{Store: dir, get: func(b []byte, err error) ([]byte, error) {
			b = bytes.Clone(b)
			if len(b) > 0 {
				b[r.IntN(len(b))] ^= 1 << r.IntN(8)
			}
			return b, err
		}}
		reader := archive.NewReader(store, archive.ReaderConfig{})
		got, err := reader.Read(t.Context(), w.Segment, w.Ranges[2], w.Ranges[2].From, 50)
		if !errors.Is(err, archive.ErrCorrupt) {
			t.Fatalf("%d rows, %v", len(got), err)
		}
		if _, _, err := archive.Verify(t.Context(), store, w.Segment, nil); !errors.Is(err, archive.ErrCorrupt) {
			t.Fatalf("verified: %v", err)
		}
	}
}

func TestReader_AnotherObjectUnderTheKey(t *testing.T) {
	w, store := stored(t, someRows(6, 5, 40, 2), archive.Options{})
	other := write(t, someRows(7, 5, 40, 2), archive.Options{})
	swapped := other
	swapped.Segment.Key = w.Segment.Key
	put(t, store, swapped)
	_, err := archive.NewReader(store, archive.ReaderConfig{}).Read(t.Context(), w.Segment, w.Ranges[0], w.Ranges[0].From, 1)
	if !errors.Is(err, archive.ErrCorrupt) {
		t.Errorf("read: %v", err)
	}
	if _, _, _, err := archive.Inspect(t.Context(), store, archive.Object{Key: w.Segment.Key, Size: other.Segment.Size}); !errors.Is(err, archive.ErrCorrupt) {
		t.Errorf("inspected: %v", err)
	}
	run := w.Ranges[0]
	run.ChatID = w.Ranges[1].ChatID
	put(t, store, w)
	if _, err := archive.NewReader(store, archive.ReaderConfig{}).Read(t.Context(), w.Segment, run, run.From, 1); !errors.Is(err, archive.ErrCorrupt) {
		t.Errorf("another chat's rows: %v", err)
	}
}

func TestReader_LeavesAStoreAloneThatFails(t *testing.T) {
	w, dir := stored(t, someRows(8, 5, 40, 2), archive.Options{})
	fails := true
	store := &counting{Store: dir, get: func(b []byte, err error) ([]byte, error) {
		if fails {
			return nil, archive.ErrUnavailable
		}
		return b, err
	}}
	reader := archive.NewReader(store, archive.ReaderConfig{Failures: 3, Pause: 1})
	for range 20 {
		if _, err := reader.Read(t.Context(), w.Segment, w.Ranges[0], w.Ranges[0].From, 1); !errors.Is(err, archive.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	fails = false
	for range 100 { // the pause is over with the next look at the clock
		if _, err := reader.Read(t.Context(), w.Segment, w.Ranges[0], w.Ranges[0].From, 1); err == nil {
			return
		}
	}
	t.Error("it was not asked again")
}

func BenchmarkWriter(b *testing.B) {
	rows := someRows(9, 500, 100, 2)
	b.ReportAllocs()
	var w written
	for b.Loop() {
		w = write(b, rows, archive.Options{})
	}
	b.ReportMetric(float64(len(rows))*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(w.Segment.Size)/float64(len(rows)), "B/message")
	b.ReportMetric(float64(w.RawBytes)/float64(len(rows)), "raw-B/message")
}

func BenchmarkReader(b *testing.B) {
	rows := someRows(10, 500, 200, 2)
	w, store := stored(b, rows, archive.Options{})
	warm := archive.NewReader(store, archive.ReaderConfig{})
	for _, c := range []struct {
		name   string
		reader func() *archive.Reader
	}{
		{"cold", func() *archive.Reader { return archive.NewReader(store, archive.ReaderConfig{}) }},
		{"cached", func() *archive.Reader { return warm }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				run := w.Ranges[i%len(w.Ranges)]
				if _, err := c.reader().Read(b.Context(), w.Segment, run, run.From, 100); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
