package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/delivery/push"
	"github.com/quorate/quorate/sequencer/wire"
)

func TestKeeper_TellsThoseWhoHaveNotGotIt(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.say("c", "ann", "hello")
		r.ack("c", "bob", true)
		r.after(4900 * time.Millisecond)
		r.want()
		r.after(200 * time.Millisecond)
		r.mu.Lock()
		if len(r.told) == 1 {
			n := r.told[0].Notification
			if n.Text != "hello" || n.ChatName != "the c" || n.SenderID != "ann" || n.MessageID != "c:1" || n.Badge != 1 || n.FirstSeq != 1 || len(n.CollapseKey) != 32 {
				t.Errorf("it says %+v", n)
			}
		}
		r.mu.Unlock()
		r.want("5s cid/phone c-1 x1") // not ann, who wrote it, and not bob
		r.after(time.Hour)
		r.want()
		if got := r.committed(); got != r.offset {
			t.Errorf("committed %d, want %d", got, r.offset)
		}
	})
}

// TestKeeper_AReceiptThatTheFeedDidNotTell: the watermark decides, not what this node has heard of it.
func TestKeeper_AReceiptThatTheFeedDidNotTell(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.say("c", "ann", "hello")
		r.ack("c", "bob", false)
		r.ack("c", "cid", false)
		r.after(6 * time.Second)
		r.want()
	})
}

// TestKeeper_MembersWhoAreThereCostNothing: once the members are known, messages that all acknowledge need no look-up.
func TestKeeper_MembersWhoAreThereCostNothing(t *testing.T) {
	inBubble(t, func(r *rig) {
		for i := range 20 {
			r.say("c", "ann", fmt.Sprint(i))
			r.ack("c", "bob", true)
			r.ack("c", "cid", true)
			r.after(7 * time.Second)
		}
		r.want()
		if r.cluster.looks != 1 {
			t.Errorf("%d look-ups for 20 messages", r.cluster.looks)
		}
		r.feed(wire.Event{Kind: wire.EventMembers, ChatID: "c", Version: 2, Added: []string{"dan"}})
		r.cluster.mu.Lock()
		r.cluster.marks["c"]["dan"] = 20
		r.cluster.mu.Unlock()
		r.device("dan", "pad")
		r.say("c", "ann", "welcome")
		r.ack("c", "bob", true)
		r.ack("c", "cid", true)
		r.after(6 * time.Second)
		r.want("2m25s dan/pad c-21 x1")
	})
}

func TestKeeper_ManyMessagesAreOneNotification(t *testing.T) {
	inBubble(t, func(r *rig) {
		for i := range 40 { // for 10 seconds
			r.say("c", []string{"ann", "bob"}[i%2], fmt.Sprint("m", i))
			r.ack("c", "ann", true)
			r.ack("c", "bob", true)
			r.after(250 * time.Millisecond)
		}
		r.mu.Lock()
		for _, m := range r.told {
			if m.CollapseKey != r.told[0].CollapseKey || m.Text != fmt.Sprint("m", m.Seq-1) {
				t.Errorf("it says %+v", m)
			}
		}
		r.mu.Unlock()
		r.after(10 * time.Second)
		r.mu.Lock()
		if n := len(r.told); n < 2 || n > 4 {
			t.Errorf("%d notifications of 10 seconds: %v", n, r.told)
		} else if last := r.told[n-1]; last.Seq != 40 || last.Count != 40 || last.user != "cid" {
			t.Errorf("the last one is %v", last)
		}
		r.mu.Unlock()
	})
}

func TestKeeper_MutedIsNotTold(t *testing.T) {
	inBubble(t, func(r *rig) {
		until := wire.Millis(time.Now().Add(time.Minute).UnixMilli())
		r.device("cid", "pad")
		r.cluster.settings["bob"] = wire.PushSettings{Devices: r.cluster.settings["bob"].Devices, Mutes: []wire.ChatMute{{ChatID: "c", Until: until}}}
		r.cluster.settings["cid"].Devices[0].MutedUntil = until
		r.say("c", "ann", "psst")
		r.after(6 * time.Second)
		r.want("5s cid/pad c-1 x1")
		r.after(time.Minute)
		r.say("c", "ann", "hello")
		r.after(6 * time.Second)
		r.want("1m11s bob/phone c-2 x2", "1m11s cid/pad c-2 x2", "1m11s cid/phone c-2 x2")
	})
}

func TestKeeper_NoTextUnlessItIsWanted(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.say("c", "ann", "secret")
		r.after(6 * time.Second)
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, m := range r.told {
			if s := fmt.Sprintf("%+v", m.Notification); strings.Contains(s, "secret") || strings.Contains(s, "the c") {
				t.Errorf("it says %s", s)
			}
		}
		if len(r.told) != 2 {
			t.Errorf("told %v", r.told)
		}
	}, func(c *Config) { c.Text = false })
}

