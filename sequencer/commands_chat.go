package sequencer

import (
	"fmt"
	"slices"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// chatAppend is CHAT.APPEND chatId senderId clientMessageId text [SEEN lamport] [TRACE traceparent].
func chatAppend(_ *conn, k *call, a args) error {
	cmd := raftfsm.Append{ChatID: a.str(1), SenderID: a.str(2), ClientMessageID: a.str(3), Text: a.str(4)}
	for o := (options{args: a, at: 5}); o.more(); {
		switch {
		case o.take(0, "SEEN"):
			seen, err := o.number("SEEN", 0, maxLamport)
			if err != nil {
				return err
			}
			cmd.Seen = wire.Lamport(seen)
		case o.take(1, "TRACE") && o.more():
			cmd.Trace = a.str(o.at)
			o.at++
			if err := checkTrace(cmd.Trace); err != nil {
				return err
			}
		default:
			return errSyntax
		}
	}
	if err := wire.CheckID("chatId", cmd.ChatID); err != nil {
		return err
	}
	if err := wire.CheckID("senderId", cmd.SenderID); err != nil {
		return err
	}
	if err := wire.CheckClientMessageID(cmd.ClientMessageID); err != nil {
		return err
	}
	if err := wire.CheckText(cmd.Text); err != nil {
		return err
	}
	return k.submit(cmd.ChatID, cmd, appended) // encodes the command, so nothing keeps a's memory
}

// maxLamport keeps a stamp that a client made up from using up those that are left.
const maxLamport = uint64(wire.MaxSeq)

// checkTrace takes whatever may be a traceparent; what it means is not for a sequencer to judge.
func checkTrace(s string) error {
	if len(s) > wire.MaxTraceBytes {
		return fmt.Errorf("%w: TRACE has at most %d bytes", wire.ErrTooLarge, wire.MaxTraceBytes)
	}
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' {
			return fmt.Errorf("%w: TRACE must be printable ASCII without spaces", wire.ErrBadRequest)
		}
	}
	return nil
}

func appended(r *reply, k *call) {
	at := &k.res.Append
	k.conn.srv.node.appends.Add(1)
	r.maps(4)
	r.fieldInt("seq", int64(at.Seq))
	r.fieldInt("sentAt", int64(at.SentAt))
	r.fieldInt("lamport", int64(at.Lamport))
	r.fieldBool("replayed", at.Replayed)
}

// chatCreate is CHAT.CREATE chatId type creator [NAME name] [HISTORY start|join] [MEMBERS user…].
func chatCreate(_ *conn, k *call, a args) error {
	cmd := raftfsm.CreateChat{ChatID: a.str(1), Type: wire.ChatType(a.str(2)), CreatorID: a.str(3)}
	if err := wire.CheckID("chatId", cmd.ChatID); err != nil {
		return err
	}
	if cmd.Type != wire.Direct && cmd.Type != wire.GroupChat {
		return fmt.Errorf("%w: type must be %s or %s", wire.ErrBadRequest, wire.Direct, wire.GroupChat)
	}
	if err := wire.CheckID("creator", cmd.CreatorID); err != nil {
		return err
	}
	members := []string{cmd.CreatorID}
	for o := (options{args: a, at: 4}); o.more(); {
		switch {
		case o.take(0, "NAME") && o.more():
			cmd.Name = a.str(o.at)
			o.at++
			if err := wire.CheckName(cmd.Name); err != nil {
				return err
			}
		case o.take(1, "HISTORY") && (o.is(o.at, "start") || o.is(o.at, "join")):
			cmd.HistoryFromStart = o.is(o.at, "start")
			o.at++
		case o.take(2, "MEMBERS"):
			for ; o.more(); o.at++ {
				members = append(members, a.str(o.at))
			}
		default:
			return errSyntax
		}
	}
	var err error
	if cmd.Members, err = userSet("member", members); err != nil {
		return err
	}
	if len(cmd.Members) > wire.MaxMembers {
		return fmt.Errorf("%w: a chat has at most %d members, not %d", wire.ErrTooLarge, wire.MaxMembers, len(cmd.Members))
	}
	if cmd.Type == wire.Direct && len(cmd.Members) != 2 {
		return fmt.Errorf("%w: a direct chat has 2 members, not %d", wire.ErrBadRequest, len(cmd.Members))
	}
	return k.submit(cmd.ChatID, cmd, func(r *reply, k *call) {
		chatMap(r, k.res.Chat, 1)
		r.fieldBool("fresh", k.res.Fresh)
	})
}

// userSet sorts users and drops repeats.
func userSet(what string, users []string) ([]string, error) {
	for _, user := range users {
		if err := wire.CheckID(what, user); err != nil {
			return nil, err
		}
	}
	slices.Sort(users)
	return slices.Compact(users), nil
}

// chatMembers is CHAT.MEMBERS chatId [ADD user…] [REMOVE user…] [BY user]. A list ends at the next of these words, so
// a user of such a name can not stand in one; CHAT.CREATE has no such limit.
func chatMembers(_ *conn, k *call, a args) error {
	chatID, err := a.id(1, "chatId")
	if err != nil {
		return err
	}
	if len(a) == 2 || len(a) == 3 && a.is(2, "STALE") {
		return k.read(reading{key: chatID, stale: len(a) == 3}, func(s *raftfsm.Store, r *reply) error {
			chat, err := s.Chat(chatID)
			if err == nil {
				memberList(r, chat)
			}
			return err
		})
	}
	cmd := raftfsm.ChangeMembers{ChatID: chatID}
	for o := (options{args: a, at: 2}); o.more(); {
		switch {
		case o.take(0, "ADD"):
			cmd.Add = o.users()
		case o.take(1, "REMOVE"):
			cmd.Remove = o.users()
		case o.take(2, "BY"):
			if cmd.By, err = o.id("BY"); err != nil {
				return err
			}
		default:
			return errSyntax
		}
	}
	if err := checkChange(&cmd); err != nil {
		return err
	}
	return k.submit(chatID, cmd, func(r *reply, k *call) { memberList(r, k.res.Chat) })
}

// users takes the words up to the next keyword.
func (o *options) users() (users []string) {
	for ; o.more() && !o.is(o.at, "ADD") && !o.is(o.at, "REMOVE") && !o.is(o.at, "BY"); o.at++ {
		users = append(users, o.str(o.at))
	}
	return users
}

func checkChange(cmd *raftfsm.ChangeMembers) (err error) {
	if len(cmd.Add) == 0 && len(cmd.Remove) == 0 {
		return fmt.Errorf("%w: name at least one user to ADD or REMOVE", wire.ErrBadRequest)
	}
	if cmd.Add, err = userSet("user to ADD", cmd.Add); err != nil {
		return err
	}
	if cmd.Remove, err = userSet("user to REMOVE", cmd.Remove); err != nil {
		return err
	}
	if len(cmd.Add) > wire.MaxMembers || len(cmd.Remove) > wire.MaxMembers {
		return fmt.Errorf("%w: a chat has at most %d members", wire.ErrTooLarge, wire.MaxMembers)
	}
	for _, user := range cmd.Add {
		if _, both := slices.BinarySearch(cmd.Remove, user); both {
			return fmt.Errorf("%w: %s is both to ADD and to REMOVE", wire.ErrBadRequest, user)
		}
	}
	return nil
}
