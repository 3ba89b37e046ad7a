package raftfsm

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/sequencer/wire"
)

// modelChat is a chat as plain Go values: what the state machine must agree with.
type modelChat struct {
	messages  []wire.Message
	members   map[string][]wire.Interval
	former    map[string][]wire.Interval
	marks     map[string]wire.Watermarks
	reached   map[string][2][]wire.Millis // per member: when he reached seq i+1, delivered and read
	fromStart bool
	lamport   wire.Lamport
	version   uint64
}

type modelKey struct{ chat, sender, id string }

// model drives a machine and the plain values side by side.
type model struct {
	*machine
	rt    *rapid.T
	now   wire.Millis
	chats map[string]*modelChat
	known map[modelKey]wire.Message
	feed  []wire.EventKind
	seen  map[string]wire.Millis
	goOn  map[string]wire.Offset // of the feed's consumers
	push  map[string]*modelPush
}

var (
	modelUsers = []string{"a", "b", "d", "e"}
	modelChats = rapid.SampledFrom([]string{"c1", "c2"})
)

// A generated stream of commands leaves the store as simple code over slices and maps says it must be.
func TestFSM_AgreesWithASimpleModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{
			machine: tempMachine(t), rt: rt, now: 100, chats: map[string]*modelChat{}, known: map[modelKey]wire.Message{},
			seen: map[string]wire.Millis{}, goOn: map[string]wire.Offset{}, push: map[string]*modelPush{},
		}
		defer m.discard()
		rt.Repeat(map[string]func(*rapid.T){
			"create":  m.create,
			"append":  m.append,
			"members": m.members,
			"receipt": m.receipt,
			"see":     m.see,
			"commit":  m.commit,
			"device":  m.putDevice,
			"remove":  m.removeDevice,
			"mute":    m.mute,
			"crash":   func(*rapid.T) { m.flushAndCrash() },
			"":        m.compare,
		})
	})
}

// tick gives the time of the next entry. It goes back at times, as where the next leader's clock is behind.
func (m *model) tick(rt *rapid.T) wire.Millis {
	m.now += wire.Millis(rapid.Int64Range(-3, 10).Draw(rt, "later"))
	return m.now
}

func (m *model) flushAndCrash() {
	if err := m.store.db.Flush(); err != nil {
		m.rt.Fatal(err)
	}
	m.crash()
}

func (m *model) create(rt *rapid.T) {
	c := group(modelChats.Draw(rt, "chat"), "a", "b")
	c.HistoryFromStart = rapid.Bool().Draw(rt, "from start")
	r := m.one(m.tick(rt), c)
	if r.Fresh != (m.chats[c.ChatID] == nil) {
		rt.Fatalf("fresh is %v", r.Fresh)
	}
	if r.Fresh {
		whole := []wire.Interval{{From: 1}}
		m.chats[c.ChatID] = &modelChat{
			members: map[string][]wire.Interval{"a": whole, "b": slices.Clone(whole)}, former: map[string][]wire.Interval{},
			marks: map[string]wire.Watermarks{}, reached: map[string][2][]wire.Millis{}, fromStart: c.HistoryFromStart, version: 1,
		}
		m.feed = append(m.feed, wire.EventChat)
	}
}

func (m *model) append(rt *rapid.T) {
	c := say(modelChats.Draw(rt, "chat"), rapid.SampledFrom(modelUsers).Draw(rt, "sender"),
		fmt.Sprint(rapid.IntRange(0, 20).Draw(rt, "id")), rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "text"))
	c.Seen = wire.Lamport(rapid.Uint64Range(0, 30).Draw(rt, "seen"))
	now := m.tick(rt)
	r := m.do(now, c)[0]
	chat := m.chats[c.ChatID]
	was, known := m.known[modelKey{c.ChatID, c.SenderID, c.ClientMessageID}]
	switch {
	case chat == nil:
		m.mustFail(r, wire.ErrNoChat)
	case known && was.Text != c.Text:
		m.mustFail(r, wire.ErrConflict)
	case known:
		if want := (AppendResult{was.Seq, was.SentAt, was.Lamport, true}); r.Append != want || r.Err != nil {
			rt.Fatalf("a retry got %+v, want %+v", r, want)
		}
	case chat.members[c.SenderID] == nil:
		m.mustFail(r, wire.ErrNotMember)
	default:
		chat.lamport = max(chat.lamport, c.Seen) + 1
		sent := wire.Message{
			ChatID: c.ChatID, Seq: wire.Seq(len(chat.messages) + 1), SenderID: c.SenderID, ClientMessageID: c.ClientMessageID,
			Text: c.Text, SentAt: now, Lamport: chat.lamport,
		}
		if n := len(chat.messages); n > 0 {
			sent.SentAt = max(now, chat.messages[n-1].SentAt)
		}
		if want := (AppendResult{sent.Seq, sent.SentAt, sent.Lamport, false}); r.Append != want || r.Err != nil {
			rt.Fatalf("got %+v, want %+v", r, want)
		}
		chat.messages = append(chat.messages, sent)
		m.known[modelKey{c.ChatID, c.SenderID, c.ClientMessageID}] = sent
		m.feed = append(m.feed, wire.EventMessage)
	}
}

