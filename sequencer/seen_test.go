package sequencer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

func TestSeen_OnlyRisesAndIsDurable(t *testing.T) {
	c := sequencertest.Start(t, 3, 2)
	client, ctx := c.Client(), t.Context()
	now := wire.Millis(time.Now().UnixMilli())
	if at, err := client.LastSeen(ctx, "ann"); at != 0 || err != nil {
		t.Errorf("never seen: %d, %v", at, err)
	}
	for _, at := range []wire.Millis{now - 10, now - 20} {
		if got, err := client.Seen(ctx, "ann", at); got != now-10 || err != nil {
			t.Errorf("seen at %d: %d, %v", at, got, err)
		}
	}
	if _, err := client.Seen(ctx, "ann", now+3600_000); !errors.Is(err, wire.ErrBadRequest) {
		t.Errorf("an hour ahead: %v", err)
	}
	c.Kill(c.Leader(wire.GroupOf(wire.SlotOf("ann"), 2)))
	if at, err := client.LastSeen(ctx, "ann"); at != now-10 || err != nil {
		t.Errorf("after the leader has died: %d, %v", at, err)
	}
}

// TestSeen_ManyShareEntries has a pipeline of them answered out of far fewer entries.
func TestSeen_ManyShareEntries(t *testing.T) {
	c := sequencertest.Start(t, 3, 1)
	client := c.Client()
	const users = 1000
	now := wire.Millis(time.Now().UnixMilli())
	if _, err := client.Seen(t.Context(), "first", now); err != nil { // the format has been raised
		t.Fatal(err)
	}
	lead := c.Node(c.Leader(0))
	before, _ := lead.Batching()
	errs := make(chan error, users)
	for i := range users {
		client.SeenAsync(patience, fmt.Sprint("u", i), now, func(at wire.Millis, err error) {
			if err == nil && at != now {
				err = fmt.Errorf("seen at %d, want %d", at, now)
			}
			errs <- err
		})
	}
	for range users {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if after, _ := lead.Batching(); after-before > users/4 {
		t.Errorf("%d entries for %d users", after-before, users)
	}
}

func TestFeedCommit_OnlyRisesAndIsDurable(t *testing.T) {
	c := sequencertest.Start(t, 3, 2)
	client, ctx := c.Client(), t.Context()
	for _, chatID := range []string{"a", "b", "d", "e", "f"} {
		if _, _, err := client.CreateChat(ctx, wire.CreateChatRequest{ChatID: chatID, Type: wire.GroupChat, CreatorID: "ann"}); err != nil {
			t.Fatal(err)
		}
	}
	const hub = "hub/eu-1"
	for group := range wire.GroupID(2) {
		if offset, err := client.CommittedFeed(ctx, group, hub); offset != 0 || err != nil {
			t.Fatalf("nothing is committed: %d, %v", offset, err)
		}
		for _, offset := range []wire.Offset{2, 1} {
			if err := client.CommitFeed(ctx, group, hub, offset); err != nil {
				t.Fatal(err)
			}
		}
		if err := client.CommitFeed(ctx, group, hub, 1000); !errors.Is(err, wire.ErrBadRequest) {
			t.Errorf("an offset beyond the feed: %v", err)
		}
	}
	if err := client.CommitFeed(ctx, 2, hub, 1); !errors.Is(err, wire.ErrBadRequest) {
		t.Errorf("a group that is not there: %v", err)
	}
	c.Kill(c.Leader(0))
	for group := range wire.GroupID(2) {
		if offset, err := client.CommittedFeed(ctx, group, hub); offset != 2 || err != nil {
			t.Errorf("after a node has died, group %d goes on at %d, %v", group, offset, err)
		}
	}
}

// TestNumbers_ReadsOfAReplica: with STALE any node answers, without it tells who leads.
func TestNumbers_ReadsOfAReplica(t *testing.T) {
	c := sequencertest.Start(t, 3, 1)
	client := c.Client()
	now := wire.Millis(time.Now().UnixMilli())
	if _, err := client.Seen(t.Context(), "ann", now); err != nil {
		t.Fatal(err)
	}
	if err := client.CommitFeed(t.Context(), 0, "hub", 1); err != nil {
		t.Fatal(err)
	}
	other := dial(t, c.Addrs()[(c.Leader(0)+1)%3])
	for command, want := range map[string]int64{"USER.SEEN ann": int64(now), "FEED.COMMITTED 0 hub": 1} {
		failsWith(t, other.do(strings.Fields(command)...), "MOVED")
		c.Eventually(command+" to be known", func() bool { return other.do(append(strings.Fields(command), "STALE")...) == want })
	}
}

func TestNumbers_WrongWordsAreRefused(t *testing.T) {
	c := dial(t, openNode(t, func(cfg *sequencer.Config) { cfg.Groups = 1 }).RESPAddr())
	if v := works(t, c.settled("USER.SEEN", "ann")); v != nil {
		t.Errorf("never seen: %v", v)
	}
	if v := works(t, c.settled("FEED.COMMITTED", "0", "hub/eu")); v != nil {
		t.Errorf("never committed: %v", v)
	}
	for _, command := range []string{
		"USER.SEEN", "USER.SEEN a/b", "USER.SEEN ann AT", "USER.SEEN ann AT 0", "USER.SEEN ann AT -1", "USER.SEEN ann AT 1 2", "USER.SEEN ann NOW",
		"FEED.COMMIT 0 hub", "FEED.COMMIT 0 hub 0", "FEED.COMMIT 1 hub 1", "FEED.COMMIT meta hub 1", "FEED.COMMIT 0 hub/ 1",
		"FEED.COMMITTED 0", "FEED.COMMITTED 0 hub SOON", "FEED.COMMITTED 0 h@b", "FEED.COMMITTED 7 hub",
	} {
		failsWith(t, c.do(strings.Fields(command)...), "ERR")
	}
}
