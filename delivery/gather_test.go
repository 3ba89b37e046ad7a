package delivery

import (
	"context"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// TestFeed_Gathers reads a message of a chat while others are committed, and looks what is taken together with it.
func TestFeed_Gathers(t *testing.T) {
	e := openEdge(t, startCluster(t, 1), func(c *Config) { c.Limits.FeedGather = time.Hour }) // only what is under way ends the waiting
	chat, other := e.listed("ann", "bob"), e.listed("ann", "bob")
	seen := func(events []wire.Event) (texts []string) {
		for i := range events {
			if events[i].Kind == wire.EventMessage {
				texts = append(texts, events[i].Message.Text)
			}
		}
		return texts
	}
	for _, c := range []struct {
		what     string
		flushed  time.Duration // what the last flush took
		underWay map[string]int
		first    int // messages that are there when the feed is read; two more come behind them
		answered int // how many of these are
		want     int
	}{
		{"the others are under way", time.Hour, map[string]int{chat: 2}, 1, 1, 3},
		{"fewer than were read are under way", time.Hour, map[string]int{chat: 1}, 2, 2, 4},
		{"so are more that will not come, until the flush's time is over", 50 * time.Millisecond, map[string]int{chat: 9}, 1, 1, 3},
		{"the answers to what was read are not there yet", time.Hour, map[string]int{chat: 2}, 2, 0, 2},
		{"one of these answers is not, and another message is under way", time.Hour, map[string]int{chat: 2}, 2, 1, 4},
		{"nothing is under way", time.Hour, nil, 1, 1, 1},
		{"it is to another chat", time.Hour, map[string]int{other: 3}, 1, 1, 1},
		{"a flush is cheap", gatherFrom - 1, map[string]int{chat: 3}, 1, 1, 1},
	} {
		t.Run(c.what, func(t *testing.T) {
			r := newFeedReader(e.hub, e.members.groupOf(chat), 0)
			defer r.Close()
			if err := r.ToHead(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.flushed = c.flushed
			say := func() wire.Seq {
				a, err := e.seq.Append(t.Context(), wire.AppendRequest{ChatID: chat, SenderID: "ann", ClientMessageID: fresh("c"), Text: "hello"})
				if err != nil {
					t.Fatal(err)
				}
				return a.Seq
			}
			for i := range c.first {
				if seq := say(); i < c.answered {
					e.underWay.begin(chat)
					e.underWay.end(chat, seq)
				}
			}
			events, next, err := r.Read(t.Context())
			if err != nil || len(seen(events)) != c.first {
				t.Fatalf("%d messages, %v", len(seen(events)), err)
			}
			say()
			say()
			for chatID, n := range c.underWay {
				for range n {
					e.underWay.begin(chatID)
					defer e.underWay.end(chatID, 0)
				}
			}
			events, next = r.gather(t.Context(), events, next)
			if len(seen(events)) != c.want || next != events[len(events)-1].Offset+1 {
				t.Errorf("%d messages up to offset %d, want %d", len(seen(events)), next, c.want)
			}
		})
	}
}

// TestFeed_GathersNoMoreThanItCanRead: what was read is not lost when reading on fails.
func TestFeed_GathersNoMoreThanItCanRead(t *testing.T) {
	e := openEdge(t, startCluster(t, 1), func(c *Config) { c.Limits.FeedGather = time.Hour })
	chat := e.listed("ann", "bob")
	r := newFeedReader(e.hub, e.members.groupOf(chat), 0)
	defer r.Close()
	r.flushed = time.Hour
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	e.underWay.begin(chat)
	defer e.underWay.end(chat, 0)
	e.underWay.begin(chat)
	defer e.underWay.end(chat, 0)
	events := []wire.Event{{Offset: 7, Kind: wire.EventMessage, ChatID: chat, Message: &wire.Message{ChatID: chat, Seq: 1}}}
	if got, next := r.gather(ended, events, 8); len(got) != 1 || next != 8 {
		t.Errorf("%d events, next is %d", len(got), next)
	}
}

// TestFeed_CountsWhatIsUnderWay: whatever comes of a message, it is under way no longer.
func TestFeed_CountsWhatIsUnderWay(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	chat := e.listed("ann", "bob")
	d := e.dial("ann")
	d.send(`{"type":"send","id":"1","chatId":"` + chat + `","clientMessageId":"a","text":"hello"}`)
	d.awaitType("sent")
	d.send(`{"type":"send","id":"2","chatId":"nowhere","clientMessageId":"b","text":"hello"}`)
	d.awaitType("error")
	e.must("ann", "POST", "/chats/"+chat+"/messages", `{"clientMessageId":"c","text":"hello"}`, 201)
	e.must("ann", "POST", "/chats/nowhere/messages", `{"clientMessageId":"d","text":"hello"}`, 404)
	if _, answered := e.underWay.state(chat); answered != 2 {
		t.Errorf("answered up to %d, want 2", answered)
	}
	for _, id := range []string{chat, "nowhere"} {
		if n, _ := e.underWay.state(id); n != 0 {
			t.Errorf("%d are under way to %s", n, id)
		}
	}
}
