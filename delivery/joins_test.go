package delivery

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// TestJoins_AChatThatIsNotInTheListYet has a member come who does not find his newest chat in his list, at the node that reads its feed and
// at one that does not: he is shown what was said before he came.
func TestJoins_AChatThatIsNotInTheListYet(t *testing.T) {
	cluster := sequencertest.Start(t, 1, 2).Addrs()
	hub := openEdge(t, cluster, asHub)
	sharedOut(t, hub)
	for name, e := range map[string]*edge{"at the hub": hub, "at an edge": openEdge(t, cluster)} {
		ann, bob := fresh("ann"), fresh("bob")
		id := hub.listed(ann, bob)
		if _, err := e.seq.Do(context.Background(), bob, "USER.PUTCHAT", bob, id, string(wire.GroupChat), "", "99", "0"); err != nil {
			t.Fatal(err)
		}
		hub.post(ann, id, "before he came")
		there := e.dial(bob)
		there.await("the first message, "+name, func(m map[string]any) bool { return m["type"] == "message" && m["chatId"] == id })
		there.send(`{"type":"typing","chatId":"` + id + `"}`)
		hub.post(ann, id, "after it")
		m := there.await("what comes next", func(m map[string]any) bool { return m["type"] == "message" || m["type"] == "error" })
		if m["type"] != "message" || number(m["sequenceNumber"]) != 2 {
			t.Errorf("%s: %v", name, m)
		}
	}
}

func TestJoins_AreForgotten(t *testing.T) {
	j, now := newJoins(), time.Now()
	note := func(chat string, at time.Time, users ...string) {
		j.note(&wire.Event{Kind: wire.EventChat, ChatID: chat, Added: users}, at)
	}
	note("tea", now, "ann", "bob")
	note("cake", now.Add(joinsKept/2), "ann")
	if got := j.of("ann", now.Add(joinsKept/2)); !slices.Equal(got, []string{"tea", "cake"}) {
		t.Errorf("at once: %v", got)
	}
	if got := j.of("ann", now.Add(joinsKept+1)); !slices.Equal(got, []string{"cake"}) {
		t.Errorf("later: %v", got)
	}
	if got := j.of("bob", now.Add(joinsKept+1)); len(got) != 0 {
		t.Errorf("the other: %v", got)
	}
	for i := range joinsMost + 10 {
		note("many", now.Add(joinsKept+2), fmt.Sprint("user", i))
	}
	if len(j.recent) != joinsMost || len(j.chats) != joinsMost {
		t.Errorf("%d joins of %d users are kept", len(j.recent), len(j.chats))
	}
	if j.of("nobody", now.Add(3*joinsKept)); j.recent != nil || len(j.chats) != 0 {
		t.Errorf("%d joins of %d users are left", len(j.recent), len(j.chats))
	}
}
