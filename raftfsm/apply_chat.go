package raftfsm

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/quorate/quorate/sequencer/wire"
)

// maxIntervals bounds how many runs of membership are kept of one member; the oldest go first.
const maxIntervals = 16

func (t *txn) createChat(c CreateChat) Result {
	if err := checkCreate(c); err != nil {
		return Result{Err: err}
	}
	hash := creationHash(c)
	if ch := t.chat(c.ChatID); ch != nil {
		if !bytes.Equal(ch.creation, hash) {
			return Result{Err: fmt.Errorf("%w: the chat exists and is another one", wire.ErrConflict)}
		}
		return Result{Chat: ch.view()}
	}
	ch := &chat{
		id: c.ChatID,
		chatRecord: chatRecord{
			typ: c.Type, name: c.Name, creator: c.CreatorID, createdAt: t.now, historyFromStart: c.HistoryFromStart,
			creation: hash, version: 1,
		},
		counters: counters{hotFrom: 1},
	}
	for _, user := range c.Members {
		ch.members = append(ch.members, wire.Member{UserID: user, Intervals: []wire.Interval{{From: 1}}})
		t.leave(PutUserChat{UserID: user, Present: true, Chat: ch.line()})
	}
	t.fsm.cache.put(ch)
	t.putChat(ch)
	t.count(ch)
	t.emit(wire.Event{Kind: wire.EventChat, ChatID: c.ChatID, Version: 1, Added: c.Members, At: t.now})
	return Result{Chat: ch.view(), Fresh: true}
}

// creationHash tells whether two creations mean the same chat, which later changes of its members must not change.
func creationHash(c CreateChat) []byte {
	sum := sha256.Sum256(appendBody(nil, CreateChat{ChatID: c.ChatID, Type: c.Type, CreatorID: c.CreatorID, Members: c.Members}))
	return sum[:16]
}

// checkCreate defends what later code relies on; the surfaces have checked ids and names before.
func checkCreate(c CreateChat) error {
	n := len(c.Members)
	sorted := slices.IsSorted(c.Members) && len(slices.Compact(slices.Clone(c.Members))) == n
	switch {
	case !sorted || !slices.Contains(c.Members, c.CreatorID):
		return fmt.Errorf("%w: members must be sorted, without repeats, with the creator", wire.ErrBadRequest)
	case c.Type == wire.Direct && n != 2:
		return fmt.Errorf("%w: a direct chat has two members", wire.ErrBadRequest)
	case c.Type != wire.Direct && c.Type != wire.GroupChat:
		return fmt.Errorf("%w: unknown type of chat", wire.ErrBadRequest)
	case n > wire.MaxMembers:
		return fmt.Errorf("%w: at most %d members", wire.ErrTooLarge, wire.MaxMembers)
	}
	return checkIDs(append([]string{c.ChatID}, c.Members...)...)
}

// line is how the chat stands in its members' chat lists.
func (c *chat) line() wire.UserChat {
	return wire.UserChat{ChatID: c.id, Type: c.typ, Name: c.name, Version: c.version}
}

// view is the chat as readers see it. It shares nothing with c.
func (c *chat) view() *wire.Chat {
	v := &wire.Chat{
		ChatID: c.id, Type: c.typ, Name: c.name, CreatorID: c.creator, CreatedAt: c.createdAt,
		HistoryFromStart: c.historyFromStart, Version: c.version, LastSeq: c.lastSeq, HotFrom: c.hotFrom, Lamport: c.lamport,
		Members: make([]wire.Member, len(c.members)),
	}
	for i, m := range c.members {
		v.Members[i] = wire.Member{UserID: m.UserID, Intervals: slices.Clone(m.Intervals)}
	}
	return v
}

func (t *txn) changeMembers(c ChangeMembers) Result {
	ch := t.chat(c.ChatID)
	switch {
	case ch == nil:
		return Result{Err: wire.ErrNoChat}
	case c.By != "" && !ch.has(c.By):
		return Result{Err: wire.ErrNotMember}
	case ch.typ == wire.Direct:
		return Result{Err: fmt.Errorf("%w: the members of a direct chat never change", wire.ErrConflict)}
	}
	if err := checkIDs(c.Add...); err != nil {
		return Result{Err: err}
	}
	add, remove := ch.changes(c)
	if len(ch.members)+len(add)-len(remove) > wire.MaxMembers {
		return Result{Err: fmt.Errorf("%w: at most %d members", wire.ErrTooLarge, wire.MaxMembers)}
	}
	if len(add)+len(remove) == 0 {
		return Result{Chat: ch.view()}
	}
	ch.version++
	for _, user := range remove {
		t.removeMember(ch, user)
	}
	for _, user := range add {
		t.addMember(ch, user)
	}
	t.putChat(ch)
	t.emit(wire.Event{
		Kind: wire.EventMembers, ChatID: ch.id, Version: ch.version, Seq: ch.lastSeq, Added: add, Removed: remove, At: t.now,
	})
	return Result{Chat: ch.view()}
}

// changes gives who really comes and goes, sorted. One who is named in both lists goes.
func (c *chat) changes(cmd ChangeMembers) (add, remove []string) {
	for _, user := range cmd.Remove {
		if c.has(user) {
			remove = append(remove, user)
		}
	}
	for _, user := range cmd.Add {
		if !c.has(user) && !slices.Contains(cmd.Remove, user) {
			add = append(add, user)
		}
	}
	slices.Sort(add)
	slices.Sort(remove)
	return slices.Compact(add), slices.Compact(remove)
}

// removeMember closes a member's open interval and keeps what he could read for the day he comes back.
func (t *txn) removeMember(c *chat, user string) {
	i := sort.Search(len(c.members), func(i int) bool { return c.members[i].UserID >= user })
	intervals := slices.Clone(c.members[i].Intervals)
	last := &intervals[len(intervals)-1]
	if last.To = c.lastSeq; last.From > last.To {
		intervals = intervals[:len(intervals)-1] // nothing was said while he was there
	}
	c.members = slices.Delete(slices.Clone(c.members), i, i+1)
	t.key = key2(t.key[:0], tableFormer, c.id, user)
	t.putSeen(t.key, appendIntervals(newRecord(nil), intervals))
	t.leave(PutUserChat{UserID: user, Chat: c.line()})
}

// addMember opens an interval for a user, behind those of earlier times.
func (t *txn) addMember(c *chat, user string) {
	var intervals []wire.Interval
	t.key = key2(t.key[:0], tableFormer, c.id, user)
	if b, ok := t.get(t.key); ok {
		d := openRecord(b)
		intervals = d.intervals()
		if err := d.end(); err != nil {
			t.fail("intervals of "+user, err)
		}
		t.removeSeen(t.key)
	}
	open := wire.Interval{From: c.lastSeq + 1}
	if c.historyFromStart {
		open.From, intervals = 1, nil
	}
	intervals = append(intervals, open)
	if over := len(intervals) - maxIntervals; over > 0 {
		intervals = intervals[over:]
	}
	i := sort.Search(len(c.members), func(i int) bool { return c.members[i].UserID >= user })
	c.members = slices.Insert(slices.Clone(c.members), i, wire.Member{UserID: strings.Clone(user), Intervals: intervals})
	t.leave(PutUserChat{UserID: user, Present: true, Chat: c.line()})
}
