package sequencer

import (
	"errors"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// errCrossSlot is Redis's answer to keys that are not together. Those of one group are.
const errCrossSlot = redisError("CROSSSLOT Keys in request don't hash to the same slot")

// member finds one of a chat's members, and what of the log he may read.
func member(chat *wire.Chat, userID string) (view, error) {
	m, ok := chat.Member(userID)
	if !ok {
		return nil, wire.ErrNotMember
	}
	return viewOf(m.Intervals, chat.LastSeq), nil
}

// firstVisible is the first seq that a member may read, or will be able to.
func firstVisible(m wire.Member) wire.Seq {
	first := m.Intervals[0].From
	for _, i := range m.Intervals {
		first = min(first, i.From)
	}
	return max(first, 1)
}

// chatGet is CHAT.GET chatId [FOR user] [STALE].
func chatGet(_ *conn, k *call, a args) error {
	chatID, err := a.id(1, "chatId")
	if err != nil {
		return err
	}
	how, user := reading{key: chatID}, ""
	for o := (options{args: a, at: 2}); o.more(); {
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
	return k.read(how, func(s *raftfsm.Store, r *reply) error {
		chat, err := s.Chat(chatID)
		if err != nil {
			return err
		}
		if user == "" {
			chatMap(r, chat, 0)
			return nil
		}
		return chatFor(s, r, chat, user)
	})
}

// chatFor answers a chat as one of its members sees it.
func chatFor(s *raftfsm.Store, r *reply, chat *wire.Chat, user string) error {
	visible, err := member(chat, user)
	if err != nil {
		return err
	}
	marks, err := s.Marks(chat.ChatID, user)
	if err != nil {
		return err
	}
	var last []wire.Message
	if seq := visible.last(); seq > 0 {
		if last, err = s.Range(chat.ChatID, seq, 1); err != nil {
			return err
		}
	}
	m, _ := chat.Member(user)
	chatMap(r, chat, 4)
	r.fieldInt("deliveredUpTo", int64(marks.Delivered))
	r.fieldInt("readUpTo", int64(marks.Read))
	r.fieldInt("from", int64(firstVisible(m)))
	r.field("lastMessage")
	if len(last) == 0 {
		r.null()
	} else {
		messageMap(r, &last[0], false)
	}
	return nil
}

// chatHead is CHAT.HEAD chatId… [FOR user] [STALE].
func chatHead(_ *conn, k *call, a args) error {
	how, user, chats := reading{}, "", a[1:]
	if n := len(chats); n > 1 && chats.is(n-1, "STALE") {
		how.stale, chats = true, chats[:n-1]
	}
	if n := len(chats); n > 2 && chats.is(n-2, "FOR") {
		var err error
		if user, err = chats.id(n-1, "FOR"); err != nil {
			return err
		}
		chats = chats[:n-2]
	}
	for i := range chats {
		chatID, err := chats.id(i, "chatId")
		if err != nil {
			return err
		}
		if i > 0 && !k.conn.node.together(chatID, how.key) {
			return errCrossSlot
		}
		how.key = chatID
	}
	return k.read(how, func(s *raftfsm.Store, r *reply) error {
		r.array(len(chats))
		for i := range chats {
			if err := headOf(s, r, chats.str(i), user); err != nil {
				return err
			}
		}
		return nil
	})
}

// headOf answers how far one chat's log goes; null where there is no such chat, or the user is not a member.
func headOf(s *raftfsm.Store, r *reply, chatID, user string) error {
	if user == "" {
		head, err := s.Head(chatID)
		if errors.Is(err, wire.ErrNoChat) {
			r.null()
			return nil
		}
		if err == nil {
			r.maps(4)
			headFields(r, chatID, head)
		}
		return err
	}
	head, err := s.HeadFor(chatID, user)
	if errors.Is(err, wire.ErrNoChat) || errors.Is(err, wire.ErrNotMember) {
		r.null()
		return nil
	}
	if err != nil {
		return err
	}
	r.maps(8)
	headFields(r, chatID, head.Head)
	r.fieldInt("deliveredUpTo", int64(head.Marks.Delivered))
	r.fieldInt("readUpTo", int64(head.Marks.Read))
	r.fieldInt("from", int64(firstVisible(head.Member)))
	r.fieldInt("since", int64(head.Member.Intervals[len(head.Member.Intervals)-1].From)) // a member has one, and the last is open
	return nil
}

func headFields(r *reply, chatID string, head raftfsm.Head) {
	r.fieldStr("chatId", chatID)
	r.fieldInt("lastSeq", int64(head.LastSeq))
	r.fieldInt("hotFrom", int64(head.HotFrom))
	r.fieldInt("lamport", int64(head.Lamport))
}