func (m *model) mustFail(r Result, want error) {
	m.rt.Helper()
	if !errors.Is(r.Err, want) {
		m.rt.Fatalf("got %+v, want %v", r, want)
	}
}

func (m *model) members(rt *rapid.T) {
	some := rapid.SliceOfN(rapid.SampledFrom(modelUsers), 0, 3)
	c := ChangeMembers{ChatID: modelChats.Draw(rt, "chat"), Add: some.Draw(rt, "add"), Remove: some.Draw(rt, "remove")}
	r := m.do(m.tick(rt), c)[0]
	chat := m.chats[c.ChatID]
	if chat == nil {
		m.mustFail(r, wire.ErrNoChat)
		return
	}
	changed := false
	for _, user := range modelUsers {
		in := chat.members[user] != nil
		switch {
		case in && slices.Contains(c.Remove, user):
			chat.leave(user)
			changed = true
		case !in && slices.Contains(c.Add, user) && !slices.Contains(c.Remove, user):
			chat.join(user)
			changed = true
		}
	}
	if changed {
		chat.version++
		m.feed = append(m.feed, wire.EventMembers)
	}
}

func (c *modelChat) leave(user string) {
	intervals, last := c.members[user], wire.Seq(len(c.messages))
	open := &intervals[len(intervals)-1]
	if open.To = last; open.From > last {
		intervals = intervals[:len(intervals)-1]
	}
	c.former[user] = intervals
	delete(c.members, user)
}

func (c *modelChat) join(user string) {
	from := wire.Seq(len(c.messages) + 1)
	was := c.former[user]
	if c.fromStart {
		from, was = 1, nil
	}
	all := append(slices.Clone(was), wire.Interval{From: from})
	c.members[user] = all[max(0, len(all)-maxIntervals):]
}

// present gives a member's watermarks: one who joined is not behind with what was said before.
func (c *modelChat) present(user string) wire.Watermarks {
	marks, intervals := c.marks[user], c.members[user]
	marks.UserID = user
	floor := intervals[len(intervals)-1].From - 1
	marks.Delivered, marks.Read = max(marks.Delivered, floor), max(marks.Read, floor)
	return marks
}

func (m *model) receipt(rt *rapid.T) {
	seq := rapid.Uint64Range(0, 12)
	c := Receipt{
		ChatID: modelChats.Draw(rt, "chat"), UserID: rapid.SampledFrom(modelUsers).Draw(rt, "user"),
		Delivered: wire.Seq(seq.Draw(rt, "delivered")), Read: wire.Seq(seq.Draw(rt, "read")),
	}
	now := m.tick(rt)
	r := m.do(now, c)[0]
	chat := m.chats[c.ChatID]
	switch {
	case chat == nil:
		m.mustFail(r, wire.ErrNoChat)
		return
	case chat.members[c.UserID] == nil:
		m.mustFail(r, wire.ErrNotMember)
		return
	case max(c.Delivered, c.Read) > wire.Seq(len(chat.messages)):
		m.mustFail(r, wire.ErrBadRequest)
		return
	}
	before := chat.present(c.UserID)
	want, reached := before, chat.reached[c.UserID]
	raise := func(mark *wire.Seq, at *wire.Millis, to wire.Seq, times *[]wire.Millis) {
		if to > *mark {
			*mark, *at = to, max(now, *at)
			for wire.Seq(len(*times)) < to {
				*times = append(*times, *at)
			}
		}
	}
	raise(&want.Delivered, &want.DeliveredAt, max(c.Delivered, c.Read), &reached[0])
	raise(&want.Read, &want.ReadAt, c.Read, &reached[1])
	if want != before {
		chat.marks[c.UserID], chat.reached[c.UserID] = want, reached
		m.feed = append(m.feed, wire.EventReceipt)
	}
	if r.Err != nil || r.Marks != want {
		rt.Fatalf("got %+v, want %+v", r, want)
	}
}

func (m *model) see(rt *rapid.T) {
	user, ahead := rapid.SampledFrom(modelUsers).Draw(rt, "user"), rapid.Int64Range(-50, 300_010).Draw(rt, "ahead")
	now := m.tick(rt)
	r := m.do(now, Seen{UserID: user, At: max(0, now+wire.Millis(ahead))})[0]
	if ahead > 300_000 {
		m.mustFail(r, wire.ErrBadRequest)
		return
	}
	m.seen[user] = max(m.seen[user], now+wire.Millis(ahead))
	if r.Err != nil || wire.Millis(r.Value) != m.seen[user] {
		rt.Fatalf("got %+v, want %d", r, m.seen[user])
	}
}

