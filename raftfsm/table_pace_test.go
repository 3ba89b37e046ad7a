package raftfsm

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/time/rate"

	"github.com/quorate/quorate/sequencer/wire"
)

// countedFS counts what is written to its files.
type countedFS struct {
	vfs.FS
	bytes atomic.Int64
}

func (fs *countedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	return countedFile{f, fs}, err
}

type countedFile struct {
	vfs.File
	fs *countedFS
}

func (f countedFile) Write(b []byte) (int, error) {
	f.fs.bytes.Add(int64(len(b)))
	return f.File.Write(b)
}

// TestTablePace_OfTablesAlone: what the pace has no bytes left for waits when it is a table, until the store closes; other files do not.
func TestTablePace_OfTablesAlone(t *testing.T) {
	fs := &countedFS{FS: vfs.NewMem()}
	pace := newTablePace(1)
	pace.limit = rate.NewLimiter(rate.Every(time.Hour), paceBurst) // a byte an hour, behind the first ones
	paced := pace.over(fs)
	write := func(name string, size int) {
		t.Helper()
		f, err := paced.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	write("1.sst", paceBurst)
	write("MANIFEST-1", 3*paceBurst)
	written := make(chan struct{})
	go func() {
		defer close(written)
		write("2.sst", 2*paceBurst)
	}()
	for pace.limit.Tokens() >= 0 { // until it has asked for more than there are
		time.Sleep(time.Millisecond)
	}
	if got := fs.bytes.Load(); got != 4*paceBurst {
		t.Errorf("%d bytes were written", got)
	}
	pace.end()
	<-written
	if got := fs.bytes.Load(); got != 6*paceBurst {
		t.Errorf("after the end: %d bytes", got)
	}
}

// TestTablePace_WritesDoNotWaitForIt has a store that would take hours for its tables, and more writes than its memtables hold: they would never
// end.
func TestTablePace_WritesDoNotWaitForIt(t *testing.T) {
	m := &machine{t: t, dir: t.TempDir()}
	store, err := OpenStore(m.dir, StoreConfig{MemTableBytes: 1 << 20, TableBytes: 1 << 10})
	if err != nil {
		t.Fatal(err)
	}
	m.store, m.fsm = store, newFSM(store, func(err error) { t.Error(err) })
	m.one(1, group("c", "a"))
	text := string(make([]byte, 4000))
	for i := range 4000 { // 16 MB
		m.one(wire.Millis(2+i), say("c", "a", strconv.Itoa(i), text))
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}
