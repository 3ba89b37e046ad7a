package raftfsm

import (
	"encoding/binary"

	"github.com/quorate/quorate/sequencer/wire"
)

// The tables of the store: the first byte of every key. FORMAT.md tells each byte for byte.
const (
	tableMeta     = 'a'
	tableChat     = 'c'
	tableCounters = 'n'
	tableFormer   = 'l'
	tableMessage  = 's'
	tableDedup    = 'd'
	tableMarks    = 'w'
	tableRise     = 'r'
	tableFeed     = 'f'
	tableUserChat = 'u'
	tablePair     = 'p'
	tableOutbox   = 'o'
	tableMap      = 'm'
	tableLease    = 'e'
	tableSeen     = 't'
	tableConsumer = 'k'

	tableRun        = 'x'
	tableSegment    = 'g'
	tableSegmentKey = 'h'
	tableKeeping    = 'q'

	tablePush = 'v'
)

// metaKey holds the one record of tableMeta.
var metaKey = []byte{tableMeta}

// key1 is a table's key of one id.
func key1(dst []byte, table byte, id string) []byte { return append(append(dst, table), id...) }

// key2 is a table's key of two ids: no id holds a NUL.
func key2(dst []byte, table byte, a, b string) []byte {
	dst = append(append(dst, table), a...)
	return append(append(dst, 0), b...)
}

func messageKey(dst []byte, chatID string, seq wire.Seq) []byte {
	dst = append(append(dst, tableMessage), chatID...)
	return binary.BigEndian.AppendUint64(append(dst, 0), uint64(seq))
}

func dedupKey(dst []byte, chatID, sender, clientMessageID string) []byte {
	dst = key2(dst, tableDedup, chatID, sender)
	return append(append(dst, 0), clientMessageID...)
}

// riseKind tells the two series of a member's rises apart.
type riseKind byte

const (
	riseDelivered riseKind = 'd'
	riseRead      riseKind = 'r'
)

func riseKey(dst []byte, chatID, userID string, kind riseKind, seq wire.Seq) []byte {
	dst = key2(dst, tableRise, chatID, userID)
	return binary.BigEndian.AppendUint64(append(dst, 0, byte(kind)), uint64(seq))
}

func numberKey(dst []byte, table byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, table), n)
}

// after is the first key that does not begin with prefix. prefix does not end in 0xff.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	end[len(end)-1]++
	return end
}
