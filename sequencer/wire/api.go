package wire

import (
	"context"
	"strconv"
	"time"
)

// AppendRequest is one message offered to a chat. (ChatID, SenderID, ClientMessageID) names it: offered again with the same
// text it gets the same answer, with another text ErrConflict.
type AppendRequest struct {
	ChatID, SenderID, ClientMessageID, Text string
	Seen                                    Lamport // the highest stamp that the sender has seen in any chat, or 0
	Trace                                   string  // W3C traceparent, or ""
}

// AppendAck says that a message is durable on a quorum.
type AppendAck struct {
	Seq      Seq
	SentAt   Millis
	Lamport  Lamport
	Replayed bool // an earlier append of the same message had put it there
}

// CreateChatRequest asks for a chat. The creator is always a member. The same request again gives the same chat.
type CreateChatRequest struct {
	ChatID           string
	Type             ChatType
	CreatorID, Name  string
	Members          []string
	HistoryFromStart bool // one who joins later reads from seq 1
}

// ChatView is a chat as one member sees it. Without a member, only Chat is set.
type ChatView struct {
	Chat
	DeliveredUpTo, ReadUpTo Seq
	From                    Seq      // the first seq that the member may read
	LastMessage             *Message // the last one that the member may read; nil where there is none
}

// RangeRequest asks for a page of a chat's log.
type RangeRequest struct {
	ChatID  string
	From    Seq    // the first seq of the page; with Before the first one behind it
	Count   int    // 1 to MaxPage
	Before  bool   // the page that ends before From
	Stale   bool   // any replica may answer with what it has
	Times   bool   // fill DeliveredAt and ReadAt
	ForUser string // only what this member may read; ErrNotMember where that user is none. "": all
}

// Page is a part of a chat's log, ascending by seq.
type Page struct {
	Messages []Message
	Next     Seq  // From of the page that follows it (with Before: that precedes it); 0 where there is none
	Archived bool // the page begins before the hot store: Messages are the rest of it

	// Of an archived page: where its first messages are, ascending, and with Times when members reached those, as far as the
	// archive does not tell.
	Runs  []ArchivedRun
	Reach []Reach
}

// Head is where a chat stands. Found is false where there is no such chat, or the user asked for is not a member; then
// only ChatID is set besides.
type Head struct {
	ChatID                        string
	Found                         bool
	LastSeq, HotFrom              Seq
	Lamport                       Lamport
	DeliveredUpTo, ReadUpTo, From Seq // only for a user
	Since                         Seq // only for a user: he may read all from here on; 0 of a node that does not tell
}

// Mark raises one member's watermarks in a chat; 0 leaves one as it is.
type Mark struct {
	UserID          string
	Delivered, Read Seq
}

// MarkResult is what became of a Mark: the watermarks after it, or why it was refused.
type MarkResult struct {
	Watermarks
	Err error
}

// UserChatsPage is a part of a user's chat list, ascending by chat id.
type UserChatsPage struct {
	Chats []UserChat
	Next  string // what to ask for the chats after; "" at the end
}

// Append offers a message to its chat and waits until it is durable.
func (c *Client) Append(ctx context.Context, q AppendRequest) (AppendAck, error) {
	return call(ctx, c, q.ChatID, decodeAck, q.args()...)
}

// CreateChat makes a chat, or finds it where the same request made it before; fresh tells which.
func (c *Client) CreateChat(ctx context.Context, q CreateChatRequest) (chat *Chat, fresh bool, err error) {
	r, err := c.Do(ctx, q.ChatID, q.args()...)
	if err != nil {
		return nil, false, err
	}
	view, err := decodeChat(r)
	if err != nil {
		return nil, false, err
	}
	return &view.Chat, r.Field("fresh").Bool(), nil
}

// GetChat reads a chat. With forUser it is ErrNotMember for one who is not a member; with "" nobody's view is filled in.
func (c *Client) GetChat(ctx context.Context, chatID, forUser string) (*ChatView, error) {
	return call(ctx, c, chatID, decodeChat, getChatArgs(chatID, forUser)...)
}

// ChangeMembers adds and removes members, on behalf of the member by, or with "" of nobody. It returns the members, sorted.
func (c *Client) ChangeMembers(ctx context.Context, chatID, by string, add, remove []string) ([]string, error) {
	args := []string{"CHAT.MEMBERS", chatID}
	if len(add) > 0 {
		args = append(append(args, "ADD"), add...)
	}
	if len(remove) > 0 {
		args = append(append(args, "REMOVE"), remove...)
	}
	if by != "" {
		args = append(args, "BY", by)
	}
	return call(ctx, c, chatID, decodeStrings, args...)
}

