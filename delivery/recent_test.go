package delivery

import (
	"fmt"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

func recentOf(r *recent, chat string, seqs ...int) {
	for _, seq := range seqs {
		r.add(&message{Message: &wire.Message{ChatID: chat, Seq: wire.Seq(seq), Text: "x"}})
	}
}

func TestRecent_GivesOnlyWhatIsThereWithoutAHole(t *testing.T) {
	r := newRecent(1 << 20)
	recentOf(r, "tea", 5, 6, 7, 7, 6, 8)
	recentOf(r, "milk", 1, 2, 9, 10)
	for _, row := range []struct {
		chat       string
		from, upTo wire.Seq
		count, got int // got -1: not there
	}{
		{"tea", 5, 8, 10, 4},
		{"tea", 6, 7, 10, 3},
		{"tea", 5, 8, 2, 2},
		{"tea", 8, 8, 10, 1},
		{"tea", 4, 8, 10, -1},
		{"tea", 5, 9, 10, -1},
		{"tea", 9, 9, 10, -1},
		{"milk", 1, 10, 10, -1},
		{"milk", 9, 10, 10, 2},
		{"none", 1, 1, 10, -1},
	} {
		page, ok := r.page(row.chat, row.from, row.upTo, row.count)
		if ok != (row.got >= 0) || ok && (len(page) != row.got || page[0].seq != row.from) {
			t.Errorf("%+v: %d messages, %v", row, len(page), ok)
		}
	}
}

func TestRecent_StaysWithinItsBytes(t *testing.T) {
	const most = 200 << 10
	r := newRecent(most)
	for seq := 1; seq <= 500; seq++ {
		for chat := range 20 {
			recentOf(r, fmt.Sprint("chat", chat), seq)
		}
		if r.size() > most+recentRun*1024 {
			t.Fatalf("%d bytes are kept", r.size())
		}
	}
	if page, ok := r.page("chat19", 500, 500, 1); !ok || len(page) != 1 {
		t.Error("the last message is not there")
	}
}

// TestStream_ThoseWhoComeBackAreServedFromMemory has a user come back while another one stayed, so that the node has what he missed.
func TestStream_ThoseWhoComeBackAreServedFromMemory(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	ann, bob := fresh("ann"), fresh("bob")
	id := e.group(ann, bob)
	stays := e.dial(ann)
	goes := e.dial(bob)
	e.post(ann, id, "both hear it")
	stays.awaitSeqs(id, 1, 1)
	goes.awaitSeqs(id, 1, 1)
	_ = goes.ws.CloseNow()
	for range 50 {
		e.post(ann, id, "he is not there")
	}
	stays.awaitSeqs(id, 2, 51)
	hits, pulls := e.recent.hits.Load(), e.stats.pulls.Load()
	back := e.dialPath(bob, "/stream")
	back.hello("back", `{"`+id+`":2}`)
	back.awaitSeqs(id, 2, 51)
	back.awaitType("caughtUp")
	if got, pages := e.recent.hits.Load()-hits, e.stats.pulls.Load()-pulls; got == 0 || got != pages {
		t.Errorf("%d of %d pages were in memory", got, pages)
	}
	e.post(ann, id, "live again")
	back.awaitSeqs(id, 52, 52)
}

// TestStream_MemoryShowsNobodyWhatHeMayNotRead has a user leave and come back into a chat, and ask from before that.
func TestStream_MemoryShowsNobodyWhatHeMayNotRead(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	ann, bob := fresh("ann"), fresh("bob")
	id := e.group(ann, bob)
	stays := e.dial(ann)
	e.post(ann, id, "1: he may read it")
	e.must(ann, "POST", "/chats/"+id+"/members", `{"remove":["`+bob+`"]}`, 200)
	e.post(ann, id, "2: he may not")
	e.must(ann, "POST", "/chats/"+id+"/members", `{"add":["`+bob+`"]}`, 200)
	e.post(ann, id, "3: he may")
	stays.awaitSeqs(id, 1, 3)
	back := e.dialPath(bob, "/stream")
	back.hello("back", `{"`+id+`":1}`)
	back.awaitSeqs(id, 1, 1)
	back.awaitSeqs(id, 3, 3)
}

// TestStream_FiveThousandMissed has a user miss 5,000 messages of three chats, and get them in order while he acknowledges.
func TestStream_FiveThousandMissed(t *testing.T) {
	if testing.Short() {
		t.Skip("5,000 messages")
	}
	const chats, each = 3, 1667
	e := openEdge(t, startCluster(t, 3))
	ann, bob := fresh("ann"), fresh("bob")
	var ids []string
	for range chats {
		id := e.group(ann, bob)
		ids = append(ids, id)
		done := make(chan error, each)
		for n := range each {
			e.seq.AppendAsync(patience, wire.AppendRequest{ChatID: id, SenderID: ann, ClientMessageID: fmt.Sprint("c", n), Text: fmt.Sprint(n)},
				func(_ wire.AppendAck, err error) { done <- err })
		}
		for range each {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}
	d := e.dialPath(bob, "/stream")
	d.hello("d", fmt.Sprintf(`{%q:1,%q:1,%q:1}`, ids[0], ids[1], ids[2]))
	next := map[string]int64{}
	for total := 0; total < chats*each; total++ {
		m := d.awaitType("message")
		id := m["chatId"].(string)
		if got := number(m["sequenceNumber"]); got != next[id]+1 {
			t.Fatalf("message %d of %s after %d", got, id, next[id])
		}
		if next[id]++; next[id]%100 == 0 {
			d.send(fmt.Sprintf(`{"type":"ack","chatId":%q,"seq":%d}`, id, next[id]))
		}
	}
	d.awaitType("caughtUp")
}
