package delivery

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/archive/archivetest"
	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// TestArchive_AtSize fills chats of very different sizes, archives them to a real MinIO while appends go on, and reads all of it
// through REST. It tells what it took, and demands no time: make archive-size.
func TestArchive_AtSize(t *testing.T) {
	total, _ := strconv.Atoi(os.Getenv("ARCHIVE_MESSAGES"))
	if total == 0 {
		t.Skip("make archive-size")
	}
	server := archivetest.StartMinIO(t, "")
	store, err := archive.OpenStore(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := sequencertest.Start(t, 3, 2, func(_ int, cfg *sequencer.Config) {
		cfg.Archive, cfg.ArchiveAfter, cfg.FeedRetention, cfg.ArchiveEvery = store, time.Millisecond, time.Millisecond, time.Hour
		cfg.ExpireEvery = time.Second
	})
	e := openEdge(t, c.Addrs(), func(cfg *Config) { cfg.Archive = store })
	client := c.Client()
	chats := sequencertest.Names("chat", max(total/100, 10))
	sent := fillChats(t, client, chats, total)

	quiet := appendTimes(t, client, chats[0], 5*time.Second, nil)
	stop := make(chan struct{})
	var rounds sync.WaitGroup
	began := time.Now()
	rounds.Go(func() {
		for g := range 2 {
			c.Operate("ARCHIVE", "RUN", strconv.Itoa(g))
		}
		close(stop)
	})
	busy := appendTimes(t, client, chats[1], time.Hour, stop)
	rounds.Wait()
	took := time.Since(began)
	objects, bytes, messages := 0, int64(0), int64(0)
	for g := range 2 {
		for _, o := range c.Operate("ARCHIVE", "SEGMENTS", strconv.Itoa(g)).Elems() {
			objects, bytes, messages = objects+1, bytes+int64(o.Field("size").Num()), messages+int64(o.Field("rows").Num())
		}
	}
	t.Logf("%d messages in %d objects in %s, %.1f bytes each", messages, objects, took.Round(time.Second), float64(bytes)/float64(messages))
	t.Logf("append beside nothing: %s; beside archiving: %s", times(quiet), times(busy))

	var pages []time.Duration
	read := 0
	for i, chat := range chats {
		if i < 2 {
			continue // those that were measured
		}
		n, took := e.readChat(chat)
		pages = append(pages, took...)
		if n != sent[chat] {
			t.Fatalf("%s has %d messages, %d were sent", chat, n, sent[chat])
		}
		read += n
	}
	t.Logf("%d messages read through REST, pages of 100: %s", read, times(pages))
}

// fillChats sends messages to chats, to the first ones most.
func fillChats(t *testing.T, client *wire.Client, chats []string, total int) map[string]int {
	t.Helper()
	for part := range slices.Chunk(chats, 512) {
		sequencertest.MakeChats(t, client, []string{"ann", "bob"}, part...)
	}
	sent := map[string]int{}
	var failed atomic.Int64
	var under sync.WaitGroup
	slots := make(chan struct{}, 1024)
	r := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(r, 1.1, 50, uint64(len(chats)-1))
	for i := range total {
		chat := chats[zipf.Uint64()]
		sent[chat]++
		slots <- struct{}{}
		under.Add(1)
		q := wire.AppendRequest{
			ChatID: chat, SenderID: []string{"ann", "bob"}[i%2], ClientMessageID: fmt.Sprintf("%016x", r.Uint64()),
			Text: strings.Repeat("what people write to each other ", 1+r.IntN(4)),
		}
		client.AppendAsync(time.Minute, q, func(_ wire.AppendAck, err error) {
			if err != nil {
				failed.Add(1)
			}
			<-slots
			under.Done()
		})
	}
	under.Wait()
	if n := failed.Load(); n > 0 {
		t.Fatalf("%d messages failed", n)
	}
	return sent
}

// appendTimes appends 200 messages a second for a time, or until stop, and tells how long each took from when it was due.
func appendTimes(t *testing.T, client *wire.Client, chat string, d time.Duration, stop <-chan struct{}) (all []time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var under sync.WaitGroup
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); {
		select {
		case <-stop:
			end = time.Now()
			continue
		case due := <-tick.C:
			under.Add(1)
			q := wire.AppendRequest{ChatID: chat, SenderID: "ann", ClientMessageID: fmt.Sprint("timed-", due.UnixNano()), Text: "text"}
			client.AppendAsync(time.Minute, q, func(_ wire.AppendAck, err error) {
				defer under.Done()
				mu.Lock()
				defer mu.Unlock()
				if all = append(all, time.Since(due)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	under.Wait()
	return all
}

func times(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	slices.Sort(all)
	at := func(q float64) time.Duration { return all[int(q*float64(len(all)-1))].Round(10 * time.Microsecond) }
	return fmt.Sprintf("%d, p50 %s, p99 %s", len(all), at(0.5), at(0.99))
}

// readChat reads a chat from its first message on, in pages of 100, and makes sure that no seq is missing or comes twice.
func (e *edge) readChat(chat string) (n int, took []time.Duration) {
	e.t.Helper()
	for cursor := 1; cursor != 0; {
		began := time.Now()
		a := e.must("ann", "GET", fmt.Sprintf("/chats/%s/messages?cursor=%d&limit=100", chat, cursor), "", http.StatusOK)
		took = append(took, time.Since(began))
		var page struct {
			Messages []struct {
				SequenceNumber int
				Text           string
			}
			NextCursor int
		}
		if err := json.Unmarshal([]byte(a.body), &page); err != nil {
			e.t.Fatal(err)
		}
		for _, m := range page.Messages {
			if n++; m.SequenceNumber != n || m.Text == "" {
				e.t.Fatalf("%s: message %d where %d should be", chat, m.SequenceNumber, n)
			}
		}
		cursor = page.NextCursor
	}
	return n, took
}
