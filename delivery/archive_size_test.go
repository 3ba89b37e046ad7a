package delivery

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/archive/archivetest"
	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
)

const (
	sizeGroups = 2
	sizePages  = 300 // that are timed, of each kind
	coldNodes  = 3   // that have read nothing of the archive
	readers    = 4

	sizePatience = 90 * time.Minute // for a round of archiving
)

// TestArchive_AtSize fills chats of very different sizes, archives them to a real MinIO while appends go on, and reads all of it through REST:
// each message must be there once, as it was sent. It tells what it took, and demands no time: make archive-size.
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
	c := sequencertest.Start(t, 3, sizeGroups, func(_ int, cfg *sequencer.Config) {
		cfg.Archive, cfg.ArchiveAfter, cfg.FeedRetention, cfg.ArchiveEvery = store, time.Millisecond, time.Millisecond, time.Hour
		cfg.ExpireEvery = time.Second
	})
	counted := &countingStore{Store: store}
	node := func() *edge { return openEdge(t, c.Addrs(), func(cfg *Config) { cfg.Archive = counted }) }
	e, s := node(), newSent(c.Client(), max(total/100, 10))
	began := time.Now()
	s.fill(t, total)
	t.Logf("%d messages to %d chats appended in %s, %d of them offered again", total, len(s.chats), since(began), s.again.Load())
	sequencertest.MakeChats(t, c.Client(), []string{"ann", "late"}, catchUpChat)
	sayMany(t, c.Client(), catchUpChat, catchUpArchived+1) // of which the last stays hot
	hot := e.timePages(s, sizePages)

	before := s.timeAppends(t, quietTime(t), nil) // when what filling left is still compacted
	beside, between, took := s.archiveBeside(t, c)
	after := s.timeAppends(t, quietTime(t), nil)
	t.Logf("append before archiving: %s; beside it: %s; between its parts: %s; after it: %s",
		windows(before), windows(beside), windows(between), windows(after))
	s.tellObjects(t, c, took)

	var cold, cached []time.Duration
	counted.gets.Store(0)
	for range coldNodes {
		cold = append(cold, node().timePages(s, sizePages/coldNodes)...)
	}
	coldGets := counted.gets.Swap(0)
	e.timePages(s, sizePages)
	counted.gets.Store(0)
	cached = e.timePages(s, sizePages)
	t.Logf("pages of 100: hot %s; archived cold %s, %.2f requests to the store each; archived cached %s, %.2f requests",
		times(hot), times(cold), float64(coldGets)/float64(len(cold)), times(cached), float64(counted.gets.Load())/float64(len(cached)))
	timeCatchUp(t, c, node)

	began = time.Now()
	counted.gets.Store(0)
	pages := s.readAll(t, e)
	t.Logf("%d messages read through REST in %s, each once and as it was sent: %d pages of up to 100, by %d at a time %s, %.3f requests each",
		s.count(), since(began), len(pages), readers, times(pages), float64(counted.gets.Load())/float64(len(pages)))
}

// quietTime is for how long appends are timed before the archiving, and after it. ARCHIVE_QUIET=165s makes a
// control of it.
func quietTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("ARCHIVE_QUIET")
	if text == "" {
		return 15 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("ARCHIVE_QUIET: %v", err)
	}
	return d
}

// countingStore counts requests that read.
type countingStore struct {
	archive.Store
	gets atomic.Int64
}

func (s *countingStore) Get(ctx context.Context, key string, offset, size int64) ([]byte, error) {
	s.gets.Add(1)
	return s.Store.Get(ctx, key, offset, size)
}

