//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// verify halts the load and checks what it left: every acknowledged message at its seq, dense, once, in the order of time,
// on every replica alike. Every node must be up, and nothing cut.
func (c *cluster) verify(l *load) {
	c.t.Helper()
	l.halt()
	c.compare(sequencertest.Verify(c.t, l.client, l.record))
}

// compare waits until every node's own replica holds the logs, and holds them against each other.
func (c *cluster) compare(logs map[string][]wire.Message) {
	c.t.Helper()
	for _, n := range c.nodes {
		held := c.held(n.i)
		for chat, want := range logs {
			if !held[wire.GroupOf(wire.SlotOf(chat), c.setup.groups)] {
				continue
			}
			var got []wire.Message
			await(c.t, fmt.Sprintf("%s to hold all %d messages of %s", n.id, len(want), chat), func() bool {
				var err error
				got, err = c.replica(n, chat, len(want))
				return err == nil && len(got) >= len(want)
			})
			if err := sameLog(got, want); err != nil {
				c.t.Errorf("%s: %s: %v", n.id, chat, err)
			}
		}
	}
}

// held tells which groups node i has a replica of.
func (c *cluster) held(i int) []bool {
	c.t.Helper()
	held := make([]bool, c.setup.groups)
	await(c.t, c.nodes[i].id+" to tell what it holds", func() bool {
		all, ok := c.ask(i)
		for g := range all {
			held[g] = all[g].held
		}
		return ok
	})
	return held
}

// replica reads a chat as one node has it, with nobody asked whether that is all.
func (c *cluster) replica(n *node, chat string, size int) ([]wire.Message, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	log := make([]wire.Message, 0, size)
	for from := uint64(1); from != 0; {
		r, err := c.client.DoNode(ctx, n.respAddr(), "CHAT.RANGE", chat, fmt.Sprint(from), fmt.Sprint(wire.MaxPage), "STALE")
		if err != nil {
			return nil, err
		}
		for _, m := range r.Field("messages").Elems() {
			log = append(log, wire.Message{
				ChatID: chat, Seq: wire.Seq(m.Field("seq").Num()), SenderID: m.Field("senderId").Str(),
				ClientMessageID: m.Field("clientMessageId").Str(), Text: m.Field("text").Str(),
				SentAt: wire.Millis(m.Field("sentAt").Num()), Lamport: wire.Lamport(m.Field("lamport").Num()),
			})
		}
		from = r.Field("next").Num()
	}
	return log, nil
}

func sameLog(got, want []wire.Message) error {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Errorf("at place %d: has %+v, the leader has %+v", i+1, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("has %d messages, the leader has %d", len(got), len(want))
	}
	return nil
}

// appendAt offers one message to one node and nowhere else.
func (c *cluster) appendAt(n *node, chat, id string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	_, err := c.client.DoNode(ctx, n.respAddr(), "CHAT.APPEND", chat, "user-1", id, "to one node alone")
	return err
}

// isRefusal reports whether an error is one that a node which cannot reach a majority may give to a write.
func isRefusal(err error) bool {
	var moved *wire.MovedError
	return errors.As(err, &moved) || errors.Is(err, wire.ErrTryAgain) || errors.Is(err, wire.ErrClusterDown) ||
		errors.Is(err, wire.ErrUnknown)
}
