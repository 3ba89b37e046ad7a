//go:build linux

package chaos

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/delivery/deliverytest"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// awaitHome waits until every user is at the node that he began with, and every feed is read by one node, each node reading some: so that
// a fault hits what it is to hit.
func (d *tier) awaitHome() {
	d.t.Helper()
	await(d.t, "every user to be at his own node", d.crowd.GoHome)
	awaitSharedOut(d.t, d.edges, d.setup.groups)
}

// awaitTalk waits until the crowd has had enough messages acknowledged in a second: a fault that hits an idle tier shows nothing.
func (d *tier) awaitTalk() {
	d.t.Helper()
	await(d.t, fmt.Sprintf("%d acknowledgements in a second", enough), func() bool {
		before, _ := d.crowd.Record.Acks()
		began := time.Now()
		time.Sleep(time.Second)
		after, _ := d.crowd.Record.Acks()
		return float64(after-before) >= enough*time.Since(began).Seconds()
	})
}

// awaitShown waits until every one of the users has been shown n messages from now on.
func (d *tier) awaitShown(n int, users []string) {
	d.t.Helper()
	from := d.now()
	await(d.t, "users to be shown messages", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, user := range users {
			if shown := d.shown[user]; len(shown) < n || shown[len(shown)-n] < from {
				return false
			}
		}
		return true
	})
}

// at lists the users who are at one of the nodes now, or at none of them.
func (d *tier) at(nodes []*node, there bool) (users []string) {
	for _, t := range d.crowd.Talkers {
		found := false
		for _, n := range nodes {
			found = found || t.At() == n.i
		}
		if found == there {
			users = append(users, t.User)
		}
	}
	return users
}

// verify has the crowd fall silent, checks everything, and lets it talk again. Every node must be up, and nothing cut.
func (d *tier) verify() {
	d.t.Helper()
	for _, fault := range d.faults() {
		d.t.Error(fault)
	}
	if d.t.Failed() {
		d.t.FailNow() // what follows would only say so again
	}
	d.crowd.Talk(true)
}

// faults has the crowd fall silent and tells which promises are broken: every message is acknowledged and stands in its chat's log as the
// sender was told, every user was shown exactly the logs, and receipts have come to the ends of the logs, with the sequencers as with every user.
func (d *tier) faults() []string {
	d.t.Helper()
	d.crowd.Talk(false)
	await(d.t, "every message to be acknowledged", d.crowd.Quiet)
	await(d.t, "every user to be connected", func() bool {
		for _, t := range d.crowd.Talkers {
			if t.At() < 0 {
				return false
			}
		}
		return true
	})
	d.lastWords() // whatever was missed for want of a connection, this all see, and what comes of it
	logs := sequencertest.Verify(d.t, d.client, d.crowd.Record)
	await(d.t, "every user to be shown every message", func() bool { return d.crowd.ShownAll(logs) })
	faults := d.crowd.Check(logs)
	if len(faults) == 0 {
		d.awaitRead(logs)
		faults = d.crowd.Audience.Faults()
	}
	return faults
}

// awaitRead waits until receipts have come to the ends of the logs, or broken a promise.
func (d *tier) awaitRead(logs map[string][]wire.Message) {
	d.t.Helper()
	for deadline := time.Now().Add(settle); len(d.crowd.Audience.Faults()) == 0; time.Sleep(50 * time.Millisecond) {
		missing := d.unread(logs)
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("waited %v in vain for receipts: %s", settle, missing)
		}
	}
}

// lastWords has each member of each chat send one more message to it.
func (d *tier) lastWords() {
	d.t.Helper()
	acked, _ := d.crowd.Record.Acks()
	var sending sync.WaitGroup
	for chat, members := range d.crowd.Members() {
		sending.Go(func() {
			for _, user := range members {
				d.lastWord(wire.AppendRequest{
					ChatID: chat, SenderID: user, ClientMessageID: fmt.Sprintf("last-%s-%d", chat, acked), Text: "is everybody here?",
				})
			}
		})
	}
	sending.Wait()
}

func (d *tier) lastWord(q wire.AppendRequest) {
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	d.crowd.Record.Begin(q.ChatID, q.SenderID, q.ClientMessageID, q.Text)
	ack, err := d.client.Append(ctx, q)
	if err != nil {
		d.t.Errorf("the last message to %s: %v", q.ChatID, err)
		return
	}
	d.crowd.Record.Acked(q.ChatID, q.SenderID, q.ClientMessageID, ack.Seq, ack.Lamport)
}

// unread tells of a member who has not read a chat to its end, as the sequencers have it, or of one who was not told that another has read
// his last message; "" where all have, and were.
func (d *tier) unread(logs map[string][]wire.Message) string {
	for chat, members := range d.crowd.Members() {
		end := wire.Seq(len(logs[chat]))
		marks, err := d.marks(chat)
		if err != nil {
			return err.Error()
		}
		last := map[string]wire.Seq{} // each sender's
		for i := range logs[chat] {
			last[logs[chat][i].SenderID] = logs[chat][i].Seq
		}
		for _, user := range members {
			if m := marks[user]; m.Delivered != end || m.Read != end {
				return fmt.Sprintf("%s is at %+v of %s, which has %d messages", user, m, chat, end)
			}
			for _, member := range members {
				if m := d.crowd.Audience.Knows(user, chat, member); m.Read < last[user] {
					return fmt.Sprintf("%s knows of %s that he is at %+v of %s, and has sent message %d", user, member, m, chat, last[user])
				}
			}
		}
	}
	return ""
}

// marks gives how far each member of a chat is, as the sequencers have it.
func (d *tier) marks(chat string) (map[string]deliverytest.Marks, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	list, err := d.client.Receipts(ctx, chat, 0, "")
	marks := map[string]deliverytest.Marks{}
	for i := range list {
		marks[list[i].UserID] = deliverytest.Marks{Delivered: list[i].Delivered, Read: list[i].Read}
	}
	return marks, err
}

// watchMarks looks all the while, chat by chat, that no member's marks go back at the sequencers. It ends with the test.
func (d *tier) watchMarks() {
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(time.Second / reads)
		defer tick.Stop()
		last := map[string]map[string]deliverytest.Marks{}
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			chat := fmt.Sprintf("chat-%d", n%chatCount)
			marks, err := d.marks(chat)
			if err != nil {
				continue // a leader that is away
			}
			for user, m := range marks {
				if before := last[chat][user]; m.Delivered < before.Delivered || m.Read < before.Read {
					d.crowd.Audience.Complain("%s is at %+v of %s, after %+v", user, m, chat, before)
				}
			}
			last[chat] = marks
		}
	})
	d.t.Cleanup(func() { close(stop); watch.Wait() })
}

// checkTheCheck plants a bug in one client, which takes a message for shown that it does not show, and demands that the check tells.
func (d *tier) checkTheCheck(t *testing.T) {
	d.planted.Store(true)
	await(t, "the planted bug to strike", func() bool { return !d.planted.Load() })
	faults := strings.Join(d.faults(), "\n")
	if !strings.Contains(faults, d.crowd.Talkers[0].User+" was shown ") || !strings.Contains(faults, " comes next") {
		t.Errorf("a client has missed a message, and the check found %q", faults)
	}
}
