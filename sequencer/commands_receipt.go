package sequencer

import (
	"fmt"
	"sync/atomic"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// receipts is a CHAT.RECEIPT under way: one command of the log per user, answered together.
type receipts struct {
	call  *call
	left  atomic.Int32 // users that are not yet answered
	parts []receiptPart
}

// receiptPart is what becomes of one user's receipt.
type receiptPart struct {
	all   *receipts
	cmd   raftfsm.Receipt
	marks wire.Watermarks
	err   error // of the user
	fate  error // of the command: it did not come to the log, or nobody knows
}

// chatReceipt is CHAT.RECEIPT chatId userId [DELIVERED seq] [READ seq] [userId …]*. A user behind the first must not be
// named as one of the keywords.
func chatReceipt(_ *conn, k *call, a args) error {
	chatID, err := a.id(1, "chatId")
	if err != nil {
		return err
	}
	all := &receipts{call: k}
	for at := 2; at < len(a); {
		part, next, err := parseReceipt(a, at, chatID)
		if err != nil {
			return err
		}
		part.all = all
		all.parts = append(all.parts, part)
		at = next
	}
	if len(all.parts) > wire.MaxMembers {
		return fmt.Errorf("%w: at most %d users", wire.ErrTooLarge, wire.MaxMembers)
	}
	h, slot, err := k.conn.node.route(chatID)
	if err != nil {
		return err
	}
	k.encode = all.write
	all.left.Store(int32(len(all.parts)))
	for i := range all.parts {
		h.submit(all.parts[i].cmd, slot, &all.parts[i])
	}
	k.conn.wrote(h, k)
	return nil
}

// parseReceipt takes one user with what follows it. next is where the user behind it stands.
func parseReceipt(a args, at int, chatID string) (part receiptPart, next int, err error) {
	part.cmd.ChatID = chatID
	if at > 2 && (a.is(at, "DELIVERED") || a.is(at, "READ")) {
		return part, 0, errSyntax
	}
	if part.cmd.UserID, err = a.id(at, "userId"); err != nil {
		return part, 0, err
	}
	o := options{args: a, at: at + 1}
	for o.more() {
		switch {
		case o.take(0, "DELIVERED"):
			part.cmd.Delivered, err = o.seq("DELIVERED")
		case o.take(1, "READ"):
			part.cmd.Read, err = o.seq("READ")
		default:
			return part, o.at, nil
		}
		if err != nil {
			return part, 0, err
		}
	}
	return part, o.at, nil
}

// complete takes what became of one user's receipt. The last one answers for all.
func (p *receiptPart) complete(res raftfsm.Result, err error) {
	p.marks, p.err, p.fate = res.Marks, res.Err, err
	if p.all.left.Add(-1) == 0 {
		p.all.call.finish()
	}
}

// write answers: the error of a single user, or that of any command that has to be sent again; otherwise an array with
// the watermarks or the error of each user, in their order.
func (all *receipts) write(r *reply, _ *call) {
	for i := range all.parts {
		if fate := all.parts[i].fate; fate != nil {
			r.err(fate)
			return
		}
	}
	if len(all.parts) == 1 && all.parts[0].err != nil {
		r.err(all.parts[0].err)
		return
	}
	r.array(len(all.parts))
	for i := range all.parts {
		if err := all.parts[i].err; err != nil {
			r.err(err)
			continue
		}
		marksMap(r, &all.parts[i].marks)
	}
}

// chatReceipts is CHAT.RECEIPTS chatId [seq] [FOR user] [STALE].
func chatReceipts(_ *conn, k *call, a args) error {
	chatID, err := a.id(1, "chatId")
	if err != nil {
		return err
	}
	how, user := reading{key: chatID}, ""
	var seq wire.Seq
	o := options{args: a, at: 2}
	if o.more() && !o.is(o.at, "FOR") && !o.is(o.at, "STALE") {
		if seq, err = o.seq("seq"); err != nil {
			return err
		}
	}
	for o.more() {
		switch {
		case o.take(0, "FOR"):
			if user, err = o.id("FOR"); err != nil {
				return err
			}
		case o.take(1, "STALE"):
			how.stale = true
		default:
			return errSyntax
		}
	}
	return k.read(how, func(s *raftfsm.Store, r *reply) error { return receiptsOf(s, r, chatID, seq, user) })
}

// receiptsOf answers all watermarks of a chat, or where seq is not 0 who got that message when.
func receiptsOf(s *raftfsm.Store, r *reply, chatID string, seq wire.Seq, user string) error {
	chat, err := s.Chat(chatID)
	if err != nil {
		return err
	}
	visible := wholeLog(chat.LastSeq)
	if user != "" {
		if visible, err = member(chat, user); err != nil {
			return err
		}
	}
	if seq == 0 {
		all, err := s.Watermarks(chatID)
		if err != nil {
			return err
		}
		r.array(len(all))
		for i := range all {
			marksMap(r, &all[i])
		}
		return nil
	}
	switch {
	case seq > chat.LastSeq:
		return fmt.Errorf("%w: there is no message %d in the chat", wire.ErrNoChat, seq)
	case !visible.covers(seq):
		return fmt.Errorf("%w: the user may not read message %d", wire.ErrNotMember, seq)
	}
	all, err := s.ReceiptsOf(chatID, seq)
	if err != nil {
		return err
	}
	r.array(len(all))
	for i := range all {
		r.maps(3)
		r.fieldStr("userId", all[i].UserID)
		r.fieldInt("deliveredAt", int64(all[i].DeliveredAt))
		r.fieldInt("readAt", int64(all[i].ReadAt))
	}
	return nil
}
