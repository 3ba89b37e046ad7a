package sequencer_test

import (
	"context"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/archive/archivetest"
	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// statusOf is what the leader of group 0 says of archiving.
func statusOf(t testing.TB, c *sequencertest.Cluster, client *wire.Client) wire.Reply {
	t.Helper()
	r, err := client.DoNode(t.Context(), c.Addrs()[c.Leader(0)], "ARCHIVE", "STATUS")
	if err != nil || len(r.Elems()) == 0 {
		t.Fatalf("%v, %v", r, err)
	}
	return r.Elems()[0]
}

// TestArchiver_AwayForHours takes the store away while hours go by: appends go on, an alarm tells of the hot space, and when the store is
// back everything is archived and the alarm ends.
func TestArchiver_AwayForHours(t *testing.T) {
	const day, step, away = 24 * time.Hour, 6 * time.Hour, 12 * time.Hour // away is less than what the last steps take
	store := &breaking{Store: archiveDir(t), put: func(string, func() error) error { return errStore }}
	var later atomic.Int64 // milliseconds
	var free atomic.Int64
	free.Store(90)
	c := sequencertest.Start(t, 1, 1, archiving(store, func(cfg *sequencer.Config) {
		cfg.ArchiveEvery, cfg.MinFree = 20*time.Millisecond, 10<<30
		cfg.Clock = func() wire.Millis { return wire.Millis(time.Now().UnixMilli() + later.Load()) }
		cfg.DiskFree = func(string) (int64, int64, error) { return free.Load() << 30, 100 << 30, nil }
	}))
	client, chats := c.Client(), sequencertest.Names("chat", 4)
	sequencertest.MakeChats(t, client, []string{"ann", "bob"}, chats...)
	archiveAll(t, c, 1)
	store.broken.Store(true)
	logs := map[string][]wire.Message{}
	for i := range 8 {
		for _, chat := range chats {
			for n := range 20 {
				logs[chat] = append(logs[chat], sayOne(t, client, chat, 100*i+n))
			}
		}
		later.Add(step.Milliseconds())
	}
	free.Store(35) // less than four times MinFree
	c.Eventually("the alarm", func() bool { return statusOf(t, c, client).Field("hotAlarm").Num() == 1 })
	status := statusOf(t, c, client)
	if lag := time.Duration(status.Field("lagMs").Num()) * time.Millisecond; lag < away || !strings.Contains(status.Field("trouble").Str(), "as the test wants it") {
		t.Errorf("behind by %v, because of %q", lag, status.Field("trouble").Str())
	}
	if head, err := client.Heads(t.Context(), chats[:1], ""); err != nil || head[0].HotFrom != 1 {
		t.Fatalf("%+v, %v", head, err)
	}
	later.Add(day.Milliseconds()) // so that the last messages do not wait for more, where a round that began among them took the others
	store.broken.Store(false)
	c.Eventually("the alarm to end", func() bool { return statusOf(t, c, client).Field("hotAlarm").Num() == 0 })
	for _, chat := range chats {
		got, archived, err := readWhole(t.Context(), client, archive.NewReader(store, archive.ReaderConfig{}), chat, 50)
		if err != nil || archived != len(got)-1 || !reflect.DeepEqual(got, logs[chat]) {
			t.Errorf("%s: %d messages, %d archived, want %d: %v", chat, len(got), archived, len(logs[chat]), err)
		}
	}
	if status := statusOf(t, c, client); status.Field("trouble").Str() != "" || status.Field("lagMs").Num() > uint64(time.Hour.Milliseconds()) {
		t.Errorf("caught up: %v", status)
	}
}

func TestArchiver_AStoreOverItsSizeIsTold(t *testing.T) {
	for limit, want := range map[int64]uint64{1: 1, 1 << 40: 0} {
		c := sequencertest.Start(t, 1, 1, archiving(archiveDir(t), func(cfg *sequencer.Config) { cfg.HotBytes = limit }))
		client := c.Client()
		sequencertest.MakeChats(t, client, []string{"ann"}, "c")
		c.Operate("RAFT", "SNAPSHOT", "0") // writes tables
		c.Eventually("the alarm to be as it should", func() bool {
			s := statusOf(t, c, client)
			return s.Field("hotAlarm").Num() == want && s.Field("hotBytes").Num() > 1 && s.Field("hotLimit").Num() == uint64(limit)
		})
	}
}

// TestArchiver_S3ThatFails has an S3 server fail in all ways that one fails in, during rounds and merges. No message may be in neither place,
// and all are archived when it is whole again.
func TestArchiver_S3ThatFails(t *testing.T) {
	s3 := archivetest.StartFaultyS3(t)
	store, err := archive.OpenStore(s3.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := sequencertest.Start(t, 1, 1, archiving(store))
	client, chats := c.Client(), sequencertest.Names("chat", 4)
	sequencertest.MakeChats(t, client, []string{"ann", "bob"}, chats...)
	archiveAll(t, c, 1)
	logs := map[string][]wire.Message{}
	for i, fault := range []struct {
		what string
		make archivetest.Fault
	}{
		{"503", archivetest.Status(503, "SlowDown")},
		{"500 after success", archivetest.AfterSuccess},
		{"the connection ends", archivetest.Reset},
		{"lost behind success", archivetest.Lost},
		{"cut short", archivetest.Garble(func(b []byte) []byte { return b[:len(b)/2] })},
		{"a flipped bit", archivetest.Garble(func(b []byte) []byte {
			if len(b) > 0 {
				b[len(b)/2] ^= 1
			}
			return b
		})},
		{"403", archivetest.Status(403, "AccessDenied")},
	} {
		t.Run(fault.what, func(t *testing.T) {
			for _, chat := range chats {
				for n := range 6 {
					logs[chat] = append(logs[chat], sayOne(t, client, chat, 100*i+n))
				}
			}
			time.Sleep(2 * time.Millisecond)
			s3.Set(fault.make)
			if _, err := client.DoNode(t.Context(), c.Addrs()[0], "ARCHIVE", "RUN", "0"); err == nil {
				t.Error("the round says that it is done")
			}
			s3.Set(nil)
			readAll(t, client, store, logs) // before the next round: nothing was freed that is not there
			archiveAll(t, c, 1)
			readAll(t, client, store, logs)
		})
	}
}

// TestArchiver_ABrokenObjectDoesNotHoldUpTheOthers breaks one of many small objects: the others become one, and it is told of.
func TestArchiver_ABrokenObjectDoesNotHoldUpTheOthers(t *testing.T) {
	var broken atomic.Pointer[string]
	store := &losing{Store: archiveDir(t), lost: &broken}
	c := sequencertest.Start(t, 1, 1, archiving(store))
	client := c.Client()
	sequencertest.MakeChats(t, client, []string{"ann"}, "a", "b")
	round := func(n int) {
		sayOne(t, client, "a", n)
		sayOne(t, client, "b", n)
		archiveAll(t, c, 1)
	}
	for n := range 4 {
		round(n)
	}
	key := c.Operate("ARCHIVE", "SEGMENTS", "0").Elems()[1].Field("object").Str()
	broken.Store(&key)
	for n := range 12 {
		round(10 + n)
	}
	segments := c.Operate("ARCHIVE", "SEGMENTS", "0").Elems()
	if status := statusOf(t, c, client); status.Field("broken").Num() != 1 || len(segments) > 9 || status.Field("trouble").Str() != "" {
		t.Errorf("%d objects, %v", len(segments), status)
	}
	kept := false
	for _, s := range segments {
		kept = kept || s.Field("object").Str() == key
	}
	if !kept {
		t.Errorf("the index has let go of %s, which is broken", key)
	}
	broken.Store(nil)
	for _, chat := range []string{"a", "b"} {
		if got, _, err := readWhole(t.Context(), client, archive.NewReader(store, archive.ReaderConfig{}), chat, 7); err != nil || len(got) != 16 {
			t.Errorf("%s: %d messages, %v", chat, len(got), err)
		}
	}
}

// losing is a store that has lost one object.
type losing struct {
	archive.Store
	lost *atomic.Pointer[string]
}

func (s *losing) Get(ctx context.Context, key string, offset, size int64) ([]byte, error) {
	if lost := s.lost.Load(); lost != nil && *lost == key {
		return nil, archive.ErrNotFound
	}
	return s.Store.Get(ctx, key, offset, size)
}
