package sequencer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// archiving lets a cluster archive to a store whatever it is told to.
func archiving(store archive.Store, more ...func(*sequencer.Config)) sequencertest.Option {
	return func(_ int, cfg *sequencer.Config) {
		cfg.Archive, cfg.ArchiveAfter, cfg.FeedRetention, cfg.ArchiveEvery = store, time.Millisecond, time.Millisecond, time.Hour
		for _, change := range more {
			change(cfg)
		}
	}
}

func archiveDir(t testing.TB) archive.Store {
	t.Helper()
	store, err := archive.OpenStore("file://" + t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// archiveAll makes a round in every group.
func archiveAll(t testing.TB, c *sequencertest.Cluster, groups int) {
	t.Helper()
	time.Sleep(2 * time.Millisecond) // so that what was sent is older than the window
	for g := range groups {
		c.Operate("ARCHIVE", "RUN", strconv.Itoa(g))
	}
}

// readWhole reads a chat from the archive and the hot store, in pages of count.
func readWhole(ctx context.Context, client *wire.Client, reader *archive.Reader, chat string, count int) (log []wire.Message, archived int, err error) {
	for from := wire.Seq(1); from != 0; {
		page, err := client.Range(ctx, wire.RangeRequest{ChatID: chat, From: from, Count: count})
		if err != nil {
			return nil, 0, err
		}
		for _, run := range page.Runs {
			rows, err := reader.Read(ctx, *run.Segment, archive.Range{ChatID: chat, From: run.From, To: run.To, Row: run.Row}, run.From, int(run.To-run.From+1))
			if err != nil {
				return nil, 0, err
			}
			for _, r := range rows {
				log = append(log, r.Message)
			}
			archived += len(rows)
		}
		log = append(log, page.Messages...)
		from = page.Next
	}
	return log, archived, nil
}

// sayAll appends messages to chats, unevenly many, and gives what each holds then.
func sayAll(t testing.TB, client *wire.Client, chats []string, most int) map[string][]wire.Message {
	t.Helper()
	logs := map[string][]wire.Message{}
	for i, chat := range chats {
		for n := range 1 + (i*7)%most {
			logs[chat] = append(logs[chat], sayOne(t, client, chat, n))
		}
	}
	return logs
}

func sayOne(t testing.TB, client *wire.Client, chat string, n int) wire.Message {
	t.Helper()
	q := wire.AppendRequest{ChatID: chat, SenderID: "ann", ClientMessageID: fmt.Sprint("m", n), Text: fmt.Sprintf("text %d of %s", n, chat)}
	ack, err := client.Append(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Message{
		ChatID: chat, Seq: ack.Seq, SenderID: q.SenderID, ClientMessageID: q.ClientMessageID, Text: q.Text, SentAt: ack.SentAt, Lamport: ack.Lamport,
	}
}

func TestArchiver_EveryMessageIsInOneOfTwoPlaces(t *testing.T) {
	store := archiveDir(t)
	c := sequencertest.Start(t, 3, 2, archiving(store))
	client, chats := c.Client(), sequencertest.Names("chat", 24)
	sequencertest.MakeChats(t, client, []string{"ann", "bob"}, chats...)
	logs := sayAll(t, client, chats, 60)
	archiveAll(t, c, 2)
	for _, chat := range chats { // and some that stay hot
		for n := range 3 {
			logs[chat] = append(logs[chat], sayOne(t, client, chat, 1000+n))
		}
	}
	check := func(pages ...int) {
		t.Helper()
		reader := archive.NewReader(store, archive.ReaderConfig{})
		for _, chat := range chats {
			for _, page := range pages {
				got, archived, err := readWhole(t.Context(), client, reader, chat, page)
				if err != nil {
					t.Fatal(err)
				}
				if archived < len(logs[chat])-4 || !reflect.DeepEqual(got, logs[chat]) {
					t.Fatalf("%s in pages of %d: %d messages, %d of them archived, want %d", chat, page, len(got), archived, len(logs[chat]))
				}
			}
		}
	}
	check(1, 2, 7, 50, 500)
	for _, chat := range chats { // a retry after the archival
		q := wire.AppendRequest{ChatID: chat, SenderID: "ann", ClientMessageID: "m0", Text: "text 0 of " + chat}
		if ack, err := client.Append(t.Context(), q); err != nil || !ack.Replayed || ack.Seq != 1 {
			t.Errorf("%s: %+v, %v", chat, ack, err)
		}
	}
	for g := range 2 { // the index is everybody's
		c.Kill(c.Leader(wire.GroupID(g)))
		break
	}
	check(50)
}

func TestArchiver_PagesBackwards(t *testing.T) {
	store := archiveDir(t)
	c := sequencertest.Start(t, 1, 1, archiving(store))
	client := c.Client()
	sequencertest.MakeChats(t, client, []string{"ann"}, "c")
	for n := range 20 {
		sayOne(t, client, "c", n)
	}
	archiveAll(t, c, 1)
	for n := range 5 {
		sayOne(t, client, "c", 100+n)
	}
	for before := wire.Seq(26); before > 1; {
		page, err := client.Range(t.Context(), wire.RangeRequest{ChatID: "c", From: before, Count: 4, Before: true})
		if err != nil {
			t.Fatal(err)
		}
		first, last := wire.Seq(0), wire.Seq(0)
		see := func(from, to wire.Seq) {
			if first == 0 {
				first = from
			} else if from != last+1 {
				t.Errorf("before %d: %d follows %d", before, from, last)
			}
			last = to
		}
		for _, run := range page.Runs {
			see(run.From, run.To)
		}
		for _, m := range page.Messages {
			see(m.Seq, m.Seq)
		}
		if last != before-1 || first != max(before, 5)-4 {
			t.Errorf("before %d: %d to %d", before, first, last)
		}
		if want := first; page.Next != want && (page.Next != 0 || first != 1) {
			t.Errorf("before %d: the next page ends before %d", before, page.Next)
		}
		before = first
	}
}

// breaking is a store that fails as it is told to.
type breaking struct {
	archive.Store
	put    func(key string, put func() error) error
	get    func(b []byte, err error) ([]byte, error)
	broken atomic.Bool
}

func (s *breaking) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	put := func() error { return s.Store.Put(ctx, key, body, size) }
	if s.put != nil && s.broken.Load() {
		return s.put(key, put)
	}
	return put()
}

func (s *breaking) Get(ctx context.Context, key string, offset, size int64) ([]byte, error) {
	b, err := s.Store.Get(ctx, key, offset, size)
	if s.get != nil && s.broken.Load() {
		return s.get(b, err)
	}
	return b, err
}

var errStore = fmt.Errorf("%w: as the test wants it", archive.ErrUnavailable)

// TestArchiver_NothingIsFreedThatIsNotThere breaks the store in all ways that a store breaks in: no message may leave the hot
// store, and all of them do when it works again.
func TestArchiver_NothingIsFreedThatIsNotThere(t *testing.T) {
	for what, s := range map[string]*breaking{
		"it refuses":               {put: func(string, func() error) error { return errStore }},
		"it stores and then fails": {put: func(_ string, put func() error) error { return errors.Join(put(), errStore) }},
		"it says yes and loses":    {put: func(string, func() error) error { return nil }},
		"it flips a bit": {get: func(b []byte, err error) ([]byte, error) {
			if b = bytes.Clone(b); len(b) > 0 {
				b[rand.IntN(len(b))] ^= 4
			}
			return b, err
		}},
		"it cuts short": {get: func(b []byte, err error) ([]byte, error) {
			return b[:len(b)/2], fmt.Errorf("%w: cut short", archive.ErrCorrupt)
		}},
	} {
		t.Run(what, func(t *testing.T) {
			s.Store = archiveDir(t)
			c := sequencertest.Start(t, 1, 1, archiving(s))
			client := c.Client()
			sequencertest.MakeChats(t, client, []string{"ann"}, "c")
			archiveAll(t, c, 1) // rounds are made: what stops the next one is the store
			s.broken.Store(true)
			logs := sayAll(t, client, []string{"a", "c"}[1:], 60)
			for n := range 20 {
				logs["c"] = append(logs["c"], sayOne(t, client, "c", 100+n))
			}
			time.Sleep(2 * time.Millisecond)
			if _, err := client.DoNode(t.Context(), c.Addrs()[0], "ARCHIVE", "RUN", "0"); err == nil {
				t.Error("the round says that it is done")
			}
			if head, err := client.Heads(t.Context(), []string{"c"}, ""); err != nil || head[0].HotFrom != 1 {
				t.Fatalf("%+v, %v", head, err)
			}
			s.broken.Store(false)
			archiveAll(t, c, 1)
			got, archived, err := readWhole(t.Context(), client, archive.NewReader(s, archive.ReaderConfig{}), "c", 50)
			if err != nil || archived != len(got)-1 || !reflect.DeepEqual(got, logs["c"]) {
				t.Errorf("%d messages, %d archived, %v", len(got), archived, err)
			}
		})
	}
}

func TestArchiver_MergesSmallObjects(t *testing.T) {
	store := archiveDir(t)
	c := sequencertest.Start(t, 1, 1, archiving(store))
	client, chats := c.Client(), sequencertest.Names("chat", 6)
	sequencertest.MakeChats(t, client, []string{"ann", "bob"}, chats...)
	logs := map[string][]wire.Message{}
	for round := range 12 {
		for _, chat := range chats {
			logs[chat] = append(logs[chat], sayOne(t, client, chat, round))
		}
		archiveAll(t, c, 1)
	}
	segments := c.Operate("ARCHIVE", "SEGMENTS", "0")
	if n := len(segments.Elems()); n > 8 {
		t.Errorf("%d objects are still in use", n)
	}
	for _, chat := range chats {
		got, _, err := readWhole(t.Context(), client, archive.NewReader(store, archive.ReaderConfig{}), chat, 5)
		if err != nil || !reflect.DeepEqual(got, logs[chat]) {
			t.Errorf("%s: %d messages, %v", chat, len(got), err)
		}
	}
}

// archivePoints are the steps between which an archiver may end.
var archivePoints = []string{"before put", "after put", "before commit", "after commit"}

// TestArchiver_LeaderDiesAtEachStep kills the leader between two steps of a round: another one archives, and every message is
// where it should be.
func TestArchiver_LeaderDiesAtEachStep(t *testing.T) {
	for _, point := range archivePoints {
		t.Run(point, func(t *testing.T) {
			store := archiveDir(t)
			arrived, leave := make(chan struct{}), make(chan struct{})
			var armed atomic.Bool
			c := sequencertest.Start(t, 3, 1, archiving(store, func(cfg *sequencer.Config) {
				sequencer.AtArchivePoints(cfg, func(p string) error {
					if p == point && armed.CompareAndSwap(true, false) {
						close(arrived)
						<-leave
						return errStore
					}
					return nil
				})
			}))
			client, chats := c.Client(), sequencertest.Names("chat", 6)
			sequencertest.MakeChats(t, client, []string{"ann", "bob"}, chats...)
			archiveAll(t, c, 1) // the format has been raised
			logs := sayAll(t, client, chats, 40)
			time.Sleep(2 * time.Millisecond)
			leader := c.Leader(0)
			armed.Store(true)
			go func() { _, _ = client.DoNode(context.Background(), c.Addrs()[leader], "ARCHIVE", "RUN", "0") }() // it gets no answer
			<-arrived
			killed := make(chan struct{})
			go func() { c.Kill(leader); close(killed) }()
			close(leave)
			<-killed
			archiveAll(t, c, 1)
			readAll(t, client, store, logs)
			c.Restart(leader)
			c.CatchUp(leader)
			readAll(t, client, store, logs)
		})
	}
}

// TestArchiver_OneWhoLedBeforeDoesNoHarm holds a leader up between reading an object back and its entry, until another has led and
// archived: the late entry must do nothing.
func TestArchiver_OneWhoLedBeforeDoesNoHarm(t *testing.T) {
	store := archiveDir(t)
	arrived, leave := make(chan struct{}), make(chan struct{})
	var armed atomic.Bool
	c := sequencertest.Start(t, 3, 1, archiving(store, func(cfg *sequencer.Config) {
		sequencer.AtArchivePoints(cfg, func(p string) error {
			if p == "before commit" && armed.CompareAndSwap(true, false) {
				close(arrived)
				<-leave
			}
			return nil
		})
	}))
	client, chats := c.Client(), sequencertest.Names("chat", 6)
	sequencertest.MakeChats(t, client, []string{"ann", "bob"}, chats...)
	archiveAll(t, c, 1)
	logs := sayAll(t, client, chats, 40)
	time.Sleep(2 * time.Millisecond)
	old := c.Leader(0)
	armed.Store(true)
	late := make(chan error, 1)
	go func() {
		_, err := client.DoNode(context.Background(), c.Addrs()[old], "ARCHIVE", "RUN", "0")
		late <- err
	}()
	<-arrived
	c.Operate("RAFT", "TRANSFER", "0")
	c.Eventually("another leader", func() bool { return c.Leader(0) != old })
	archiveAll(t, c, 1)
	before := c.Operate("ARCHIVE", "SEGMENTS", "0")
	c.Operate("RAFT", "TRANSFER", "0", fmt.Sprintf("n%d", old+1)) // he leads again, in a later term
	c.Eventually("the old leader", func() bool { return c.Leader(0) == old })
	close(leave)
	if err := <-late; err == nil {
		t.Error("the late round says that it is done")
	}
	if after := c.Operate("ARCHIVE", "SEGMENTS", "0"); len(after.Elems()) != len(before.Elems()) {
		t.Errorf("%d objects are in use, %d were", len(after.Elems()), len(before.Elems()))
	}
	readAll(t, client, store, logs)
}

// readAll makes sure that chats read as they were written, from the archive and the hot store.
func readAll(t testing.TB, client *wire.Client, store archive.Store, logs map[string][]wire.Message) {
	t.Helper()
	for chat, log := range logs {
		got, _, err := readWhole(t.Context(), client, archive.NewReader(store, archive.ReaderConfig{}), chat, 50)
		if err != nil || !reflect.DeepEqual(got, log) {
			t.Errorf("%s: %d messages, want %d: %v", chat, len(got), len(log), err)
		}
	}
}
