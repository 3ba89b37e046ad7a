package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// restClient speaks REST. Its connections are kept.
type restClient struct {
	token  func(user string) (string, error)
	client *http.Client
}

const (
	restTimeout  = 30 * time.Second
	maxAnswer    = 8 << 20
	makersAtOnce = 16 // requests that make chats
	maxTries     = 20 // of a request that makes something
)

func newRESTClient(token func(user string) (string, error)) *restClient {
	return &restClient{token: token, client: &http.Client{
		Timeout: restTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: maxInFlight, MaxIdleConns: maxInFlight, DisableCompression: true},
	}}
}

func (c *restClient) close() { c.client.CloseIdleConnections() }

// statusError is an answer other than a good one.
type statusError struct {
	status int
	body   string
}

func (e *statusError) Error() string { return fmt.Sprintf("%d %.200s", e.status, e.body) }

// temporary tells whether the same request may succeed later.
func (e *statusError) temporary() bool {
	return e.status >= 500 || e.status == http.StatusTooManyRequests
}

// do makes a request and decodes its answer into out, where that is not nil.
func (c *restClient) do(ctx context.Context, user, method, at string, body, out any) error {
	var reader io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(b)
	}
	q, err := http.NewRequestWithContext(ctx, method, at, reader)
	if err != nil {
		return err
	}
	token, err := c.token(user)
	if err != nil {
		return err
	}
	q.Header.Set("Authorization", "Bearer "+token)
	if body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.client.Do(q)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // it is read to its end
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	switch {
	case err != nil:
		return err
	case answer.StatusCode >= 300:
		return &statusError{answer.StatusCode, string(text)}
	case out == nil:
		return nil
	}
	return json.Unmarshal(text, out)
}

// makeChat makes a chat of these members, the first of them its creator, and gives its id.
func (c *restClient) makeChat(ctx context.Context, target, id string, members []string) (string, error) {
	body := map[string]any{"type": "group", "chatId": id, "members": members}
	if len(members) == 2 {
		body = map[string]any{"type": "direct", "members": members[1:]}
	}
	for try := 1; ; try++ {
		var made struct{ ChatID string }
		err := c.do(ctx, members[0], http.MethodPost, target+"/chats", body, &made)
		if err == nil {
			return made.ChatID, nil
		}
		refused, is := err.(*statusError) //nolint:errorlint // it is never wrapped
		if is && !refused.temporary() || try == maxTries || ctx.Err() != nil {
			return "", fmt.Errorf("make a chat: %w", err)
		}
		sleep(ctx, time.Duration(try)*50*time.Millisecond)
	}
}

// chats counts a user's chats.
func (c *restClient) chats(ctx context.Context, target, user string) (int, error) {
	var list struct{ Chats []struct{ ChatID string } }
	err := c.do(ctx, user, http.MethodGet, target+"/chats?limit=500", nil, &list)
	return len(list.Chats), err
}

// restMessage is a message as REST tells it.
type restMessage struct {
	SenderID, Text, ClientMessageID string
	SequenceNumber                  wire.Seq
	Lamport                         wire.Lamport
}

func (m *restMessage) wire(chat string) wire.Message {
	return wire.Message{ChatID: chat, Seq: m.SequenceNumber, SenderID: m.SenderID, ClientMessageID: m.ClientMessageID, Text: m.Text, Lamport: m.Lamport}
}

// restPage is a page of messages, over WebSocket too.
type restPage struct {
	Messages   []restMessage
	NextCursor wire.Seq
}

func (p *restPage) wire(chat string) []wire.Message {
	messages := make([]wire.Message, len(p.Messages))
	for i := range p.Messages {
		messages[i] = p.Messages[i].wire(chat)
	}
	return messages
}

// send offers a message and waits until it is durable.
func (c *restClient) send(ctx context.Context, target, chat, user, id, text string) (restMessage, error) {
	var m restMessage
	err := c.do(ctx, user, http.MethodPost, target+"/chats/"+url.PathEscape(chat)+"/messages", map[string]string{"clientMessageId": id, "text": text}, &m)
	return m, err
}

// page reads messages of a chat from a seq on. next is 0 at the head.
func (c *restClient) page(ctx context.Context, target, chat, user string, from wire.Seq, count int) (messages []wire.Message, next wire.Seq, err error) {
	var page restPage
	at := target + "/chats/" + url.PathEscape(chat) + "/messages?cursor=" + strconv.FormatUint(uint64(from), 10) + "&limit=" + strconv.Itoa(count)
	if err := c.do(ctx, user, http.MethodGet, at, nil, &page); err != nil {
		return nil, 0, err
	}
	return page.wire(chat), page.NextCursor, nil
}
