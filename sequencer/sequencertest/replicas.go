package sequencertest

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/wire"
)

// VerifyReplicas waits until every node that is up has applied the given logs, of the groups that it holds, and compares
// what each of them has.
func (c *Cluster) VerifyReplicas(logs map[string][]wire.Message) {
	c.t.Helper()
	for i, n := range c.nodes {
		if n == nil {
			continue
		}
		for chat, want := range logs {
			if n.Store(wire.GroupOf(wire.SlotOf(chat), n.Groups())) == nil {
				continue
			}
			var got []wire.Message
			c.Eventually(fmt.Sprintf("node %d to hold all of %s", i, chat), func() bool {
				var err error
				got, err = localLog(n, chat)
				if err != nil && !errors.Is(err, wire.ErrNoChat) && !errors.Is(err, wire.ErrTryAgain) {
					c.t.Fatalf("node %d: read %s: %v", i, chat, err)
				}
				return len(got) >= len(want)
			})
			if err := sameLog(got, want); err != nil {
				c.t.Errorf("node %d: %s: %v", i, chat, err)
			}
		}
	}
}

// localLog reads a chat from one node's replica.
func localLog(n *sequencer.Node, chat string) ([]wire.Message, error) {
	store := n.Store(wire.GroupOf(wire.SlotOf(chat), n.Groups()))
	var log []wire.Message
	for {
		page, err := store.Range(chat, wire.Seq(len(log)+1), wire.MaxPage)
		if err != nil || len(page) == 0 {
			return log, err
		}
		log = append(log, page...)
	}
}

func sameLog(got, want []wire.Message) error {
	for i := range min(len(got), len(want)) {
		g, w := got[i], want[i]
		g.Trace = "" // CHAT.RANGE does not tell it
		if g != w {
			return fmt.Errorf("at place %d: has %+v, the leader has %+v", i+1, g, w)
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("has %d messages, the leader has %d", len(got), len(want))
	}
	return nil
}
