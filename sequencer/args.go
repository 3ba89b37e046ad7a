package sequencer

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"unsafe"

	"github.com/quorate/quorate/sequencer/wire"
)

// args are a command's words, its name first. redcon has copied them out of its buffer, for this command alone, and
// nothing writes to them.
type args [][]byte

// str gives one word without a copy. It keeps the memory of the whole command.
func (a args) str(i int) string { return unsafe.String(unsafe.SliceData(a[i]), len(a[i])) }

// is reports whether word i is a keyword, in capitals or not. It is false beyond the end.
func (a args) is(i int, keyword string) bool {
	return i < len(a) && len(a[i]) == len(keyword) && bytes.EqualFold(a[i], []byte(keyword))
}

// errSyntax is Redis's answer to words that do not fit.
const errSyntax = redisError("ERR syntax error")

// id gives a word that must be a chatId or userId; what names it in the error.
func (a args) id(i int, what string) (string, error) {
	if i >= len(a) {
		return "", errSyntax
	}
	return a.str(i), wire.CheckID(what, a.str(i))
}

// number gives a word that must be digits alone, from least to most.
func (a args) number(i int, what string, least, most uint64) (uint64, error) {
	if i >= len(a) {
		return 0, errSyntax
	}
	n, ok := digits(a[i])
	if !ok || n < least || n > most {
		return 0, fmt.Errorf("%w: %s must be a number from %d to %d", wire.ErrBadRequest, what, least, most)
	}
	return n, nil
}

// digits reads a decimal number without a sign.
func digits(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 || n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

func (a args) seq(i int, what string) (wire.Seq, error) {
	n, err := a.number(i, what, 1, uint64(wire.MaxSeq))
	return wire.Seq(n), err
}

// stale reports whether word i, which may be left out and must be the last one, is STALE.
func (a args) stale(i int) (bool, error) {
	switch {
	case len(a) == i:
		return false, nil
	case len(a) == i+1 && a.is(i, "STALE"):
		return true, nil
	}
	return false, errSyntax
}

// options walks over the keywords behind the fixed words of a command. Each may come once.
type options struct {
	args
	at   int
	seen uint32
}

// take reports whether the next word is a keyword and steps over it. bit tells the keywords of a command apart.
func (o *options) take(bit uint, keyword string) bool {
	if !o.is(o.at, keyword) || o.seen&(1<<bit) != 0 {
		return false
	}
	o.seen |= 1 << bit
	o.at++
	return true
}

// more reports whether there are words left.
func (o *options) more() bool { return o.at < len(o.args) }

// id takes the next word as an id.
func (o *options) id(what string) (string, error) {
	s, err := o.args.id(o.at, what)
	o.at++
	return s, err
}

// number takes the next word as a number.
func (o *options) number(what string, least, most uint64) (uint64, error) {
	n, err := o.args.number(o.at, what, least, most)
	o.at++
	return n, err
}

// seq takes the next word as a seq.
func (o *options) seq(what string) (wire.Seq, error) {
	n, err := o.number(what, 1, uint64(wire.MaxSeq))
	return wire.Seq(n), err
}

// shown is what an error may repeat of what a client sent: short, and without what a terminal would obey.
func shown(b []byte) string {
	const most = 64
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\'' {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(string(b[:min(len(b), most)]), "?"))
	if len(b) > most {
		clean += "…"
	}
	return clean
}
