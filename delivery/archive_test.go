package delivery

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
)

// awayStore is a store that a test can take away.
type awayStore struct {
	archive.Store
	away atomic.Bool
}

func (s *awayStore) Get(ctx context.Context, key string, offset, size int64) ([]byte, error) {
	if s.away.Load() {
		return nil, archive.ErrUnavailable
	}
	return s.Store.Get(ctx, key, offset, size)
}

// archivingCluster starts a node that archives all it is told to, and an edge that reads there.
func archivingCluster(t *testing.T) (*sequencertest.Cluster, *edge, *awayStore) {
	t.Helper()
	dir, err := archive.OpenStore("file://" + t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	store := &awayStore{Store: dir}
	c := sequencertest.Start(t, 1, 2, func(_ int, cfg *sequencer.Config) {
		cfg.Archive, cfg.ArchiveAfter, cfg.FeedRetention, cfg.ArchiveEvery = dir, time.Millisecond, time.Millisecond, time.Hour
	})
	return c, openEdge(t, c.Addrs(), func(cfg *Config) { cfg.Archive = store }), store
}

func archiveNow(c *sequencertest.Cluster) {
	time.Sleep(2 * time.Millisecond) // so that what was sent is older than the window
	for g := range 2 {
		c.Operate("ARCHIVE", "RUN", strconv.Itoa(g))
	}
}

func (e *edge) say(user, chat string, n int) {
	e.t.Helper()
	e.must(user, "POST", "/chats/"+chat+"/messages", fmt.Sprintf(`{"text":"text %d","clientMessageId":"%s-%d"}`, n, user, n), 201)
}

// everything asks for all that REST tells of a chat's history, in pages of all sizes, as some users see it.
func (e *edge) everything(chat string, last int, users ...string) map[string]string {
	all := map[string]string{}
	ask := func(user, path string) {
		a := e.call(user, "GET", path, "")
		all[user+" "+path] = fmt.Sprint(a.status, " ", a.body)
	}
	for _, user := range users {
		for _, limit := range []int{1, 3, 10, 50} {
			for from := 1; from <= last+1; from += limit {
				ask(user, fmt.Sprintf("/chats/%s/messages?cursor=%d&limit=%d", chat, from, limit))
				ask(user, fmt.Sprintf("/chats/%s/messages?before=%d&limit=%d", chat, from+1, limit))
			}
		}
		for seq := 1; seq <= last+1; seq++ {
			ask(user, fmt.Sprintf("/messages/%s:%d/receipts", chat, seq))
		}
		ask(user, "/chats/"+chat)
	}
	return all
}

func same(t *testing.T, when string, got, want map[string]string) {
	t.Helper()
	wrong := 0
	for what, is := range got {
		if is != want[what] && wrong < 5 {
			wrong++
			t.Errorf("%s: %s\nis  %s\nwas %s", when, what, is, want[what])
		}
	}
}

// TestArchive_AnswersAsBefore has a chat whose members come and go, and read some; what REST tells of it is the same when it is
// archived, in whichever parts.
func TestArchive_AnswersAsBefore(t *testing.T) {
	c, e, _ := archivingCluster(t)
	chat := e.group("alice", "bob", "cid")
	read := func(user string, seq int) {
		t.Helper()
		e.must(user, "POST", fmt.Sprintf("/messages/%s:%d/read", chat, seq), "", 200)
	}
	members := func(change string) { e.must("alice", "POST", "/chats/"+chat+"/members", change, 200) }
	n := 0
	say := func(count int) {
		for range count {
			n++
			e.say([]string{"alice", "bob"}[n%2], chat, n)
		}
	}
	say(12)
	read("bob", 5)
	read("cid", 9)
	members(`{"remove":["cid"]}`)
	say(6)
	read("bob", 15)
	members(`{"add":["cid","dan"]}`)
	say(10)
	read("dan", 21)
	users := []string{"alice", "bob", "cid", "dan", "eve"}

	before := e.everything(chat, n, users...)
	archiveNow(c)
	if head, err := e.seq.Heads(t.Context(), []string{chat}, ""); err != nil || int(head[0].HotFrom) != n {
		t.Fatalf("%+v, %v: the last message alone should be hot", head, err)
	}
	same(t, "archived", e.everything(chat, n, users...), before)

	read("bob", 20) // reads what is archived
	read("cid", 22)
	say(9)
	before = e.everything(chat, n, users...)
	archiveNow(c)
	same(t, "the rest archived too", e.everything(chat, n, users...), before)
	for range 9 { // small objects, which are merged
		say(1)
		read("dan", n)
		before = e.everything(chat, n, users...)
		archiveNow(c)
	}
	same(t, "merged", e.everything(chat, n, users...), before)
}

func TestArchive_ClientsCatchUpAcrossTheBorder(t *testing.T) {
	c, e, _ := archivingCluster(t)
	chat := e.group("alice", "bob")
	for n := range 120 {
		e.say("alice", chat, n)
	}
	archiveNow(c)
	for n := range 30 {
		e.say("alice", chat, 1000+n)
	}
	d := e.dialPath("bob", "/stream")
	d.hello(fresh("dev"), fmt.Sprintf(`{"%s":1}`, chat))
	d.awaitSeqs(chat, 1, 150)
}

// TestArchive_AwayOnlyOldHistoryWaits takes the object store away: what is hot is served as ever.
func TestArchive_AwayOnlyOldHistoryWaits(t *testing.T) {
	c, e, store := archivingCluster(t)
	old, hot := e.group("alice", "bob"), e.group("alice", "bob")
	for n := range 40 {
		e.say("alice", old, n)
	}
	archiveNow(c)
	for n := range 40 {
		e.say("alice", hot, n)
	}
	store.away.Store(true)
	a := e.call("bob", "GET", "/chats/"+old+"/messages?cursor=1", "")
	if a.status != 503 || a.code() != "unavailable" {
		t.Errorf("history of the archive: %d %s", a.status, a.body)
	}
	if a := e.call("bob", "GET", "/messages/"+old+":3/receipts", ""); a.status != 503 {
		t.Errorf("receipts of the archive: %d %s", a.status, a.body)
	}
	e.must("bob", "GET", "/chats/"+old+"/messages?cursor=40", "", 200)
	d := e.dialPath("bob", "/stream")
	d.hello(fresh("dev"), fmt.Sprintf(`{"%s":1,"%s":1}`, old, hot))
	d.awaitSeqs(hot, 1, 40)
	e.say("alice", hot, 1000)
	d.awaitSeqs(hot, 41, 41)
	store.away.Store(false)
	d.awaitSeqs(old, 1, 40)
}