func (m *model) commit(rt *rapid.T) {
	consumer, offset := rapid.SampledFrom(modelUsers).Draw(rt, "consumer"), wire.Offset(rapid.IntRange(0, 12).Draw(rt, "offset"))
	r := m.do(m.tick(rt), CommitFeed{Consumer: consumer, Offset: offset})[0]
	if offset == 0 || offset > wire.Offset(len(m.feed)+1) {
		m.mustFail(r, wire.ErrBadRequest)
		return
	}
	m.goOn[consumer] = max(m.goOn[consumer], offset)
	if r.Err != nil || wire.Offset(r.Value) != m.goOn[consumer] {
		rt.Fatalf("got %+v, want %d", r, m.goOn[consumer])
	}
}

// compareNumbers holds what only rises, by user and by consumer, against the model.
func (m *model) compareNumbers(rt *rapid.T) {
	for _, user := range modelUsers {
		if at, err := m.store.LastSeen(user); err != nil || at != m.seen[user] {
			rt.Fatalf("%s was last seen at %d, want %d: %v", user, at, m.seen[user], err)
		}
		if offset, err := m.store.Committed(user); err != nil || offset != m.goOn[user] {
			rt.Fatalf("consumer %s goes on at %d, want %d: %v", user, offset, m.goOn[user], err)
		}
	}
}

// compare holds everything that readers see against the model.
func (m *model) compare(rt *rapid.T) {
	m.compareNumbers(rt)
	m.comparePush(rt)
	for id, want := range m.chats {
		m.compareChat(rt, id, want)
	}
	events, _, err := m.store.Feed(1, 1<<20, 1<<30)
	if err != nil {
		rt.Fatal(err)
	}
	var kinds []wire.EventKind
	for i, e := range events {
		if kinds = append(kinds, e.Kind); e.Offset != wire.Offset(i+1) {
			rt.Fatalf("event %d has offset %d", i+1, e.Offset)
		}
	}
	if !slices.Equal(kinds, m.feed) {
		rt.Fatalf("the feed tells %v, want %v", kinds, m.feed)
	}
}

func (m *model) compareChat(rt *rapid.T, id string, want *modelChat) {
	chat, err := m.store.Chat(id)
	if err != nil {
		rt.Fatal(err)
	}
	var members []wire.Member
	var marks []wire.Watermarks
	for user, intervals := range want.members {
		members, marks = append(members, wire.Member{UserID: user, Intervals: intervals}), append(marks, want.present(user))
	}
	sort.Slice(members, func(i, j int) bool { return members[i].UserID < members[j].UserID })
	sort.Slice(marks, func(i, j int) bool { return marks[i].UserID < marks[j].UserID })
	if len(members)+len(chat.Members) > 0 && !reflect.DeepEqual(chat.Members, members) {
		rt.Fatalf("members of %s are %v, want %v", id, chat.Members, members)
	}
	if chat.LastSeq != wire.Seq(len(want.messages)) || chat.Lamport != want.lamport || chat.Version != want.version {
		rt.Fatalf("%s is %+v, want %+v", id, chat, want)
	}
	got, err := m.store.Watermarks(id)
	if err != nil || !slices.Equal(got, marks) {
		rt.Fatalf("watermarks of %s are %v, want %v: %v", id, got, marks, err)
	}
	for i := range marks { // what one member is told is what all are
		head, err := m.store.HeadFor(id, marks[i].UserID)
		if err != nil || head.Marks != marks[i] || !reflect.DeepEqual(head.Member, members[i]) || head.LastSeq != chat.LastSeq ||
			head.HotFrom != chat.HotFrom || head.Lamport != chat.Lamport {
			rt.Fatalf("%s stands for %s at %+v, want %+v: %v", id, marks[i].UserID, head, marks[i], err)
		}
	}
	page, err := m.store.Range(id, 1, 1<<20)
	if err != nil || !slices.Equal(page, want.messages) {
		rt.Fatalf("%s holds %v, want %v: %v", id, page, want.messages, err)
	}
	if err := m.store.Times(chat, page); err != nil {
		rt.Fatal(err)
	}
	for _, p := range page {
		if d, r := want.last(p, 0), want.last(p, 1); p.DeliveredAt != d || p.ReadAt != r {
			rt.Fatalf("%s:%d was delivered at %d and read at %d, want %d and %d", id, p.Seq, p.DeliveredAt, p.ReadAt, d, r)
		}
	}
}

// last tells when the last of the others reached a message: 0 delivered, 1 read.
func (c *modelChat) last(m wire.Message, kind int) (at wire.Millis) {
	for user, intervals := range c.members {
		if user == m.SenderID || !(wire.Member{Intervals: intervals}).Covers(m.Seq) {
			continue
		}
		times := c.reached[user][kind]
		if wire.Seq(len(times)) < m.Seq {
			return 0
		}
		at = max(at, times[m.Seq-1])
	}
	return at
}
