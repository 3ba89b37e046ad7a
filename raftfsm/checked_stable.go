package raftfsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime/debug"

	"github.com/hashicorp/raft"
)

const (
	stableVersion = 1
	stableSumLen  = 4
)

// The keys under which raft keeps its term and vote.
var (
	keyTerm     = []byte("CurrentTerm")
	keyVoteTerm = []byte("LastVoteTerm")
	keyVoteCand = []byte("LastVoteCand")
)

// checkedStable puts checksums over a stable store that has none: version byte, value, CRC-32C over key, version and value.
type checkedStable struct {
	inner raft.StableStore
	file  string // named in errors
}

// Set writes a value.
func (c checkedStable) Set(key, value []byte) error {
	body := append(append(make([]byte, 0, len(value)+1+stableSumLen), stableVersion), value...)
	return c.inner.Set(key, binary.BigEndian.AppendUint32(body, stableSum(key, body)))
}

func stableSum(key, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, body)
}

// Get reads a value. One that is not what was stored is an ErrCorrupt; a key that is not there is the inner store's error,
// which raft knows by its text.
func (c checkedStable) Get(key []byte) ([]byte, error) {
	body, err := c.inner.Get(key)
	if err != nil || len(body) == 0 {
		return nil, err
	}
	n := len(body) - stableSumLen
	if n < 1 || stableSum(key, body[:n]) != binary.BigEndian.Uint32(body[n:]) {
		return nil, corrupt(c.file, fmt.Errorf("%s does not fit its checksum", key))
	}
	if body[0] != stableVersion {
		return nil, fmt.Errorf("%s has version %d, this program knows %d", key, body[0], stableVersion)
	}
	return body[1:n], nil
}

// SetUint64 writes a number.
func (c checkedStable) SetUint64(key []byte, value uint64) error {
	return c.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 reads a number.
func (c checkedStable) GetUint64(key []byte) (uint64, error) {
	b, err := c.Get(key)
	if err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, corrupt(c.file, fmt.Errorf("%s has %d bytes", key, len(b)))
	}
	return binary.BigEndian.Uint64(b), nil
}

// verify reads term and vote and compares them with one another and with the highest term that the replica's log or
// snapshots hold: a value that is gone would let the replica vote twice. used tells that the replica has a past.
func (c checkedStable) verify(used bool, highest uint64) (err error) {
	defer faultsPanic()()
	defer recovered(c.file, &err)
	term, hasTerm, err := c.number(keyTerm)
	if err != nil {
		return err
	}
	voteTerm, hasVote, err := c.number(keyVoteTerm)
	if err != nil {
		return err
	}
	candidate, err := c.Get(keyVoteCand)
	if err != nil && err.Error() != keyNotFound {
		return err
	}
	switch {
	case used && !hasTerm:
		return corrupt(c.file, errors.New("the term is gone"))
	case term < highest:
		return corrupt(c.file, fmt.Errorf("the term is %d, entries are of term %d", term, highest))
	case voteTerm > term:
		return corrupt(c.file, fmt.Errorf("the vote is of term %d, the term is %d", voteTerm, term))
	case hasVote != (len(candidate) > 0): // a crash between the two very first writes looks the same, and costs a rebuild
		return corrupt(c.file, errors.New("one half of the vote is gone"))
	}
	return nil
}

// keyNotFound is how stores say that a key is not there: raft compares the text.
const keyNotFound = "not found"

func (c checkedStable) number(key []byte) (n uint64, there bool, err error) {
	n, err = c.GetUint64(key)
	if err != nil && err.Error() == keyNotFound {
		return 0, false, nil
	}
	return n, err == nil, err
}

// faultsPanic lets a read of mapped memory behind a file's end panic in this goroutine, where it would end the process.
// Its result restores what was.
func faultsPanic() (restore func()) {
	old := debug.SetPanicOnFault(true)
	return func() { debug.SetPanicOnFault(old) }
}
