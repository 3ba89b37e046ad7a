package wire

import "time"

// The calls below never wait. Each calls done exactly once, with what the call of the same name without Async returns:
// before it returns where the request is refused at once, else on a goroutine of the client, where done must not block.
// timeout bounds the whole of it, retries included.

// AppendAsync is Append that does not wait.
func (c *Client) AppendAsync(timeout time.Duration, q AppendRequest, done func(AppendAck, error)) {
	submit(c, timeout, q.ChatID, decodeAck, done, q.args()...)
}

// GetChatAsync is GetChat that does not wait.
func (c *Client) GetChatAsync(timeout time.Duration, chatID, forUser string, done func(*ChatView, error)) {
	submit(c, timeout, chatID, decodeChat, done, getChatArgs(chatID, forUser)...)
}

// ReceiptsAsync is Receipts of all members that does not wait.
func (c *Client) ReceiptsAsync(timeout time.Duration, chatID string, done func([]Watermarks, error)) {
	submit(c, timeout, chatID, decodeWatermarks, done, "CHAT.RECEIPTS", chatID)
}

// RangeAsync is Range that does not wait.
func (c *Client) RangeAsync(timeout time.Duration, q RangeRequest, done func(Page, error)) {
	submit(c, timeout, q.ChatID, decodePage, done, q.args()...)
}

// HeadAsync is Heads of one chat that does not wait.
func (c *Client) HeadAsync(timeout time.Duration, chatID, forUser string, done func(Head, error)) {
	submit(c, timeout, chatID, decodeHead(chatID), done, appendFor([]string{"CHAT.HEAD", chatID}, forUser)...)
}

// UserChatsAsync is UserChats that does not wait.
func (c *Client) UserChatsAsync(timeout time.Duration, userID, after string, count int, done func(UserChatsPage, error)) {
	submit(c, timeout, userID, decodeUserChats, done, userChatsArgs(userID, after, count)...)
}
