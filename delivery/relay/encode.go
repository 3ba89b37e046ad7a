package relay

import (
	"encoding/binary"
)

// Every function here appends to dst a whole frame, or a part of one, and returns the longer slice.

// open begins a frame; shut puts the length in front. start is len(dst) before open.
func open(dst []byte, k Kind) []byte { return append(dst, 0, 0, 0, 0, byte(k)) }

func shut(dst []byte, start int) []byte {
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

func putString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func putBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func putNumber[N ~uint64 | ~uint32 | ~int64](dst []byte, n N) []byte {
	return binary.AppendUvarint(dst, uint64(n))
}

// AppendHello encodes a Hello as KindHello or KindWelcome.
func AppendHello(dst []byte, k Kind, h Hello) []byte {
	start := len(dst)
	dst = putNumber(open(dst, k), h.Version)
	dst = putString(putString(dst, h.Node), h.Region)
	return shut(putBool(dst, h.Peer), start)
}

// AppendUsers encodes a Users frame.
func AppendUsers(dst []byte, u Users) []byte {
	start := len(dst)
	dst = putBool(putNumber(open(dst, KindUsers), u.Number), u.Reset)
	dst = putNumber(dst, uint64(len(u.Users)))
	for _, user := range u.Users {
		dst = append(putString(dst, user.ID), byte(user.Status))
	}
	return shut(dst, start)
}

// AppendPlaces encodes places as KindAttach or KindPlaces.
func AppendPlaces(dst []byte, k Kind, places []Place) []byte {
	start := len(dst)
	dst = putNumber(open(dst, k), uint64(len(places)))
	for _, p := range places {
		dst = putNumber(putNumber(dst, uint64(p.Group)), p.Next)
	}
	return shut(dst, start)
}

// AppendNumber encodes KindDone or KindAnnounced.
func AppendNumber(dst []byte, k Kind, n uint64) []byte {
	start := len(dst)
	return shut(putNumber(open(dst, k), n), start)
}

// AppendCovered encodes a Covered frame.
func AppendCovered(dst []byte, c Covered) []byte {
	start := len(dst)
	dst = putNumber(open(dst, KindCovered), uint64(c.Group))
	return shut(putNumber(putNumber(dst, c.From), c.To), start)
}

// AppendBatch encodes a batch of entries that AppendEntry made.
func AppendBatch(dst []byte, number uint64, entries [][]byte) []byte {
	start := len(dst)
	dst = putNumber(open(dst, KindBatch), number)
	dst = putNumber(dst, uint64(len(entries)))
	for _, e := range entries {
		dst = append(dst, e...)
	}
	return shut(dst, start)
}

// AppendEntry encodes an entry from an item that AppendItem made: an item is encoded once, whatever number of edges get it.
func AppendEntry(dst, item []byte, users []string) []byte {
	dst = putNumber(dst, uint64(len(users)))
	for _, u := range users {
		dst = putString(dst, u)
	}
	return append(dst, item...)
}

// AppendItem encodes an item.
func AppendItem(dst []byte, i *Item) []byte {
	dst = putString(append(dst, byte(i.Kind)), i.ChatID)
	switch i.Kind {
	case ItemMessage:
		m := i.Message
		dst = putNumber(dst, m.Seq)
		dst = putString(putString(putString(dst, m.SenderID), m.ClientMessageID), m.Text)
		dst = putNumber(putNumber(dst, m.SentAt), m.Lamport)
		dst = putString(dst, m.Trace)
	case ItemReceipt:
		dst = putString(dst, i.Marks.UserID)
		dst = putNumber(putNumber(dst, i.Marks.Delivered), i.Marks.Read)
		dst = putNumber(putNumber(dst, i.Marks.DeliveredAt), i.Marks.ReadAt)
		dst = putNumber(dst, i.At)
	case ItemChat, ItemCreated, ItemLeft:
		dst = putString(dst, string(i.Frame))
	case ItemLook:
		dst = putNumber(dst, i.Seq)
	case ItemTyping:
		dst = putString(dst, i.UserID)
	case ItemPresence:
		dst = putPresence(putString(dst, i.UserID), i.Presence)
	}
	return dst
}

func putPresence(dst []byte, p Presence) []byte {
	return putNumber(append(dst, byte(p.Status)), p.LastSeen)
}

// AppendHint encodes a Hint.
func AppendHint(dst []byte, h Hint) []byte {
	start := len(dst)
	dst = putString(append(open(dst, KindHint), byte(h.Kind)), h.UserID)
	dst = putBool(putPresence(dst, h.Presence), h.Relayed)
	dst = putNumber(dst, uint64(len(h.Chats)))
	for _, c := range h.Chats {
		dst = putString(dst, c)
	}
	return shut(dst, start)
}

// AppendAsk encodes an Ask.
func AppendAsk(dst []byte, a Ask) []byte {
	start := len(dst)
	return shut(putString(putNumber(open(dst, KindAsk), a.Number), a.UserID), start)
}

// AppendAnswer encodes an Answer.
func AppendAnswer(dst []byte, a Answer) []byte {
	start := len(dst)
	return shut(putPresence(putNumber(open(dst, KindAnswer), a.Number), a.Presence), start)
}
