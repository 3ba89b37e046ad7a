package delivery

import (
	"bufio"
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/delivery/relay"
	"github.com/quorate/quorate/sequencer/wire"
)

// runRig is an edge with the sessions of two members of a chat, to which messages are dispatched that no sequencer knows.
type runRig struct {
	*edge
	ann, bob string
	chat     *wire.Chat
	out      *dispatcher
}

func newRunRig(t *testing.T) *runRig {
	r := &runRig{edge: openEdge(t, startCluster(t, 1)), ann: fresh("ann"), bob: fresh("bob")}
	r.chat = r.chatOf(r.listed(r.ann, r.bob))
	r.out = newDispatcher(r.hub)
	return r
}

// chatOf is a chat that both may read from its start.
func (r *runRig) chatOf(id string) *wire.Chat {
	all := []wire.Interval{{From: 1}}
	return &wire.Chat{ChatID: id, Members: []wire.Member{{UserID: r.ann, Intervals: all}, {UserID: r.bob, Intervals: all}}}
}

// messages dispatches messages first to last.
func (r *runRig) messages(chat *wire.Chat, first, last wire.Seq, text string) {
	for seq := first; seq <= last; seq++ {
		r.out.event(chat, &wire.Event{Kind: wire.EventMessage, ChatID: chat.ChatID, Message: &wire.Message{
			ChatID: chat.ChatID, Seq: seq, SenderID: r.ann, ClientMessageID: fresh("c"), Text: text,
		}}, 0)
	}
}

// pieces counts what is queued for the only session of a user.
func (r *runRig) pieces(user string) int {
	r.t.Helper()
	sessions := r.registry.sessions(user)
	if len(sessions) != 1 {
		r.t.Fatalf("%d sessions of %s", len(sessions), user)
	}
	c := sessions[0].c
	c.mu.Lock()
	defer c.mu.Unlock()
	var frames [2 * runMessages][]byte
	return len(c.out.peek(frames[:]))
}

// follows tells whether a session gets what is dispatched in a chat at once.
func (r *runRig) follows(s *session, chat string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == stateLive && s.busy[chat] == nil && s.positions.find(chat) != nil
}

// TestRun_Pieces tells what leaves together.
func TestRun_Pieces(t *testing.T) {
	r := newRunRig(t)
	d := r.dial(r.ann)
	other := r.chatOf(r.listed(r.ann, r.bob))
	long := strings.Repeat("x", runBytes/2+1)
	next, nextOther := wire.Seq(1), wire.Seq(1)
	say := func(n int, text string) {
		r.messages(r.chat, next, next+wire.Seq(n)-1, text)
		next += wire.Seq(n)
	}
	for name, test := range map[string]struct {
		dispatch func()
		want     int
	}{
		"one":                      {func() { say(1, "hi") }, 1},
		"five in a row":            {func() { say(5, "hi") }, 1},
		"more than a run may have": {func() { say(runMessages+1, "hi") }, 2},
		"long ones":                {func() { say(3, long) }, 3},
		"another chat between": {func() {
			say(2, "hi")
			r.messages(other, nextOther, nextOther, "here")
			nextOther++
			say(2, "hi")
		}, 3},
		"a receipt between": {func() {
			say(2, "hi")
			r.out.event(r.chat, &wire.Event{
				Kind: wire.EventReceipt, ChatID: r.chat.ChatID, Marks: &wire.Watermarks{UserID: r.bob, Delivered: next - 1},
			}, 0)
			say(2, "hi")
		}, 3},
		"other members": {func() {
			say(2, "hi")
			r.chat = r.chatOf(r.chat.ChatID)
			say(2, "hi")
		}, 2},
	} {
		first := next
		test.dispatch()
		r.out.endRun()
		if got := r.pieces(r.ann); got != test.want {
			t.Errorf("%s: %d pieces, want %d", name, got, test.want)
		}
		r.out.flush()
		d.awaitSeqs(r.chat.ChatID, int64(first), int64(next)-1)
	}
}

