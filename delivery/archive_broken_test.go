package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/archive/archivetest"
	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
)

// TestArchive_KeysThatOnlyRead has a delivery node read a real S3 with keys that may get objects and do nothing else.
func TestArchive_KeysThatOnlyRead(t *testing.T) {
	server := archivetest.StartMinIO(t, "")
	all, err := archive.OpenStore(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := sequencertest.Start(t, 1, 2, func(_ int, cfg *sequencer.Config) {
		cfg.Archive, cfg.ArchiveAfter, cfg.FeedRetention, cfg.ArchiveEvery = all, time.Millisecond, time.Millisecond, time.Hour
	})
	e := openEdge(t, c.Addrs())
	chat := e.group("alice", "bob")
	for n := range 30 {
		e.say("alice", chat, n)
	}
	before := e.everything(chat, 30, "alice", "bob")
	archiveNow(c) // with the keys that may
	server.ReadOnly(t)
	store, err := archive.OpenStore(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"put":    store.Put(t.Context(), "segments/x", strings.NewReader("x"), 1),
		"delete": store.Delete(t.Context(), "segments/x"),
		"list":   store.List(t.Context(), "segments/", func(archive.Object) error { return nil }),
	} {
		if !errors.Is(err, archive.ErrDenied) {
			t.Errorf("the keys let one %s: %v", what, err)
		}
	}
	reading := openEdge(t, c.Addrs(), func(cfg *Config) { cfg.Archive = store })
	same(t, "read with keys that only read", reading.everything(chat, 30, "alice", "bob"), before)
}

// garbling is a store whose answers a test changes, so many times.
type garbling struct {
	archive.Store
	change func(b []byte, err error) ([]byte, error)
	times  atomic.Int64
}

func (s *garbling) Get(ctx context.Context, key string, offset, size int64) ([]byte, error) {
	b, err := s.Store.Get(ctx, key, offset, size)
	if s.times.Add(-1) >= 0 {
		return s.change(bytes.Clone(b), err)
	}
	return b, err
}

// TestArchive_BrokenObjectsAreNeverServed breaks objects in all ways: what was archived in them is refused with a type, counted, and never
// served in part; what is hot is served. What breaks once, on the way, nobody notices.
func TestArchive_BrokenObjectsAreNeverServed(t *testing.T) {
	dir, err := archive.OpenStore("file://" + t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := sequencertest.Start(t, 1, 1, func(_ int, cfg *sequencer.Config) {
		cfg.Archive, cfg.ArchiveAfter, cfg.FeedRetention, cfg.ArchiveEvery = dir, time.Millisecond, time.Millisecond, time.Hour
	})
	e := openEdge(t, c.Addrs())
	chat := e.group("alice", "bob")
	for n := range 40 {
		e.say("alice", chat, n)
	}
	want := e.must("bob", "GET", "/chats/"+chat+"/messages?cursor=1&limit=39", "", 200).body
	time.Sleep(2 * time.Millisecond)
	c.Operate("ARCHIVE", "RUN", "0")
	const always = 1 << 40
	for what, change := range map[string]func(b []byte, err error) ([]byte, error){
		"a flipped bit": func(b []byte, err error) ([]byte, error) { b[len(b)/2] ^= 1; return b, err },
		"zeroes":        func(b []byte, err error) ([]byte, error) { clear(b); return b, err },
		"another place": func(b []byte, err error) ([]byte, error) { return append(b[1:], b[0]), err },
		"lost": func([]byte, error) ([]byte, error) {
			return nil, fmt.Errorf("%w: as the test wants it", archive.ErrNotFound)
		},
	} {
		for times, broken := range map[int64]bool{always: true, 1: what == "lost"} {
			store := &garbling{Store: dir, change: change}
			store.times.Store(times)
			e := openEdge(t, c.Addrs(), func(cfg *Config) { cfg.Archive = store })
			a := e.call("bob", "GET", "/chats/"+chat+"/messages?cursor=1&limit=39", "")
			switch {
			case broken && (a.status != 503 || a.code() != "unavailable" || strings.Contains(a.body, "text 1") || e.stats.archiveCorrupt.Load() == 0):
				t.Errorf("%s: %d %s, counted %d", what, a.status, a.body, e.stats.archiveCorrupt.Load())
			case !broken && (a.body != want || e.stats.archiveCorrupt.Load() != 0):
				t.Errorf("%s once: %d %s, counted %d", what, a.status, a.body, e.stats.archiveCorrupt.Load())
			}
			e.must("bob", "GET", "/chats/"+chat+"/messages?cursor=40", "", 200)
		}
	}
}
