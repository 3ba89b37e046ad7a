package delivery

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// ids is the base 32 of ids that we make: its order is that of the bytes.
var ids = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// newChatID makes an id of 128 bits that nobody can guess: 48 of time, so that ids sort by age, and 80 of chance.
func newChatID(prefix string, now time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	_, _ = rand.Read(b[6:]) // never fails
	return prefix + ids.EncodeToString(b[:])
}

// pairChatID is the id that a direct chat has by default: the same for both users, whoever asks first.
func pairChatID(a, b string) string {
	sum := sha256.Sum256([]byte(a + "\x00" + b))
	return "d-" + ids.EncodeToString(sum[:])[:26]
}

func (s *Server) createChat(ctx context.Context, c *call) error {
	f, err := s.body(c)
	if err != nil {
		return err
	}
	ask, err := readNewChat(f, c.user)
	if err != nil {
		return err
	}
	var chat *wire.Chat
	var fresh bool
	if ask.Type == wire.Direct {
		chat, fresh, err = s.createDirect(ctx, ask)
	} else {
		chat, fresh, err = s.createGroup(ctx, ask)
	}
	if err != nil {
		return err
	}
	status := http.StatusOK
	if fresh {
		status = http.StatusCreated
	}
	writeJSON(c.w, status, append(appendChat(nil, chat), '}'))
	return nil
}

// readNewChat reads what POST /chats asks for. ChatID is "" where the edge is to choose; Members is sorted, without repeats,
// with the caller.
func readNewChat(f *fields, caller string) (*wire.CreateChatRequest, error) {
	ask := &wire.CreateChatRequest{Type: wire.ChatType(f.str("type")), Name: f.str("name"), CreatorID: caller}
	ask.Members = memberIDs(f, "members")
	if _, given := f.find("chatId", jsonString); given {
		ask.ChatID = f.id("chatId")
	}
	switch history := f.str("history"); history {
	case "start":
		ask.HistoryFromStart = true
	case "", "join":
	default:
		f.fail(`history must be "start" or "join"`)
	}
	f.check(wire.CheckName(ask.Name))
	ask.Members = append(ask.Members, caller)
	slices.Sort(ask.Members)
	ask.Members = slices.Compact(ask.Members)
	switch ask.Type {
	case wire.Direct:
		if len(ask.Members) != 2 {
			f.fail("a direct chat has two members")
		}
	case wire.GroupChat:
		if len(ask.Members) > wire.MaxMembers {
			f.fail("a chat has at most %d members", wire.MaxMembers)
		}
	default:
		f.fail(`type must be "direct" or "group"`)
	}
	return ask, f.err
}

// memberIDs reads a list of users.
func memberIDs(f *fields, key string) []string { return f.ids(key, wire.MaxMembers) }

func (s *Server) createGroup(ctx context.Context, ask *wire.CreateChatRequest) (*wire.Chat, bool, error) {
	if ask.ChatID == "" {
		ask.ChatID = newChatID("g-", s.now())
	}
	chat, fresh, err := s.seq.CreateChat(ctx, *ask)
	if err != nil {
		return nil, false, err
	}
	if _, member := chat.Member(ask.CreatorID); !member { // made by the caller once, who left since
		return nil, false, fmt.Errorf("%w: the chat exists", wire.ErrConflict)
	}
	return chat, fresh, nil
}

// createDirect finds or makes the one chat of two users. The pair is claimed first, at the smaller user's group, so that
// both of them, at the same time and on different edges, get the same chat.
func (s *Server) createDirect(ctx context.Context, ask *wire.CreateChatRequest) (*wire.Chat, bool, error) {
	a, b := ask.Members[0], ask.Members[1]
	want, replaces := pairChatID(a, b), ""
	if ask.ChatID != "" {
		chat, err := s.knownChat(ctx, ask.ChatID)
		if err == nil && !isDirect(chat, a, b) {
			return nil, false, fmt.Errorf("%w: the chat exists", wire.ErrConflict)
		}
		if err != nil && !errors.Is(err, wire.ErrNoChat) {
			return nil, false, err
		}
		want = ask.ChatID
	}
	for range 4 {
		winner, err := s.seq.ClaimPair(ctx, a, b, want, replaces)
		if err != nil {
			return nil, false, err
		}
		ask.ChatID = winner
		chat, fresh, err := s.findOrMake(ctx, ask)
		if err == nil && isDirect(chat, a, b) {
			return chat, fresh, nil
		}
		if err != nil && !errors.Is(err, wire.ErrConflict) {
			return nil, false, err
		}
		want, replaces = newChatID("d-", s.now()), winner // somebody else's chat has that id
	}
	return nil, false, fmt.Errorf("%w: no id for this pair", wire.ErrConflict)
}

// findOrMake returns the chat with the asked id, and makes it only where there is none: the other user may have made it.
func (s *Server) findOrMake(ctx context.Context, ask *wire.CreateChatRequest) (*wire.Chat, bool, error) {
	chat, err := s.knownChat(ctx, ask.ChatID)
	if !errors.Is(err, wire.ErrNoChat) {
		return chat, false, err
	}
	chat, fresh, err := s.seq.CreateChat(ctx, *ask)
	if errors.Is(err, wire.ErrConflict) { // made in between, by the other one perhaps
		chat, err = s.knownChat(ctx, ask.ChatID)
		return chat, false, err
	}
	return chat, fresh, err
}

