package raftfsm

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/sequencer/wire"
)

// MemberHead is where a chat stands for one of its members.
type MemberHead struct {
	Head
	Member wire.Member
	Marks  wire.Watermarks
}

// HeadFor gives where a chat stands for a member, with wire.ErrNoChat or wire.ErrNotMember. The watermarks are never beyond
// the head.
func (s *Store) HeadFor(chatID, userID string) (h MemberHead, err error) {
	err = s.view(func(db *pebble.DB) error {
		if h.Member, err = readMember(db, chatID, userID); err != nil {
			return err
		}
		if h.Marks, err = readMarks(db, chatID, h.Member); err != nil {
			return err
		}
		c, err := readCounters(db, chatID)
		h.Head = Head{LastSeq: c.lastSeq, HotFrom: c.hotFrom, Lamport: c.lamport}
		return err
	})
	return h, err
}

// readMember reads one member of a chat.
func readMember(db pebble.Reader, chatID, userID string) (m wire.Member, err error) {
	there := false
	found, err := get(db, key1(nil, tableChat, chatID), func(b []byte) (err error) {
		m, there, err = findMember(b, userID)
		return err
	})
	switch {
	case err != nil:
		return m, fmt.Errorf("chat %s: %w", chatID, err)
	case !found:
		return m, wire.ErrNoChat
	case !there:
		return m, wire.ErrNotMember
	}
	return m, nil
}

// findMember is decodeChat for one who looks for a single member: it checks the same bytes, and makes nothing of the others.
func findMember(b []byte, userID string) (m wire.Member, there bool, err error) {
	d := openRecord(b)
	for range 3 { // type, name, creator
		d.skipString()
	}
	d.millis()
	d.bool()
	d.skipString() // the creation's hash
	d.uvarint()
	for range d.count() {
		if string(d.bytes(d.uvarint())) != userID {
			d.skipIntervals()
			continue
		}
		m, there = wire.Member{UserID: userID, Intervals: d.intervals()}, true
	}
	return m, there, d.end()
}

func (d *decoder) skipString() { d.bytes(d.uvarint()) }

func (d *decoder) skipIntervals() {
	for range d.count() {
		d.uvarint()
		d.uvarint()
	}
}
