package raftfsm

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"sort"
	"strings"

	"github.com/quorate/quorate/sequencer/wire"
)

// apply carries out one command.
func (t *txn) apply(c Command) Result {
	switch c := c.(type) {
	case Append:
		return t.append(c)
	case Receipt:
		return t.receipt(c)
	case CreateChat:
		return t.createChat(c)
	case ChangeMembers:
		return t.changeMembers(c)
	case ClaimPair:
		return t.claimPair(c)
	case PutUserChat:
		return t.putUserChat(c)
	case AckOutbox:
		return t.ackOutbox(c)
	case Expire:
		return t.expire(c)
	case PutMap:
		return t.putMap(c)
	case TakeLease:
		return t.takeLease(c)
	case DropLease:
		return t.dropLease(c)
	case Seen:
		return t.seen(c)
	case CommitFeed:
		return t.commitFeed(c)
	case Archived:
		return t.archived(c)
	case Retain:
		return t.retain(c)
	case Forget:
		return t.forgetMessages(c)
	case PutDevice:
		return t.putDevice(c)
	case RemoveDevice:
		return t.removeDevice(c)
	case MuteChat:
		return t.muteChat(c)
	}
	panic(fmt.Sprintf("BUG: unknown command %T", c))
}

// maxLamport is where stamps end. They stay exact in a JSON number; one who says that he has seen the highest of them
// costs the chats that he writes to their order among each other, and nothing else.
const maxLamport = wire.Lamport(wire.MaxSeq)

func (t *txn) append(c Append) Result {
	ch := t.chat(c.ChatID)
	if ch == nil {
		return Result{Err: wire.ErrNoChat}
	}
	sum := sha256.Sum256([]byte(c.Text))
	t.key = dedupKey(t.key[:0], c.ChatID, c.SenderID, c.ClientMessageID)
	if t.fsm.store.unseen.has(t.key) && !t.fsm.plant.forgets() {
		if b, ok := t.get(t.key); ok {
			return t.replay(b, sum[:16]) // to one who has left since, too: the message is there, and is his
		}
	}
	if !ch.has(c.SenderID) {
		return Result{Err: wire.ErrNotMember}
	}
	if ch.lastSeq >= wire.MaxSeq {
		return Result{Err: fmt.Errorf("%w: the chat is full", wire.ErrTooLarge)}
	}
	if t.fsm.plant.loses() {
		return Result{Append: AppendResult{Seq: ch.lastSeq + 1, SentAt: t.now, Lamport: ch.lamport + 1}}
	}
	res := t.keep(ch, c, sum[:16])
	if t.fsm.plant.repeats() {
		t.key = dedupKey(t.key[:0], c.ChatID, c.SenderID, c.ClientMessageID)
		t.keep(ch, c, sum[:16])
	}
	return res
}

// keep puts a message at the end of its chat. t.key is that of its dedup record.
func (t *txn) keep(ch *chat, c Append, hash []byte) Result {
	ch.lastSeq++
	ch.lamport = min(max(ch.lamport, c.Seen), maxLamport-1) + 1
	ch.sentAt = max(ch.sentAt, t.now)
	t.count(ch)
	record := dedup{seq: ch.lastSeq, sentAt: ch.sentAt, lamport: ch.lamport, hash: [16]byte(hash)}
	t.val = record.append(t.val[:0])
	t.putSeen(t.key, t.val)
	t.fsm.store.unseen.add(t.key)
	m := &wire.Message{
		ChatID: c.ChatID, Seq: ch.lastSeq, SenderID: c.SenderID, ClientMessageID: c.ClientMessageID, Text: c.Text,
		SentAt: ch.sentAt, Lamport: ch.lamport, Trace: c.Trace,
	}
	t.key = messageKey(t.key[:0], c.ChatID, m.Seq)
	t.val = appendMessage(t.val[:0], m)
	t.put(t.key, t.val)
	t.emit(wire.Event{Kind: wire.EventMessage, ChatID: c.ChatID, Message: m, At: t.now})
	return Result{Append: AppendResult{Seq: m.Seq, SentAt: m.SentAt, Lamport: m.Lamport}}
}

// replay answers an append whose clientMessageId was there before.
func (t *txn) replay(record, hash []byte) Result {
	was, err := decodeDedup(record)
	if err != nil {
		t.fail("dedup", err)
	}
	if !bytes.Equal(was.hash[:], hash) {
		return Result{Err: fmt.Errorf("%w: the clientMessageId was used with another text", wire.ErrConflict)}
	}
	return Result{Append: AppendResult{Seq: was.seq, SentAt: was.sentAt, Lamport: was.lamport, Replayed: true}}
}

// checkIDs makes sure of what the keys of the store rely on. The surfaces are stricter; their rules may change from one
// version to the next, and these must not.
func checkIDs(ids ...string) error {
	for _, id := range ids {
		if id == "" || strings.IndexByte(id, 0) >= 0 {
			return fmt.Errorf("%w: an id is empty or holds a NUL", wire.ErrBadRequest)
		}
	}
	return nil
}

func (c *chat) has(userID string) bool {
	i := sort.Search(len(c.members), func(i int) bool { return c.members[i].UserID >= userID })
	return i < len(c.members) && c.members[i].UserID == userID
}
