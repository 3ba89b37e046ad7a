package archive

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/quorate/quorate/sequencer/wire"
)

// Row is one archived message. Its DeliveredAt and ReadAt are not stored: they follow from Receipts.
type Row struct {
	wire.Message
	Receipts []Receipt // ascending by user; of those who had the message when it was archived
}

// Receipt is when a user got a message; 0 for not yet.
type Receipt struct {
	UserID              string
	DeliveredAt, ReadAt wire.Millis
}

// record is a row as it stands in Parquet.
type record struct {
	ChatID          string          `parquet:"chat_id,dict"`
	Seq             int64           `parquet:"seq,delta"`
	MessageID       string          `parquet:"message_id,delta"`
	SenderID        string          `parquet:"sender_id,dict"`
	ClientMessageID string          `parquet:"client_message_id,delta"`
	Text            string          `parquet:"text"`
	SentAt          int64           `parquet:"sent_at,delta,timestamp(millisecond)"`
	Lamport         int64           `parquet:"lamport,delta"`
	Trace           string          `parquet:"trace,delta"`
	Receipts        []recordReceipt `parquet:"receipts,list"`
}

type recordReceipt struct {
	UserID      string `parquet:"user_id,dict"`
	DeliveredAt int64  `parquet:"delivered_at,delta,timestamp(millisecond)"`
	ReadAt      int64  `parquet:"read_at,delta,timestamp(millisecond)"`
}

// set makes rec the record of a row. It uses the receipts' memory again.
func (rec *record) set(r *Row) {
	receipts := rec.Receipts[:0]
	for _, receipt := range r.Receipts {
		receipts = append(receipts, recordReceipt{receipt.UserID, int64(receipt.DeliveredAt), int64(receipt.ReadAt)})
	}
	*rec = record{
		ChatID: r.ChatID, Seq: int64(r.Seq), MessageID: messageID(r.ChatID, r.Seq), SenderID: r.SenderID, ClientMessageID: r.ClientMessageID,
		Text: r.Text, SentAt: int64(r.SentAt), Lamport: int64(r.Lamport), Trace: r.Trace, Receipts: receipts,
	}
}

func messageID(chatID string, seq wire.Seq) string {
	return chatID + ":" + strconv.FormatUint(uint64(seq), 10)
}

// row gives the message of a record, or ErrCorrupt where the record can be none.
func (rec *record) row() (Row, error) {
	r := Row{Message: wire.Message{
		ChatID: rec.ChatID, Seq: wire.Seq(rec.Seq), SenderID: rec.SenderID, ClientMessageID: rec.ClientMessageID, Text: rec.Text,
		SentAt: wire.Millis(rec.SentAt), Lamport: wire.Lamport(rec.Lamport), Trace: rec.Trace,
	}}
	if rec.Seq <= 0 || r.Seq > wire.MaxSeq || rec.SentAt < 0 || rec.Lamport < 0 || rec.MessageID != messageID(r.ChatID, r.Seq) {
		return r, fmt.Errorf("%w: a row that is no message: %q", ErrCorrupt, rec.MessageID)
	}
	if n := len(rec.Receipts); n > 0 {
		r.Receipts = make([]Receipt, n)
	}
	for i, receipt := range rec.Receipts {
		r.Receipts[i] = Receipt{receipt.UserID, wire.Millis(receipt.DeliveredAt), wire.Millis(receipt.ReadAt)}
		if i > 0 && r.Receipts[i].UserID <= r.Receipts[i-1].UserID || receipt.DeliveredAt < 0 || receipt.ReadAt < 0 {
			return r, fmt.Errorf("%w: receipts of %s", ErrCorrupt, rec.MessageID)
		}
	}
	return r, nil
}

// follows reports whether a message stands behind another in the order of an object.
func follows(chatID string, seq wire.Seq, behindChat string, behind wire.Seq) bool {
	return cmp.Or(cmp.Compare(chatID, behindChat), cmp.Compare(seq, behind)) > 0
}
