//go:build linux

package chaos

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// TestMinority_RefusesWrites cuts a leader off from its followers but not from its clients. They must be refused, by it
// and by nobody else: the others carry on. It may tell what it has to those who ask for just that, and to nobody as the
// present state.
func TestMinority_RefusesWrites(t *testing.T) {
	needs(t, modeShort)
	c := start(t, setup{nodes: 3, groups: 2})
	l := startLoad(c)
	c.spread()
	l.awaitRate()
	at, _ := c.leaders()
	victim, group := c.nodes[at[0]], 0
	chat := l.chatOf(group)
	cut(t, victim, isolated, c.others(victim.i)...)
	await(t, "the leader that is cut off to step down", func() bool {
		all, ok := c.ask(victim.i)
		return ok && !all[group].serving
	})
	l.awaitAll(20) // the majority carries on, and what it says is news to the minority
	for n := range 50 {
		err := c.appendAt(victim, chat, fmt.Sprintf("lonely-%d", n), 2*time.Second)
		if err == nil {
			t.Fatalf("a node without a majority acknowledged a message")
		}
		if !isRefusal(err) {
			t.Errorf("a node without a majority answers %v", err)
		}
	}
	if err := c.readAt(victim, chat); err == nil {
		t.Error("a node without a majority answers a read as if it knew the present state")
	}
	if err := c.readAt(victim, chat, "STALE"); err != nil {
		t.Errorf("a node without a majority does not tell what it has, to one who asks for that: %v", err)
	}
	if heal(t, victim) == 0 {
		t.Error("no packet was dropped: the fault did not happen")
	}
	c.awaitCaughtUp(victim.i)
	l.awaitAll(5)
	c.verify(l) // fails where one of the refused messages is there: nobody but this test has sent it
}

// readAt reads the first message of a chat at one node.
func (c *cluster) readAt(n *node, chat string, options ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := c.client.DoNode(ctx, n.respAddr(), append([]string{"CHAT.RANGE", chat, "1", "1"}, options...)...)
	return err
}

// chatOf gives a chat of a group.
func (l *load) chatOf(group int) string {
	for _, chat := range l.chats {
		if l.groupOf[chat] == group {
			return chat
		}
	}
	return ""
}
