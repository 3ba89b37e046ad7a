package raftfsm

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/quorate/quorate/sequencer/wire"
)

var (
	errTruncated = errors.New("truncated")                       // an entry or a record ends in the middle of a field
	errNumber    = errors.New("a number is too large or padded") // not the one form that a writer gives it
	errFlag      = errors.New("a flag is neither 0 nor 1")
	errLeftOver  = errors.New("bytes left over")
)

// appendString appends a uvarint length and the bytes.
func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendStrings(dst []byte, all []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(all)))
	for _, s := range all {
		dst = appendString(dst, s)
	}
	return dst
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// decoder reads the fields of an entry or a record. The first failure sticks: later reads give zero values, and err
// tells at the end.
type decoder struct {
	rest []byte
	text string // where not "", the same bytes up to the end of rest: strings are cut from it instead of copied one by one
	err  error
}

func (d *decoder) uvarint() uint64 {
	if d.err != nil {
		return 0
	}
	if len(d.rest) > 0 && d.rest[0] < 0x80 { // as most are
		v := uint64(d.rest[0])
		d.rest = d.rest[1:]
		return v
	}
	v, n := binary.Uvarint(d.rest)
	switch {
	case n == 0:
		d.err = errTruncated
	case n < 0, n > 1 && d.rest[n-1] == 0:
		d.err = errNumber // every value has one form, so that equal state is equal bytes
	default:
		d.rest = d.rest[n:]
		return v
	}
	return 0
}

// atMost reads a number that has a bound.
func (d *decoder) atMost(limit uint64) uint64 {
	v := d.uvarint()
	if v > limit {
		d.err = errNumber
		return 0
	}
	return v
}

func (d *decoder) millis() wire.Millis { return wire.Millis(d.atMost(math.MaxInt64)) }

func (d *decoder) bytes(n uint64) []byte {
	if d.err != nil {
		return nil
	}
	if n > uint64(len(d.rest)) {
		d.err = errTruncated
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) string() string {
	b := d.bytes(d.uvarint())
	if d.text == "" {
		return string(b)
	}
	end := len(d.text) - len(d.rest)
	return d.text[end-len(b) : end]
}

func (d *decoder) bool() bool {
	b := d.bytes(1)
	if d.err == nil && b[0] > 1 {
		d.err = errFlag
	}
	return d.err == nil && b[0] == 1
}

// strings reads a counted list; every string takes at least one byte, so that the count is bounded by what is there.
func (d *decoder) strings() []string {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.err = errTruncated
	}
	if d.err != nil || n == 0 {
		return nil
	}
	all := make([]string, 0, n)
	for range n {
		all = append(all, d.string())
	}
	return all
}

// end is the first failure, or one for bytes that are left over.
func (d *decoder) end() error {
	if d.err == nil && len(d.rest) > 0 {
		d.err = errLeftOver
	}
	return d.err
}
