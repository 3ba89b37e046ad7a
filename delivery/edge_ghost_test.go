package delivery

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/quorate/quorate/sequencer/sequencertest"
)

// TestGhost_IsShownToNobody gives a user a line in his chat list of a chat that is not there, as a restored cluster may have: its groups were
// saved at different times (backup/DESIGN.md). It must be in no list and harm no session, and be a chat like others once somebody makes it.
func TestGhost_IsShownToNobody(t *testing.T) {
	c := sequencertest.Start(t, 1, 1)
	e := openEdge(t, c.Addrs())
	ann, bob, ghost := fresh("ann"), fresh("bob"), fresh("ghost")
	chat := e.listed(ann, bob)
	for _, user := range []string{ann, bob} {
		if _, err := c.Client().DoNode(t.Context(), c.Addrs()[0], "USER.PUTCHAT", user, ghost, "group", "a ghost", "1", "1"); err != nil {
			t.Fatal(err)
		}
	}

	d := e.dialPath(ann, "/stream")
	welcome := d.hello(fresh("dev"), fmt.Sprintf(`{%q:7}`, ghost)) // she had read some of it
	d.awaitType("caughtUp")
	if got := chatIDs(welcome["chats"]); !slices.Equal(got, []string{chat}) {
		t.Errorf("welcome names %q", got)
	}
	if got := chatIDs(e.must(ann, "GET", "/chats", "", http.StatusOK).json()["chats"]); !slices.Equal(got, []string{chat}) {
		t.Errorf("the list names %q", got)
	}
	e.must(ann, "GET", "/chats/"+ghost+"/messages", "", http.StatusNotFound)
	e.must(ann, "POST", "/chats/"+ghost+"/messages", `{"text":"boo","clientMessageId":"b"}`, http.StatusNotFound)
	d.send(fmt.Sprintf(`{"type":"ack","chatId":%q,"seq":3}`, ghost))
	e.post(bob, chat, "hello")
	d.awaitSeqs(chat, 1, 1)

	e.must(bob, "POST", "/chats", fmt.Sprintf(`{"type":"group","chatId":%q,"members":[%q,%q]}`, ghost, ann, bob), http.StatusCreated)
	e.post(bob, ghost, "no ghost")
	d.awaitSeqs(ghost, 1, 1)
	eventually(t, "the chat to be in the list", func() bool {
		return len(chatIDs(e.must(ann, "GET", "/chats", "", http.StatusOK).json()["chats"])) == 2
	})
}

// chatIDs are the chatId of each in a list.
func chatIDs(list any) (ids []string) {
	all, _ := list.([]any)
	for _, one := range all {
		if m, ok := one.(map[string]any); ok {
			ids = append(ids, fmt.Sprint(m["chatId"]))
		}
	}
	return ids
}