// Range reads a page of a chat's log.
func (c *Client) Range(ctx context.Context, q RangeRequest) (Page, error) {
	return call(ctx, c, q.ChatID, decodePage, q.args()...)
}

// Receipts reads the watermarks of all members; with a seq the times at which each member other than its sender had that
// message. With forUser it is ErrNotMember for one who is not a member.
func (c *Client) Receipts(ctx context.Context, chatID string, seq Seq, forUser string) ([]Watermarks, error) {
	args := []string{"CHAT.RECEIPTS", chatID}
	if seq > 0 {
		args = append(args, utoa(seq))
	}
	return call(ctx, c, chatID, decodeWatermarks, appendFor(args, forUser)...)
}

// UserChats reads a page of a user's chat list, the chats behind after. next is "" at the end.
func (c *Client) UserChats(ctx context.Context, userID, after string, count int) (chats []UserChat, next string, err error) {
	page, err := call(ctx, c, userID, decodeUserChats, userChatsArgs(userID, after, count)...)
	return page.Chats, page.Next, err
}

// ClaimPair makes chatID the direct chat of two users, unless they have one already that is not replaces. It returns the
// chat that is theirs now.
func (c *Client) ClaimPair(ctx context.Context, userID, otherID, chatID, replaces string) (string, error) {
	key, other := min(userID, otherID), max(userID, otherID)
	args := []string{"USER.PAIR", key, other, chatID}
	if replaces != "" {
		args = append(args, "REPLACES", replaces)
	}
	return call(ctx, c, key, decodeID, args...)
}

// call does a command and decodes its reply.
func call[T any](ctx context.Context, c *Client, key string, decode func(Reply) (T, error), args ...string) (T, error) {
	r, err := c.Do(ctx, key, args...)
	if err != nil {
		var zero T
		return zero, err
	}
	return decode(r)
}

// submit is call that does not wait.
func submit[T any](
	c *Client, timeout time.Duration, key string, decode func(Reply) (T, error), done func(T, error), args ...string,
) {
	c.Submit(key, timeout, func(r Reply, err error) {
		if err != nil {
			var zero T
			done(zero, err)
			return
		}
		done(decode(r))
	}, args...)
}

// appendWord is the command of a message.
const appendWord = "CHAT.APPEND"

func (q *AppendRequest) args() []string {
	args := make([]string, 5, 9)
	args[0], args[1], args[2], args[3], args[4] = appendWord, q.ChatID, q.SenderID, q.ClientMessageID, q.Text
	if q.Seen > 0 {
		args = append(args, "SEEN", utoa(q.Seen))
	}
	if q.Trace != "" {
		args = append(args, "TRACE", q.Trace)
	}
	return args
}

func (q *CreateChatRequest) args() []string {
	args := []string{"CHAT.CREATE", q.ChatID, string(q.Type), q.CreatorID}
	if q.Name != "" {
		args = append(args, "NAME", q.Name)
	}
	if q.HistoryFromStart {
		args = append(args, "HISTORY", "start")
	}
	if len(q.Members) > 0 {
		args = append(append(args, "MEMBERS"), q.Members...)
	}
	return args
}

func (q *RangeRequest) args() []string {
	args := make([]string, 4, 9)
	args[0], args[1], args[2], args[3] = "CHAT.RANGE", q.ChatID, utoa(q.From), strconv.Itoa(q.Count)
	for _, option := range []struct {
		word string
		set  bool
	}{{"BEFORE", q.Before}, {"STALE", q.Stale}, {"TIMES", q.Times}} {
		if option.set {
			args = append(args, option.word)
		}
	}
	return appendFor(args, q.ForUser)
}

func getChatArgs(chatID, forUser string) []string {
	return appendFor([]string{"CHAT.GET", chatID}, forUser)
}

func userChatsArgs(userID, after string, count int) []string {
	args := []string{"USER.CHATS", userID}
	if after != "" {
		args = append(args, "AFTER", after)
	}
	if count > 0 {
		args = append(args, "COUNT", strconv.Itoa(count))
	}
	return args
}

func appendFor(args []string, user string) []string {
	if user == "" {
		return args
	}
	return append(args, "FOR", user)
}

func utoa[N ~uint64 | ~uint32](n N) string { return strconv.FormatUint(uint64(n), 10) }
