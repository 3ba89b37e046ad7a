package sequencer_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// listed gives the names of the chats in a user's list, or false where the list could not be read just now.
func listed(t *testing.T, client *wire.Client, user string) (map[string]bool, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	lines, _, err := client.UserChats(ctx, user, "", 100)
	if err != nil && !wire.Temporary(err) {
		t.Fatalf("the list of %s: %v", user, err)
	}
	chats := map[string]bool{}
	for _, line := range lines {
		chats[line.ChatID] = true
	}
	return chats, err == nil
}

// awaitListed waits until the chat is, or is not, in the lists of all these users.
func awaitListed(t *testing.T, c *sequencertest.Cluster, client *wire.Client, chat string, want bool, users ...string) {
	t.Helper()
	for _, user := range users {
		c.Eventually(fmt.Sprintf("%s in the list of %s to be %v", chat, user, want), func() bool {
			chats, ok := listed(t, client, user)
			return ok && chats[chat] == want
		})
	}
}

func changeMembers(t *testing.T, client *wire.Client, chat string, add, remove []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := client.ChangeMembers(ctx, chat, "", add, remove); err != nil {
		t.Fatalf("change the members of %s: %v", chat, err)
	}
}

// TestOutbox_ListsFollowMembership has the users' groups led by different nodes, so that changes go both ways: straight
// into a group, and over RESP.
func TestOutbox_ListsFollowMembership(t *testing.T) {
	c := sequencertest.Start(t, 3, 4)
	client := c.Client()
	users := sequencertest.Names("user", wire.MaxMembers)
	sequencertest.MakeChats(t, client, users, "big")
	awaitListed(t, c, client, "big", true, users...)

	changeMembers(t, client, "big", nil, []string{"user-1", "user-2"})
	awaitListed(t, c, client, "big", false, "user-1", "user-2")
	changeMembers(t, client, "big", []string{"user-1"}, nil)
	changeMembers(t, client, "big", nil, []string{"user-1"})
	changeMembers(t, client, "big", []string{"user-1", "other"}, nil)
	awaitListed(t, c, client, "big", true, "user-1", "other", "user-3")
	awaitListed(t, c, client, "big", false, "user-2")
	c.Eventually("the outbox to be empty", func() bool {
		group := wire.GroupOf(wire.SlotOf("big"), 4)
		records, err := c.Node(c.Leader(group)).Store(group).Outbox(1)
		return err == nil && len(records) == 0
	})
}

// TestOutbox_SurvivesItsLeader kills nodes one after the other while chats are made; whoever leads next delivers what the
// last one left.
func TestOutbox_SurvivesItsLeader(t *testing.T) {
	c := sequencertest.Start(t, 3, 4)
	client := c.Client()
	users, chats := sequencertest.Names("user", 12), sequencertest.Names("chat", 15)
	for i, chat := range chats {
		sequencertest.MakeChats(t, client, users, chat)
		if i%5 == 4 {
			down := c.Leader(wire.GroupOf(wire.SlotOf(chat), 4))
			c.Kill(down)
			sequencertest.MakeChats(t, client, users, "while-down-"+chat)
			c.Restart(down)
		}
	}
	for _, chat := range chats {
		awaitListed(t, c, client, chat, true, users...)
	}
	for _, i := range []int{4, 9, 14} {
		awaitListed(t, c, client, "while-down-"+chats[i], true, users...)
	}
}
