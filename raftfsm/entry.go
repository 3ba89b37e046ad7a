package raftfsm

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/quorate/quorate/sequencer/wire"
)

// errEarly says that an entry holds a command which its format does not have yet: nobody writes such a thing.
var errEarly = errors.New("a command of a later format")

// AppendEntry appends an entry that holds count commands, encoded one after the other by AppendCommand. Its first byte is the
// format, which is at least FormatOf each command. now is the leader's time; one before 1970 counts as 1970.
func AppendEntry(dst []byte, format wire.Format, now wire.Millis, count int, commands []byte) []byte {
	dst = append(dst, byte(format))
	dst = binary.AppendUvarint(dst, uint64(max(0, now)))
	dst = binary.AppendUvarint(dst, uint64(count))
	return append(dst, commands...)
}

// Entry is a decoded entry.
type Entry struct {
	Time     wire.Millis
	Commands []Command
}

// DecodeEntry is the inverse of AppendEntry. It copies what it keeps.
func DecodeEntry(b []byte) (Entry, error) {
	if len(b) == 0 || !wire.Format(b[0]).Known() {
		return Entry{}, fmt.Errorf("entry: %w", errVersion)
	}
	d := decoder{rest: b[1:]}
	e := Entry{Time: d.millis()}
	n := d.uvarint()
	if d.err == nil && n > uint64(len(d.rest)) {
		d.err = errTruncated
	}
	if d.err != nil {
		return Entry{}, fmt.Errorf("entry: %w", d.err)
	}
	e.Commands = make([]Command, 0, n)
	for i := range n {
		kind := d.bytes(1)
		body := d.bytes(d.uvarint())
		if d.err == nil && commandKind(kind[0]).format() > wire.Format(b[0]) {
			d.err = errEarly
		}
		if d.err != nil {
			return Entry{}, fmt.Errorf("entry: command %d: %w", i, d.err)
		}
		c, err := decodeBody(commandKind(kind[0]), body)
		if err != nil {
			return Entry{}, fmt.Errorf("entry: command %d: %w", i, err)
		}
		e.Commands = append(e.Commands, c)
	}
	if err := d.end(); err != nil {
		return Entry{}, fmt.Errorf("entry: %w", err)
	}
	return e, nil
}