func isDirect(c *wire.Chat, a, b string) bool {
	return c.Type == wire.Direct && len(c.Members) == 2 && c.Members[0].UserID == a && c.Members[1].UserID == b
}

func (s *Server) getChat(ctx context.Context, c *call) error {
	view, err := s.seq.GetChat(ctx, c.arg, c.user)
	if err != nil {
		return readFault(err)
	}
	writeJSON(c.w, http.StatusOK, appendChatView(nil, view, c.user))
	return nil
}

// appendChatView appends a chat as one of its members sees it.
func appendChatView(dst []byte, view *wire.ChatView, user string) []byte {
	dst = appendChat(dst, &view.Chat)
	dst = appendNumber(dst, "readUpTo", uint64(view.ReadUpTo))
	dst = appendNumber(dst, "unread", unread(view, user))
	dst = appendKey(dst, "lastMessage")
	if view.LastMessage == nil {
		return append(dst, "null}"...)
	}
	return append(append(dst, encodeHistoric(view.LastMessage)...), '}')
}

// unread counts the messages that the user may read beyond his read watermark, his own among them: a client moves the
// watermark when the user has seen them, whoever wrote them.
func unread(view *wire.ChatView, user string) (n uint64) {
	member, ok := view.Member(user)
	if !ok {
		return 0
	}
	for _, run := range member.Intervals {
		to := view.LastSeq
		if run.To != 0 {
			to = min(to, run.To)
		}
		if from := max(run.From, view.ReadUpTo+1); from <= to {
			n += uint64(to - from + 1)
		}
	}
	return n
}

// listWindow is how many chats of one list are read at a time.
const listWindow = 32

func (s *Server) listChats(ctx context.Context, c *call) error {
	values, err := c.query()
	if err != nil {
		return err
	}
	limit, err := queryLimit(values)
	if err != nil {
		return err
	}
	after, err := readListCursor(values.Get("cursor"))
	if err != nil {
		return err
	}
	lines, next, err := s.seq.UserChats(ctx, c.user, after, limit)
	if err != nil {
		return readFault(err)
	}
	views, err := s.views(ctx, c.user, lines)
	if err != nil {
		return err
	}
	body := append(make([]byte, 0, 512*len(views)+64), `{"chats":[`...)
	first := true
	for _, view := range views {
		if view == nil {
			continue // the list is a moment behind: the user has left this one
		}
		if !first {
			body = append(body, ',')
		}
		first = false
		body = appendChatView(body, view, c.user)
	}
	body = append(body, `],"nextCursor":`...)
	writeJSON(c.w, http.StatusOK, append(appendListCursor(body, next), '}'))
	return nil
}

// views reads the chats of a list, several at a time. A chat that the user has left is nil.
func (s *Server) views(ctx context.Context, user string, lines []wire.UserChat) ([]*wire.ChatView, error) {
	views, errs := make([]*wire.ChatView, len(lines)), make([]error, len(lines))
	window := make(chan struct{}, listWindow)
	var wg sync.WaitGroup
	for i, line := range lines {
		window <- struct{}{}
		wg.Add(1)
		s.seq.GetChatAsync(s.limits.RequestTimeout, line.ChatID, user, func(view *wire.ChatView, err error) {
			views[i], errs[i] = view, err
			<-window
			wg.Done()
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, wire.ErrNotMember) && !errors.Is(err, wire.ErrNoChat) {
			return nil, readFault(err)
		}
	}
	return views, ctx.Err()
}

// A list cursor is opaque to clients: a version letter and the chat after which the page starts, in base64url.
const listCursorVersion = "a"

func appendListCursor(dst []byte, next string) []byte {
	if next == "" {
		return append(dst, "null"...)
	}
	return appendJSONString(dst, base64.RawURLEncoding.EncodeToString([]byte(listCursorVersion+next)))
}

func readListCursor(cursor string) (after string, err error) {
	if cursor == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) < 2 || string(raw[:1]) != listCursorVersion || wire.CheckID("cursor", string(raw[1:])) != nil {
		return "", refuse(codeBadRequest, "cursor is not one that a list gave")
	}
	return string(raw[1:]), nil
}

func (s *Server) changeMembers(ctx context.Context, c *call) error {
	f, err := s.body(c)
	if err != nil {
		return err
	}
	add, remove := memberIDs(f, "add"), memberIDs(f, "remove")
	if len(add)+len(remove) == 0 {
		f.fail("add or remove must name somebody")
	}
	for _, user := range remove {
		if slices.Contains(add, user) {
			f.fail("a user cannot be added and removed at once")
		}
	}
	if f.err != nil {
		return f.err
	}
	_, err = s.seq.ChangeMembers(ctx, c.arg, c.user, add, remove)
	if errors.Is(err, wire.ErrTooLarge) {
		return refuse(codeBadRequest, fmt.Sprintf("a chat has at most %d members", wire.MaxMembers))
	}
	if err != nil {
		return err
	}
	chat, err := s.knownChat(ctx, c.arg)
	if err != nil {
		return err
	}
	writeJSON(c.w, http.StatusOK, append(appendChat(nil, chat), '}'))
	return nil
}

// knownChat reads a chat for the edge itself, whoever its members are.
func (s *Server) knownChat(ctx context.Context, chatID string) (*wire.Chat, error) {
	view, err := s.seq.GetChat(ctx, chatID, "")
	if err != nil {
		return nil, readFault(err)
	}
	return &view.Chat, nil
}
