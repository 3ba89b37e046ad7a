package raftfsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"sync"

	"github.com/hashicorp/raft"
)

// tailIndex is the key of the tail record: behind all entries, so that bytes which take the end of the log take it too.
const tailIndex = math.MaxUint64

// logSumLen is the length of what checkedLog appends to an entry's Extensions.
const logSumLen = 4

// checkedLog puts checksums over a log store that has none. Each entry carries a CRC-32C in its Extensions, and one record
// behind the last, written with it, tells how far the log goes: without it a page that lost its end would look like a
// shorter log. FORMAT.md has the bytes.
type checkedLog struct {
	inner raft.LogStore
	file  string // named in errors

	mu   sync.Mutex
	last uint64 // of the log
}

// openCheckedLog opens the log that inner holds. It reads only its ends; see verify.
func openCheckedLog(inner raft.LogStore, file string) (*checkedLog, error) {
	c := &checkedLog{inner: inner, file: file}
	last, err := inner.LastIndex()
	if err != nil {
		return nil, corrupt(file, err)
	}
	if last == 0 {
		return c, nil // nothing was ever written
	}
	var tail raft.Log
	if err := inner.GetLog(tailIndex, &tail); err != nil {
		return nil, corrupt(file, fmt.Errorf("the end of the log: %w", err))
	}
	if err := c.check(tailIndex, &tail); err != nil {
		return nil, err
	}
	if len(tail.Data) != 8 {
		return nil, corrupt(file, fmt.Errorf("the end of the log has %d bytes", len(tail.Data)))
	}
	c.last = binary.BigEndian.Uint64(tail.Data)
	return c, nil
}

// verify reads every entry once. A library that meets broken pages may panic; that is an answer too.
func (c *checkedLog) verify() (err error) {
	defer faultsPanic()()
	defer recovered(c.file, &err)
	first, err := c.FirstIndex()
	if err != nil {
		return err
	}
	if first > c.last && c.last != 0 {
		return corrupt(c.file, fmt.Errorf("the log begins at %d and ends at %d", first, c.last))
	}
	if first == 0 {
		return nil
	}
	term := uint64(0)
	for i := first; i <= c.last; i++ {
		var l raft.Log
		if err := c.GetLog(i, &l); err != nil {
			if errors.Is(err, raft.ErrLogNotFound) {
				err = corrupt(c.file, fmt.Errorf("entry %d of %d to %d is missing", i, first, c.last))
			}
			return err
		}
		if l.Term < term {
			return corrupt(c.file, fmt.Errorf("entry %d is of term %d, the one before of %d", i, l.Term, term))
		}
		term = l.Term
	}
	return nil
}

// FirstIndex gives the index of the first entry, 0 for none.
func (c *checkedLog) FirstIndex() (uint64, error) {
	first, err := c.inner.FirstIndex()
	if first == tailIndex {
		first = 0
	}
	return first, err
}

// LastIndex gives the index of the last entry, 0 for none.
func (c *checkedLog) LastIndex() (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, nil
}

// GetLog reads an entry. One that is not what was stored is an ErrCorrupt.
func (c *checkedLog) GetLog(index uint64, l *raft.Log) error {
	if err := c.inner.GetLog(index, l); err != nil {
		if errors.Is(err, raft.ErrLogNotFound) {
			return err
		}
		return corrupt(c.file, fmt.Errorf("entry %d: %w", index, err))
	}
	return c.check(index, l)
}

// check compares an entry with its checksum, and takes that off.
func (c *checkedLog) check(index uint64, l *raft.Log) error {
	n := len(l.Extensions) - logSumLen
	if n < 0 {
		return corrupt(c.file, fmt.Errorf("entry %d has no checksum", index))
	}
	sum := binary.BigEndian.Uint32(l.Extensions[n:])
	l.Extensions = l.Extensions[:n:n]
	if n == 0 {
		l.Extensions = nil
	}
	if l.Index != index || logSum(l) != sum {
		return corrupt(c.file, fmt.Errorf("entry %d does not fit its checksum", index))
	}
	return nil
}

// logSum is the checksum over all of an entry that counts.
func logSum(l *raft.Log) uint32 {
	var head [25]byte
	binary.BigEndian.PutUint64(head[0:], l.Index)
	binary.BigEndian.PutUint64(head[8:], l.Term)
	head[16] = byte(l.Type)
	binary.BigEndian.PutUint64(head[17:], uint64(len(l.Data)))
	sum := crc32.Checksum(head[:], castagnoli)
	sum = crc32.Update(sum, castagnoli, l.Data)
	return crc32.Update(sum, castagnoli, l.Extensions)
}

// sealed is a copy of an entry that carries its checksum.
func sealed(l *raft.Log) *raft.Log {
	s := *l
	s.Extensions = binary.BigEndian.AppendUint32(l.Extensions[:len(l.Extensions):len(l.Extensions)], logSum(l))
	return &s
}

// tailOf is the record that says where the log ends.
func tailOf(last uint64) *raft.Log {
	return sealed(&raft.Log{Index: tailIndex, Type: raft.LogNoop, Data: binary.BigEndian.AppendUint64(nil, last)})
}

// StoreLog appends an entry.
func (c *checkedLog) StoreLog(l *raft.Log) error { return c.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends entries and, with them, the new end.
func (c *checkedLog) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	all := make([]*raft.Log, 0, len(logs)+1)
	for _, l := range logs {
		all = append(all, sealed(l))
	}
	last := logs[len(logs)-1].Index
	return c.storeTail(last, append(all, tailOf(last)))
}

func (c *checkedLog) storeTail(last uint64, logs []*raft.Log) error {
	if err := c.inner.StoreLogs(logs); err != nil {
		return err
	}
	c.mu.Lock()
	c.last = last
	c.mu.Unlock()
	return nil
}

// DeleteRange deletes entries at one end of the log. When they are the last ones the new end is recorded first: a crash
// in between leaves entries behind it, which is as if they had been deleted, and never an end without its entries.
func (c *checkedLog) DeleteRange(low, high uint64) error {
	if last, _ := c.LastIndex(); high >= last {
		first, err := c.FirstIndex()
		if err != nil {
			return err
		}
		end := low - 1
		if low <= first {
			end = 0 // nothing remains
		}
		if err := c.storeTail(end, []*raft.Log{tailOf(end)}); err != nil {
			return err
		}
	}
	return c.inner.DeleteRange(low, min(high, tailIndex-1))
}
