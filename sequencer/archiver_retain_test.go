package sequencer_test

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// TestArchiver_KeepsAsLongAsItIsTold has chats of which one is kept for the time of the cluster, one for a time of its own, and one for ever. What is
// past its time can no longer be read, but for a chat's last message; its object goes a day later, and no other does.
func TestArchiver_KeepsAsLongAsItIsTold(t *testing.T) {
	store := archiveDir(t)
	var later atomic.Int64 // milliseconds
	c := sequencertest.Start(t, 1, 1, archiving(store, func(cfg *sequencer.Config) {
		cfg.RetainFor = time.Hour
		cfg.Clock = func() wire.Millis { return wire.Millis(time.Now().UnixMilli() + later.Load()) }
	}))
	client, chats := c.Client(), []string{"cluster", "own", "ever"}
	sequencertest.MakeChats(t, client, []string{"ann"}, chats...)
	for chat, ms := range map[string]int64{"own": (3 * time.Hour).Milliseconds(), "ever": 0} {
		if _, err := client.Do(t.Context(), chat, "CHAT.RETENTION", chat, strconv.FormatInt(ms, 10)); err != nil {
			t.Fatal(err)
		}
	}
	for _, chat := range chats { // an object for each
		for n := range 5 {
			sayOne(t, client, chat, n)
		}
		archiveAll(t, c, 1)
	}
	objects := func() (n int) {
		if err := store.List(t.Context(), "segments/", func(archive.Object) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, step := range []struct {
		after   time.Duration
		lengths [3]int // of what can be read of the chats
		objects int
	}{
		{0, [3]int{5, 5, 5}, 3}, {2 * time.Hour, [3]int{1, 5, 5}, 3}, {4 * time.Hour, [3]int{1, 1, 5}, 3}, {30 * time.Hour, [3]int{1, 1, 5}, 1},
	} {
		later.Store(step.after.Milliseconds())
		archiveAll(t, c, 1)
		for i, chat := range chats {
			page, err := client.Range(t.Context(), wire.RangeRequest{ChatID: chat, From: 1, Count: 50})
			if err != nil {
				t.Fatal(err)
			}
			got := len(page.Messages)
			for _, run := range page.Runs {
				got += int(run.To - run.From + 1)
			}
			if got != step.lengths[i] {
				t.Errorf("after %s %d messages of %s can be read, want %d", step.after, got, chat, step.lengths[i])
			}
		}
		if n := objects(); n != step.objects {
			t.Errorf("after %s there are %d objects, want %d", step.after, n, step.objects)
		}
	}
}
