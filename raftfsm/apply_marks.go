package raftfsm

import (
	"encoding/binary"
	"fmt"

	"github.com/quorate/quorate/sequencer/wire"
)

func (t *txn) receipt(c Receipt) Result {
	ch := t.chat(c.ChatID)
	if ch == nil {
		return Result{Err: wire.ErrNoChat}
	}
	if !ch.has(c.UserID) {
		return Result{Err: wire.ErrNotMember}
	}
	if c.Delivered > ch.lastSeq || c.Read > ch.lastSeq {
		return Result{Err: fmt.Errorf("%w: the chat has no message of that seq yet", wire.ErrBadRequest)}
	}
	marks := t.marks(ch, c.UserID)
	rose := t.rise(ch.id, c.UserID, riseDelivered, max(c.Delivered, c.Read), &marks.Delivered, &marks.DeliveredAt)
	if t.rise(ch.id, c.UserID, riseRead, c.Read, &marks.Read, &marks.ReadAt) {
		rose = true
	}
	if rose {
		t.key = key2(t.key[:0], tableMarks, ch.id, c.UserID)
		t.putSeen(t.key, appendMarks(nil, marks))
		told := marks
		t.emit(wire.Event{Kind: wire.EventReceipt, ChatID: ch.id, Marks: &told, At: t.now})
	}
	return Result{Marks: marks}
}

// marks gives a member's watermarks. What lies before the open interval counts as seen.
func (t *txn) marks(c *chat, user string) wire.Watermarks {
	t.key = key2(t.key[:0], tableMarks, c.id, user)
	m := wire.Watermarks{UserID: user}
	if b, ok := t.get(t.key); ok {
		var err error
		if m, err = decodeMarks(b, user); err != nil {
			t.fail("watermarks of "+user, err)
		}
	}
	return atLeast(m, c.members, user)
}

// atLeast raises a member's watermarks to what he cannot be behind.
func atLeast(m wire.Watermarks, members []wire.Member, user string) wire.Watermarks {
	chat := wire.Chat{Members: members}
	if member, ok := chat.Member(user); ok {
		return notBehind(m, member)
	}
	return m
}

// notBehind counts what lies before a member's open interval as seen.
func notBehind(m wire.Watermarks, member wire.Member) wire.Watermarks {
	floor := member.Intervals[len(member.Intervals)-1].From - 1
	m.Delivered, m.Read = max(m.Delivered, floor), max(m.Read, floor)
	return m
}

// rise raises one watermark and keeps when; it is false where to is not above it.
func (t *txn) rise(chatID, user string, kind riseKind, to wire.Seq, mark *wire.Seq, at *wire.Millis) bool {
	if to <= *mark {
		return false
	}
	*mark, *at = to, max(t.now, *at)
	t.key = riseKey(t.key[:0], chatID, user, kind, to)
	t.put(t.key, binary.AppendUvarint(newRecord(nil), uint64(*at)))
	return true
}

func (t *txn) claimPair(c ClaimPair) Result {
	if err := checkIDs(c.UserID, c.OtherID, c.ChatID); err != nil {
		return Result{Err: err}
	}
	if c.UserID >= c.OtherID {
		return Result{Err: fmt.Errorf("%w: a pair is two users, the smaller id first", wire.ErrBadRequest)}
	}
	t.key = key2(t.key[:0], tablePair, c.UserID, c.OtherID)
	if b, ok := t.get(t.key); ok {
		d := openRecord(b)
		winner := d.string()
		if err := d.end(); err != nil {
			t.fail("pair", err)
		}
		if c.Replaces == "" || winner != c.Replaces {
			return Result{ChatID: winner}
		}
	}
	t.putSeen(t.key, appendString(newRecord(nil), c.ChatID))
	return Result{ChatID: c.ChatID}
}

func (t *txn) putUserChat(c PutUserChat) Result {
	if err := checkIDs(c.UserID, c.Chat.ChatID); err != nil {
		return Result{Err: err}
	}
	t.key = key2(t.key[:0], tableUserChat, c.UserID, c.Chat.ChatID)
	if b, ok := t.get(t.key); ok {
		was, err := decodeUserChat(b, c.Chat.ChatID)
		if err != nil {
			t.fail("chat list of "+c.UserID, err)
		}
		if was.chat.Version >= c.Chat.Version {
			return Result{}
		}
	}
	t.putSeen(t.key, userChat{present: c.Present, chat: c.Chat}.append(nil))
	return Result{}
}

// ackOutbox forgets what has reached its users' groups.
func (t *txn) ackOutbox(c AckOutbox) Result {
	through := min(c.Through, t.meta.outboxNext-1)
	if through < t.meta.outboxFirst {
		return Result{}
	}
	from := numberKey(nil, tableOutbox, t.meta.outboxFirst)
	t.meta.outboxFirst = through + 1
	if err := t.batch.DeleteRange(from, numberKey(nil, tableOutbox, t.meta.outboxFirst), nil); err != nil {
		t.fail("delete", err)
	}
	return Result{}
}
