package sequencer

import (
	"fmt"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// userPage is how many lines of a chat list one page has where COUNT does not say.
const userPage = 100

// userChats is USER.CHATS userId [AFTER chatId] [COUNT n] [STALE].
func userChats(_ *conn, k *call, a args) error {
	userID, err := a.id(1, "userId")
	if err != nil {
		return err
	}
	how, after, count := reading{key: userID}, "", uint64(userPage)
	for o := (options{args: a, at: 2}); o.more(); {
		switch {
		case o.take(0, "AFTER"):
			after, err = o.id("AFTER")
		case o.take(1, "COUNT"):
			count, err = o.number("COUNT", 1, wire.MaxPage)
		case o.take(2, "STALE"):
			how.stale = true
		default:
			return errSyntax
		}
		if err != nil {
			return err
		}
	}
	return k.read(how, func(s *raftfsm.Store, r *reply) error {
		chats, next, err := s.UserChats(userID, after, int(count))
		if err != nil {
			return err
		}
		r.maps(2)
		r.field("chats")
		r.array(len(chats))
		for i := range chats {
			r.maps(4)
			r.fieldStr("chatId", chats[i].ChatID)
			r.fieldStr("type", string(chats[i].Type))
			r.fieldStr("name", chats[i].Name)
			r.fieldInt("version", int64(chats[i].Version))
		}
		r.fieldStr("next", next)
		return nil
	})
}

func userChatsCost(*conn, args) int { return wire.MaxPage * lineBytes }

// userSeen is USER.SEEN userId AT ms, or USER.SEEN userId [STALE] to read.
func userSeen(_ *conn, k *call, a args) error {
	userID, err := a.id(1, "userId")
	if err != nil {
		return err
	}
	if len(a) == 4 && a.is(2, "AT") {
		at, err := a.number(3, "AT", 1, uint64(wire.MaxSeq))
		if err != nil {
			return err
		}
		return k.submit(userID, raftfsm.Seen{UserID: userID, At: wire.Millis(at)}, writeValue)
	}
	stale, err := a.stale(2)
	if err != nil {
		return err
	}
	return k.read(reading{key: userID, stale: stale}, func(s *raftfsm.Store, r *reply) error {
		at, err := s.LastSeen(userID)
		if err == nil {
			r.intOrNull(int64(at))
		}
		return err
	})
}

// writeValue answers what a number has risen to.
func writeValue(r *reply, k *call) { r.int(int64(k.res.Value)) }

// userPair is USER.PAIR userId otherId chatId [REPLACES chatId].
func userPair(_ *conn, k *call, a args) error {
	var cmd raftfsm.ClaimPair
	var err error
	if cmd.UserID, err = a.id(1, "userId"); err != nil {
		return err
	}
	if cmd.OtherID, err = a.id(2, "otherId"); err != nil {
		return err
	}
	if cmd.ChatID, err = a.id(3, "chatId"); err != nil {
		return err
	}
	if cmd.UserID >= cmd.OtherID {
		return fmt.Errorf("%w: userId must be the smaller of the two users", wire.ErrBadRequest)
	}
	switch {
	case len(a) == 6 && a.is(4, "REPLACES"):
		if cmd.Replaces, err = a.id(5, "REPLACES"); err != nil {
			return err
		}
	case len(a) != 4:
		return errSyntax
	}
	return k.submit(cmd.UserID, cmd, func(r *reply, k *call) { r.str(k.res.ChatID) })
}

// userPutChat is USER.PUTCHAT userId chatId type name version present.
func userPutChat(_ *conn, k *call, a args) error {
	cmd := raftfsm.PutUserChat{UserID: a.str(1), Chat: wire.UserChat{ChatID: a.str(2), Type: wire.ChatType(a.str(3)), Name: a.str(4)}}
	if err := wire.CheckID("userId", cmd.UserID); err != nil {
		return err
	}
	if err := wire.CheckID("chatId", cmd.Chat.ChatID); err != nil {
		return err
	}
	if cmd.Chat.Type != wire.Direct && cmd.Chat.Type != wire.GroupChat {
		return fmt.Errorf("%w: type must be %s or %s", wire.ErrBadRequest, wire.Direct, wire.GroupChat)
	}
	if err := wire.CheckName(cmd.Chat.Name); err != nil {
		return err
	}
	version, err := a.number(5, "version", 1, uint64(wire.MaxSeq))
	if err != nil {
		return err
	}
	present, err := a.number(6, "present", 0, 1)
	if err != nil {
		return err
	}
	cmd.Chat.Version, cmd.Present = version, present == 1
	return k.submit(cmd.UserID, cmd, func(r *reply, _ *call) { r.simple("OK") })
}
