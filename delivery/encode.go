package delivery

import (
	"bytes"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/quorate/quorate/sequencer/wire"
)

// The JSON of what goes out is appended by hand: a message is encoded once and sent to many, and its fields are few.
// Every appender takes the buffer and returns it, as append does.

// appendJSONString appends s as a JSON string. s is valid UTF-8 wherever it comes from the log; other bytes become the
// replacement character, so that a frame is always valid.
func appendJSONString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || n != 1 {
				i += n
				continue
			}
			dst = append(append(dst, s[start:i]...), "\ufffd"...)
		} else {
			dst = append(dst, s[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

// appendKey appends `,"key":`. Keys are our own and need no escaping.
func appendKey(dst []byte, key string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, key...)
	return append(dst, '"', ':')
}

// appendText appends `,"key":"value"`.
func appendText(dst []byte, key, value string) []byte {
	return appendJSONString(appendKey(dst, key), value)
}

// appendNumber appends `,"key":value`.
func appendNumber(dst []byte, key string, value uint64) []byte {
	return strconv.AppendUint(appendKey(dst, key), value, 10)
}

// appendTime appends `,"key":"2026-01-02T03:04:05.678Z"`, or null for a time that has not come yet.
func appendTime(dst []byte, key string, at wire.Millis) []byte {
	dst = appendKey(dst, key)
	if at == 0 {
		return append(dst, "null"...)
	}
	dst = append(dst, '"')
	dst = time.UnixMilli(int64(at)).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	return append(dst, '"')
}

// appendMessageID appends `,"messageId":"chatId:seq"`.
func appendMessageID(dst []byte, chatID string, seq wire.Seq) []byte {
	dst = append(appendKey(dst, "messageId"), '"')
	dst = append(dst, chatID...)
	dst = append(dst, ':')
	dst = strconv.AppendUint(dst, uint64(seq), 10)
	return append(dst, '"')
}

// appendMessage appends the members that every form of a message has, each with a comma in front.
func appendMessage(dst []byte, m *wire.Message) []byte {
	dst = appendText(dst, "chatId", m.ChatID)
	dst = appendMessageID(dst, m.ChatID, m.Seq)
	dst = appendText(dst, "senderId", m.SenderID)
	dst = appendText(dst, "text", m.Text)
	dst = appendTime(dst, "sentAt", m.SentAt)
	dst = appendNumber(dst, "sequenceNumber", uint64(m.Seq))
	dst = appendNumber(dst, "lamport", uint64(m.Lamport))
	return appendText(dst, "clientMessageId", m.ClientMessageID)
}

// appendPage appends `"messages":[…],"nextCursor":…`. A page that grows over most bytes ends early, with the messages
// nearest to where the client asked, and never without one.
func appendPage(dst []byte, p wire.Page, before bool, most int) []byte {
	objects, size := make([][]byte, 0, len(p.Messages)), 0
	for i := range p.Messages {
		at := i
		if before {
			at = len(p.Messages) - 1 - i
		}
		object := encodeHistoric(&p.Messages[at])
		if size += len(object); size > most && i > 0 {
			p.Next = p.Messages[at].Seq
			if before {
				p.Next++
			}
			break
		}
		objects = append(objects, object)
	}
	if before {
		slices.Reverse(objects)
	}
	dst = append(dst, `"messages":[`...)
	dst = append(dst, bytes.Join(objects, []byte{','})...)
	dst = append(dst, `],"nextCursor":`...)
	return appendSeqOrNull(dst, p.Next)
}

// encodeHistoric encodes a message as history shows it, with the times at which the others had it.
func encodeHistoric(m *wire.Message) []byte {
	dst := append(make([]byte, 0, 400+len(m.Text)), '{')
	dst = appendMessage(dst, m)
	dst = slices.Delete(dst, 1, 2) // the first comma
	dst = appendTime(dst, "deliveredAt", m.DeliveredAt)
	return append(appendTime(dst, "readAt", m.ReadAt), '}')
}

func appendSeqOrNull(dst []byte, seq wire.Seq) []byte {
	if seq == 0 {
		return append(dst, "null"...)
	}
	return strconv.AppendUint(dst, uint64(seq), 10)
}

// appendChat appends a chat as an object without the closing brace, so that callers can add to it.
func appendChat(dst []byte, c *wire.Chat) []byte {
	dst = append(dst, `{"chatId":`...)
	dst = appendJSONString(dst, c.ChatID)
	dst = appendText(dst, "type", string(c.Type))
	dst = appendText(dst, "name", c.Name)
	dst = appendKey(dst, "members")
	dst = append(dst, '[')
	for i := range c.Members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSONString(dst, c.Members[i].UserID)
	}
	dst = append(dst, ']')
	dst = appendTime(dst, "createdAt", c.CreatedAt)
	return appendNumber(dst, "lastSeq", uint64(c.LastSeq))
}