// TestKeeper_AfterACrashItIsToldAgain: what was not committed is done again, under the same key, and nobody is forgotten.
func TestKeeper_AfterACrashItIsToldAgain(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answers(func(d *push.Device, _ *push.Notification) error {
			if d.UserID == "bob" {
				return push.ErrUnavailable
			}
			return nil
		})
		r.say("c", "ann", "hello")
		r.after(6 * time.Second)
		r.mu.Lock()
		first := r.told[0].Notification
		r.mu.Unlock()
		r.want("5s cid/phone c-1 x1")
		from := r.committed()
		if from > 1 {
			t.Fatalf("offset %d is committed while bob was not told", from)
		}
		r.crash()
		r.answers(nil)
		r.offset = 1
		r.startWith(wire.Event{
			Kind: wire.EventMessage, ChatID: "c", At: wire.Millis(r.began.UnixMilli()),
			Message: &wire.Message{ChatID: "c", Seq: 1, SenderID: "ann", Text: "hello", SentAt: wire.Millis(r.began.UnixMilli())},
		})
		r.after(6 * time.Second)
		r.mu.Lock()
		for _, m := range r.told {
			if m.user == "cid" && m.Notification != first {
				t.Errorf("the second time it says %+v, the first time %+v", m.Notification, first)
			}
		}
		if len(r.told) != 2 {
			t.Errorf("told %v", r.told)
		}
		r.mu.Unlock()
		if got := r.committed(); got != 2 {
			t.Errorf("committed %d", got)
		}
	})
}

// TestKeeper_ABacklogIsNotGivenTheGraceAgain: who takes a group over tells at once of what is older than the grace.
func TestKeeper_ABacklogIsNotGivenTheGraceAgain(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.crash()
		r.after(time.Minute)
		var backlog []wire.Event
		for i, ago := range []time.Duration{time.Minute, 2 * time.Second} {
			at := wire.Millis(time.Now().Add(-ago).UnixMilli())
			chat := fmt.Sprint("x", i)
			r.chat(chat, "ann", "bob")
			r.cluster.last[chat] = 1
			backlog = append(backlog, wire.Event{
				Kind: wire.EventMessage, ChatID: chat, At: at, Message: &wire.Message{ChatID: chat, Seq: 1, SenderID: "ann", Text: "x", SentAt: at},
			})
		}
		r.offset = 1
		r.startWith(backlog...)
		r.after(10 * time.Second)
		r.want("1m0s bob/phone x0-1 x1", "1m3s bob/phone x1-1 x1")
	})
}

// TestKeeper_ALeadersClockThatIsWrong: one that is behind makes nobody late or early.
func TestKeeper_ALeadersClockThatIsWrong(t *testing.T) {
	for _, off := range []time.Duration{-time.Hour, time.Hour} {
		inBubble(t, func(r *rig) {
			at := wire.Millis(time.Now().Add(off).UnixMilli())
			r.cluster.last["c"] = 1
			r.feed(wire.Event{Kind: wire.EventMessage, ChatID: "c", At: at, Message: &wire.Message{ChatID: "c", Seq: 1, SenderID: "ann", SentAt: at}})
			r.ack("c", "cid", true)
			r.after(10 * time.Second)
			r.want("5s bob/phone c-1 x1")
		})
	}
}

func TestKeeper_SequencersThatAreAway(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.say("c", "ann", "hello")
		r.cluster.mu.Lock()
		r.cluster.down = true
		r.cluster.mu.Unlock()
		r.after(time.Minute)
		r.want()
		if r.committed() != 0 {
			t.Error("something was committed")
		}
		r.cluster.mu.Lock()
		r.cluster.down = false
		r.cluster.mu.Unlock()
		r.after(20 * time.Second)
		r.mu.Lock()
		if len(r.told) != 2 {
			t.Errorf("told %v", r.told)
		}
		r.mu.Unlock()
		if got := r.committed(); got != r.offset {
			t.Errorf("committed %d, want %d", got, r.offset)
		}
	})
}

// TestKeeper_TooManyChatsStopTheFeed: over the bound the feed waits, and nothing is lost.
func TestKeeper_TooManyChatsStopTheFeed(t *testing.T) {
	inBubble(t, func(r *rig) {
		for i := range 3 {
			r.chat(fmt.Sprint("x", i), "ann", "bob")
			r.say(fmt.Sprint("x", i), "ann", "hello")
		}
		select {
		case r.keeper.pages <- page{}:
			t.Error("the feed is read though too much waits")
		default:
		}
		r.after(6 * time.Second)
		r.say("x0", "ann", "again")
		r.after(6 * time.Second)
		r.want("5s bob/phone x0-1 x1", "5s bob/phone x1-1 x1", "5s bob/phone x2-1 x1", "11s bob/phone x0-2 x2")
	}, func(c *Config) { c.Limits.Chats = 3 })
}

// TestKeeper_RemembersNoMoreMembersThanItMay has many chats in turn, and looks again at those that were forgotten.
func TestKeeper_RemembersNoMoreMembersThanItMay(t *testing.T) {
	inBubble(t, func(r *rig) {
		for round := range 2 {
			for i := range 50 {
				chat := fmt.Sprint("x", i)
				if round == 0 {
					r.chat(chat, "ann", "bob")
				}
				r.say(chat, "ann", "hello")
				r.ack(chat, "bob", true)
				r.after(6 * time.Second)
				if n := r.keeper.members + len(r.keeper.chats); n > 30+3 {
					t.Fatalf("%d members and chats are remembered", n)
				}
			}
		}
		r.want()
		if r.cluster.looks != 100 {
			t.Errorf("%d looks", r.cluster.looks)
		}
	}, func(c *Config) { c.Limits.Members = 30 })
}