// archiveBeside archives all while appends go on, in sizeParts by the time of sending, and gives how long those took: beside the archiving, and
// in times as long after each part but the last, with none.
func (s *sentMessages) archiveBeside(t *testing.T, c *sequencertest.Cluster) (beside, between []time.Duration, took time.Duration) {
	t.Helper()
	for part := range sizeParts(t) {
		stop, began := make(chan struct{}), time.Now()
		var round sync.WaitGroup
		round.Go(func() {
			defer close(stop)
			for g := range sizeGroups {
				command := []string{"ARCHIVE", "RUN", strconv.Itoa(g)}
				if part+1 < sizeParts(t) {
					command = append(command, "BEFORE", strconv.FormatInt(s.sentAt(part+1, sizeParts(t)), 10))
				}
				if _, err := c.TryOperateFor(sizePatience, command...); err != nil {
					t.Errorf("archive group %d: %v", g, err)
					return
				}
			}
		})
		beside = append(beside, s.timeAppends(t, time.Hour, stop)...)
		round.Wait()
		took += time.Since(began)
		if part+1 < sizeParts(t) {
			between = append(between, s.timeAppends(t, time.Since(began), nil)...)
		}
	}
	return beside, between, took
}

// sizeParts is in how many parts all is archived: ARCHIVE_PARTS, which compares appends with and without archiving in alternation.
func sizeParts(t *testing.T) int {
	t.Helper()
	text := os.Getenv("ARCHIVE_PARTS")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("ARCHIVE_PARTS: %q", text)
	}
	return n
}

// tellObjects tells what the archive takes.
func (s *sentMessages) tellObjects(t *testing.T, c *sequencertest.Cluster, took time.Duration) {
	t.Helper()
	objects, bytes, messages := 0, int64(0), int64(0)
	for g := range sizeGroups {
		for _, o := range c.Operate("ARCHIVE", "SEGMENTS", strconv.Itoa(g)).Elems() {
			objects, bytes, messages = objects+1, bytes+int64(o.Field("size").Num()), messages+int64(o.Field("rows").Num())
		}
	}
	t.Logf("%d messages archived in %d objects in %s, %.1f bytes each; raw they have %.1f", messages, objects, took.Round(time.Second),
		float64(bytes)/float64(messages), float64(s.raw.Load())/float64(s.count()))
}

// A client catches up in this chat with so many messages.
const (
	catchUpChat     = "catch-up"
	catchUpArchived = 4000
	catchUpHot      = 1000
)

// timeCatchUp has clients catch up with a chat of which most is archived, at nodes that have read nothing of it.
func timeCatchUp(t *testing.T, c *sequencertest.Cluster, node func() *edge) {
	t.Helper()
	sayMany(t, c.Client(), catchUpChat, catchUpHot-1)
	var took []time.Duration
	for range 9 {
		e := node()
		began := time.Now()
		e.catchUp(t, "late", catchUpChat, 1, catchUpArchived+catchUpHot)
		took = append(took, time.Since(began))
	}
	t.Logf("a client %d messages behind, of which %d are archived and not cached, has caught up after %s", catchUpArchived+catchUpHot,
		catchUpArchived, times(took))
}

func times(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	slices.Sort(all)
	at := func(q float64) time.Duration { return all[int(q*float64(len(all)-1))].Round(10 * time.Microsecond) }
	return fmt.Sprintf("%d, p50 %s, p99 %s", len(all), at(0.5), at(0.99))
}

// appendWindow is how many appends the p99 is taken of, in turn: five seconds. The disk of a shared machine stands still for a while at times, and
// the median of these tells what is usual.
const appendWindow = 5 * appendRate

// windows is times, and the median of the p99 of all windows.
func windows(all []time.Duration) string {
	var p99 []time.Duration
	for part := range slices.Chunk(all, appendWindow) {
		if len(part) == appendWindow {
			part = slices.Clone(part)
			slices.Sort(part)
			p99 = append(p99, part[appendWindow*99/100])
		}
	}
	if len(p99) == 0 {
		return times(all)
	}
	slices.Sort(p99)
	return fmt.Sprintf("%s (in the median of %d times 5 s %s, the most %s)", times(slices.Clone(all)), len(p99),
		p99[len(p99)/2].Round(10*time.Microsecond), p99[len(p99)-1].Round(10*time.Microsecond))
}

func since(began time.Time) time.Duration { return time.Since(began).Round(time.Second) }
