package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// sequencers is what a notifier asks of them. *wire.Client is one.
type sequencers interface {
	Receipts(ctx context.Context, chatID string, seq wire.Seq, forUser string) ([]wire.Watermarks, error)
	Heads(ctx context.Context, chatIDs []string, forUser string) ([]wire.Head, error)
	GetChat(ctx context.Context, chatID, forUser string) (*wire.ChatView, error)
	accounts
}

// accounts is what it asks of users' groups and of the feed.
type accounts interface {
	UserChats(ctx context.Context, userID, after string, count int) (chats []wire.UserChat, next string, err error)
	PushSettings(ctx context.Context, userID string) (wire.PushSettings, error)
	RemoveDevice(ctx context.Context, userID, deviceID string, version uint64) (removed bool, err error)
	CommitFeed(ctx context.Context, group wire.GroupID, consumer string, offset wire.Offset) error
}

// read gives what a notification of a chat says to a user, and which devices it goes to.
func (s *shared) read(ctx context.Context, user, chatID string) (f facts, err error) {
	settings, err := s.seq.PushSettings(ctx, user)
	if err != nil {
		return f, fmt.Errorf("read the devices of a user: %w", err)
	}
	now := wire.Millis(time.Now().UnixMilli())
	f.devices = slices.DeleteFunc(settings.Devices, func(d wire.Device) bool { return d.MutedUntil > now })
	if len(f.devices) == 0 || settings.MutedUntil(chatID) > now {
		f.gone = true
		return f, nil
	}
	ids := []string{chatID}
	if s.cfg.Badge {
		if ids, err = s.chatsOf(ctx, user, chatID); err != nil {
			return f, err
		}
	}
	heads, err := s.seq.Heads(ctx, ids, user)
	if err != nil {
		return f, fmt.Errorf("read where the chats of a user stand: %w", err)
	}
	for _, h := range heads {
		if h.Found && h.LastSeq > h.ReadUpTo {
			f.badge += int(h.LastSeq - h.ReadUpTo)
		}
	}
	f.delivered, f.gone = heads[0].DeliveredUpTo, !heads[0].Found
	if f.gone || !s.cfg.Text {
		return f, nil
	}
	chat, err := s.seq.GetChat(ctx, chatID, "")
	if errors.Is(err, wire.ErrNoChat) {
		f.gone = true
		return f, nil
	}
	if err != nil {
		return f, fmt.Errorf("read the name of a chat: %w", err)
	}
	f.name = chat.Name
	return f, nil
}

// chatsOf lists the chats that a user's badge counts, this one first.
func (s *shared) chatsOf(ctx context.Context, user, chatID string) ([]string, error) {
	chats, _, err := s.seq.UserChats(ctx, user, "", s.limits.BadgeChats)
	if err != nil {
		return nil, fmt.Errorf("read the chats of a user: %w", err)
	}
	ids := []string{chatID}
	for _, c := range chats {
		if c.ChatID != chatID {
			ids = append(ids, c.ChatID)
		}
	}
	return ids, nil
}
