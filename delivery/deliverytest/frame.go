package deliverytest

import (
	"context"
	"encoding/json"
	"time"

	"github.com/coder/websocket"

	"github.com/quorate/quorate/sequencer/wire"
)

// Frame is what a client looks at in a frame from the server.
type Frame struct {
	Type            string `json:"type"`
	ID              string `json:"id"`
	ChatID          string `json:"chatId"`
	UserID          string `json:"userId"`
	SenderID        string `json:"senderId"`
	ClientMessageID string `json:"clientMessageId"`
	Text            string `json:"text"`
	SequenceNumber  uint64 `json:"sequenceNumber"`
	SentAt          string `json:"sentAt"`
	Lamport         uint64 `json:"lamport"`
	DeliveredUpTo   uint64 `json:"deliveredUpTo"`
	ReadUpTo        uint64 `json:"readUpTo"`
	Code            string `json:"code"`
	Detail          string `json:"detail"`
	Temporary       bool   `json:"temporary"`
	RetryAfterMs    int64  `json:"retryAfterMs"`
}

// Message is the message that a frame shows, as the log holds it.
func (f *Frame) Message() (wire.Message, error) {
	at, err := time.Parse(time.RFC3339Nano, f.SentAt)
	return wire.Message{
		ChatID: f.ChatID, Seq: wire.Seq(f.SequenceNumber), SenderID: f.SenderID, ClientMessageID: f.ClientMessageID, Text: f.Text,
		SentAt: wire.Millis(at.UnixMilli()), Lamport: wire.Lamport(f.Lamport),
	}, err
}

// maxFrame bounds what a client reads: one message of 16 KiB, escaped, is less.
const maxFrame = 256 << 10

func write(ctx context.Context, conn *websocket.Conn, f map[string]any) error {
	raw, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return conn.Write(ctx, websocket.MessageText, raw)
}
