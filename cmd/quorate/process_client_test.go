package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

const (
	sendEvery  = 100 * time.Millisecond // of one client; well under the 20/s that an edge allows a user
	askAgain   = time.Second            // a send without an answer is sent again
	maxPending = 20                     // sends of one client that wait for their answer
)

// talker is one user on one WebSocket at a time. It sends to its chats while the crowd talks, records all it does
// and sees, and comes back by another edge when its connection is gone.
type talker struct {
	user, token string
	edges       []string // base URLs
	chats       []string
	talking     *atomic.Bool // the whole crowd's
	record      *sequencertest.Record
	audience    *audience

	mu      sync.Mutex
	sends   int
	pending map[string]*send // by clientMessageId; sent until acknowledged
	acked   []send
}

// send is one message on its way.
type send struct {
	chat, id, text string
	due            time.Time // when it goes out (again)
	seq            wire.Seq  // once it is acknowledged
}

// run talks until ctx is done.
func (c *talker) run(ctx context.Context, edge int) {
	for ctx.Err() == nil {
		_ = c.session(ctx, c.edges[edge%len(c.edges)]) // connections are lost here on purpose
		edge++
		_ = pause(ctx, 50*time.Millisecond)
	}
}

// session is one connection, from hello to its loss.
func (c *talker) session(ctx context.Context, base string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws"+base[len("http"):]+"/stream", &websocket.DialOptions{
		Subprotocols: []string{"quorate.v1"}, HTTPHeader: http.Header{"Authorization": {"Bearer " + c.token}},
	})
	if err != nil {
		return err
	}
	defer conn.CloseNow() //nolint:errcheck // over either way
	conn.SetReadLimit(maxFrame)
	cursors := map[string]wire.Seq{}
	for _, chat := range c.chats {
		cursors[chat] = c.audience.next(c.user, chat)
	}
	if err := sendFrame(ctx, conn, map[string]any{"type": "hello", "deviceId": "d1", "cursors": cursors}); err != nil {
		return err
	}
	var writer sync.WaitGroup
	defer writer.Wait()
	defer cancel()
	for welcomed := false; ; {
		_, raw, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		var f frame
		if err := json.Unmarshal(raw, &f); err != nil {
			c.audience.complain("%s got a frame that is no JSON: %q", c.user, raw)
			return err
		}
		if f.Type == "welcome" && !welcomed {
			welcomed = true
			c.audience.welcomed()
			writer.Go(func() { c.talk(ctx, conn) })
		}
		c.take(ctx, conn, f)
	}
}

// frame is what the client looks at in a frame from the server.
type frame struct {
	Type            string `json:"type"`
	ID              string `json:"id"`
	ChatID          string `json:"chatId"`
	SenderID        string `json:"senderId"`
	ClientMessageID string `json:"clientMessageId"`
	Text            string `json:"text"`
	SequenceNumber  uint64 `json:"sequenceNumber"`
	SentAt          string `json:"sentAt"`
	Lamport         uint64 `json:"lamport"`
	Code            string `json:"code"`
	Detail          string `json:"detail"`
	Temporary       bool   `json:"temporary"`
	RetryAfterMs    int64  `json:"retryAfterMs"`
}

// message is the message that a frame shows.
func (f frame) message() (wire.Message, error) {
	return message{f.SequenceNumber, f.SenderID, f.SentAt, f.Text, f.ClientMessageID, f.Lamport}.logged(f.ChatID)
}

// logged is a message as the log holds it.
func (m message) logged(chat string) (wire.Message, error) {
	at, err := time.Parse(time.RFC3339Nano, m.SentAt)
	return wire.Message{
		ChatID: chat, Seq: wire.Seq(m.SequenceNumber), SenderID: m.SenderID, ClientMessageID: m.ClientMessageID, Text: m.Text,
		SentAt: wire.Millis(at.UnixMilli()), Lamport: wire.Lamport(m.Lamport),
	}, err
}

// take records one frame.
func (c *talker) take(ctx context.Context, conn *websocket.Conn, f frame) {
	switch f.Type {
	case "message":
		m, err := f.message()
		if err != nil {
			c.audience.complain("%s was shown a message with a bad time: %v", c.user, err)
		}
		c.audience.show(c.user, m)
		if f.SequenceNumber%10 == 0 {
			_ = sendFrame(ctx, conn, map[string]any{"type": "ack", "chatId": f.ChatID, "seq": f.SequenceNumber})
		}
	case "sent":
		c.record.Acked(f.ChatID, c.user, f.ClientMessageID, wire.Seq(f.SequenceNumber), wire.Lamport(f.Lamport))
		c.mu.Lock()
		if s := c.pending[f.ClientMessageID]; s != nil {
			s.seq = wire.Seq(f.SequenceNumber)
			c.acked = append(c.acked, *s)
		}
		delete(c.pending, f.ClientMessageID)
		c.mu.Unlock()
	case "error":
		if !f.Temporary {
			c.audience.complain("%s was refused %s: %s %s", c.user, f.ID, f.Code, f.Detail)
			return
		}
		c.mu.Lock()
		if s := c.pending[f.ID]; s != nil {
			s.due = time.Now().Add(max(askAgain/4, time.Duration(f.RetryAfterMs)*time.Millisecond))
		}
		c.mu.Unlock()
	}
}

// talk sends what is due, at the talker's pace, until ctx is done. What the last connection left without an answer goes
// first.
func (c *talker) talk(ctx context.Context, conn *websocket.Conn) {
	c.mu.Lock()
	for _, s := range c.pending {
		s.due = time.Time{}
	}
	c.mu.Unlock()
	tick := time.NewTicker(sendEvery)
	defer tick.Stop()
	for {
		for _, s := range c.due(time.Now()) {
			err := sendFrame(ctx, conn, map[string]any{
				"type": "send", "id": s.id, "chatId": s.chat, "clientMessageId": s.id, "text": s.text,
			})
			if err != nil {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// due lists the sends to go out now, with a new one among them while the crowd talks.
func (c *talker) due(now time.Time) []send {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.talking.Load() && len(c.pending) < maxPending {
		c.sends++
		s := &send{
			chat: c.chats[c.sends%len(c.chats)], id: c.user + "-" + strconv.Itoa(c.sends),
			text: fmt.Sprintf("message %d of %s, naïve ☕", c.sends, c.user),
		}
		c.pending[s.id] = s
		c.record.Begin(s.chat, c.user, s.id, s.text)
	}
	var out []send
	for _, s := range c.pending {
		if !s.due.After(now) {
			s.due = now.Add(askAgain)
			out = append(out, *s)
		}
	}
	return out
}

// some gives up to n of the acknowledged sends, the latest.
func (c *talker) some(n int) []send {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.acked[max(0, len(c.acked)-n):])
}

// quiet reports that no send waits for an answer.
func (c *talker) quiet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pending) == 0
}

func sendFrame(ctx context.Context, conn *websocket.Conn, f map[string]any) error {
	raw, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return conn.Write(ctx, websocket.MessageText, raw)
}