// TestRun_WhoStandsWithinIt has sessions that have some of a run, and members who may read some of it.
func TestRun_WhoStandsWithinIt(t *testing.T) {
	r := newRunRig(t)
	id := r.chat.ChatID
	stands := func(user string, next wire.Seq) {
		s := r.registry.sessions(user)[0]
		s.mu.Lock()
		defer s.mu.Unlock()
		s.positions.set(id, next)
	}
	ann, bob, plain := r.dial(r.ann), r.dial(r.bob), r.dialPath(r.bob, "/chats/"+id+"/stream?cursor=1")
	eventually(t, "all to be live", func() bool {
		both := r.registry.sessions(r.bob)
		return len(both) == 2 && r.follows(both[0], id) && r.follows(both[1], id) && r.follows(r.registry.sessions(r.ann)[0], id)
	})
	stands(r.ann, 3)

	r.messages(r.chat, 1, 5, "for all")
	r.out.flush()
	ann.awaitSeqs(id, 3, 5)
	bob.awaitSeqs(id, 1, 5)
	plain.awaitSeqs(id, 1, 5)
	if !r.follows(r.registry.sessions(r.ann)[0], id) {
		t.Error("something is under way for one who had some of it")
	}

	r.chat = r.chatOf(id)
	r.chat.Members[1].Intervals = []wire.Interval{{From: 1, To: 5}, {From: 8}} // he was away for 6 and 7
	r.messages(r.chat, 6, 9, "for some")
	for _, s := range r.registry.sessions(r.bob) {
		s.mu.Lock()
		s.positions.set(id, 8)
		s.mu.Unlock()
	}
	r.out.flush()
	ann.awaitSeqs(id, 6, 9)
	bob.awaitSeqs(id, 8, 9)
	plain.awaitSeqs(id, 8, 9)

	r.messages(r.chat, 1, 9, "again")
	r.messages(r.chat, 10, 10, "the next")
	r.out.flush()
	ann.awaitSeqs(id, 10, 10)
	bob.awaitSeqs(id, 10, 10)
	plain.awaitSeqs(id, 10, 10)
}

// TestRun_AtEdges: an item for each message goes to an edge, and there those that follow each other for the same users are a run again.
func TestRun_AtEdges(t *testing.T) {
	r := newRunRig(t)
	ann := r.dial(r.ann)
	r.dial(r.bob)
	eventually(t, "both to be live", func() bool {
		one, other := r.registry.sessions(r.ann), r.registry.sessions(r.bob)
		return len(one) == 1 && len(other) == 1 && r.follows(one[0], r.chat.ChatID) && r.follows(other[0], r.chat.ChatID)
	})
	both := []string{r.ann, r.bob}
	next := wire.Seq(1)
	said := func(n int, users ...string) (entries [][]byte) {
		p := messagePush(&wire.Message{ChatID: r.chat.ChatID, Seq: next, SenderID: r.ann})
		for i := 1; i < n; i++ {
			p.run.add(&wire.Message{ChatID: r.chat.ChatID, Seq: next + wire.Seq(i), SenderID: r.ann})
		}
		next += wire.Seq(n)
		for _, item := range p.forEdges() {
			entries = append(entries, relay.AppendEntry(nil, item, users))
		}
		return entries
	}
	receipt := func() []byte {
		return relay.AppendEntry(nil, relay.AppendItem(nil, &relay.Item{
			Kind: relay.ItemReceipt, ChatID: r.chat.ChatID, Marks: wire.Watermarks{UserID: r.bob, Delivered: next - 1},
		}), []string{r.ann})
	}
	for _, test := range []struct {
		what     string
		entries  [][]byte
		ann, bob int // pieces that leave
	}{
		{"in a row", said(5, both...), 1, 1},
		{"more than a run may have", said(runMessages+1, both...), 2, 2},
		{"a receipt between", slices.Concat(said(2, both...), [][]byte{receipt()}, said(2, both...)), 3, 2},
		{"some for fewer", slices.Concat(said(2, both...), said(2, r.ann), said(1, r.ann)), 2, 1},
	} {
		_, payload, _, err := relay.Read(bufio.NewReader(bytes.NewReader(relay.AppendBatch(nil, 1, test.entries))), nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := relay.DecodeBatch(payload)
		if err != nil || len(b.Entries) != len(test.entries) {
			t.Fatalf("%d entries, %v", len(b.Entries), err)
		}
		out := local{srv: r.Server}
		out.giveAll(b.Entries)
		if a, b := r.pieces(r.ann), r.pieces(r.bob); a != test.ann || b != test.bob {
			t.Errorf("%s: %d and %d pieces, want %d and %d", test.what, a, b, test.ann, test.bob)
		}
		out.flush()
	}
	ann.awaitSeqs(r.chat.ChatID, 1, int64(next)-1)
}
