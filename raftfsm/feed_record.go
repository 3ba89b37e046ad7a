package raftfsm

import (
	"encoding/binary"
	"errors"

	"github.com/quorate/quorate/sequencer/wire"
)

// Kinds of feed records. A message's refers to the stored message and names what its dedup record is found by.
const (
	feedMessage byte = iota + 1
	feedReceipt
	feedMembers
	feedChat
)

func appendEvent(dst []byte, e *wire.Event) []byte {
	dst = newRecord(dst)
	switch e.Kind {
	case wire.EventMessage:
		dst = appendEventHead(dst, feedMessage, e)
		dst = binary.AppendUvarint(dst, uint64(e.Message.Seq))
		dst = appendString(dst, e.Message.SenderID)
		return appendString(dst, e.Message.ClientMessageID)
	case wire.EventReceipt:
		dst = appendEventHead(dst, feedReceipt, e)
		dst = appendString(dst, e.Marks.UserID)
		return append(dst, appendMarks(nil, *e.Marks)...)
	}
	kind := feedMembers
	if e.Kind == wire.EventChat {
		kind = feedChat
	}
	dst = appendEventHead(dst, kind, e)
	dst = binary.AppendUvarint(dst, e.Version)
	dst = binary.AppendUvarint(dst, uint64(e.Seq))
	dst = appendStrings(dst, e.Added)
	return appendStrings(dst, e.Removed)
}

func appendEventHead(dst []byte, kind byte, e *wire.Event) []byte {
	dst = append(dst, kind)
	dst = appendString(dst, e.ChatID)
	return binary.AppendUvarint(dst, uint64(e.At))
}

// decodeEvent reads a feed record. Of a message only ChatID, Seq, SenderID and ClientMessageID are set.
func decodeEvent(b []byte, offset wire.Offset) (wire.Event, error) {
	d := openRecord(b)
	kind := d.bytes(1)
	e := wire.Event{Offset: offset, ChatID: d.string(), At: d.millis()}
	if d.err != nil {
		return e, d.err
	}
	switch kind[0] {
	case feedMessage:
		e.Kind = wire.EventMessage
		e.Message = &wire.Message{
			ChatID: e.ChatID, Seq: wire.Seq(d.uvarint()), SenderID: d.string(), ClientMessageID: d.string(),
		}
		return e, d.end()
	case feedReceipt:
		e.Kind = wire.EventReceipt
		user := d.string()
		if d.err != nil {
			return e, d.err
		}
		marks, err := decodeMarks(d.rest, user)
		e.Marks = &marks
		return e, err
	case feedMembers:
		e.Kind = wire.EventMembers
	case feedChat:
		e.Kind = wire.EventChat
	default:
		return e, errors.New("unknown kind of event")
	}
	e.Version, e.Seq, e.Added, e.Removed = d.uvarint(), wire.Seq(d.uvarint()), d.strings(), d.strings()
	return e, d.end()
}
