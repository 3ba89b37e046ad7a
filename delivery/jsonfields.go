package delivery

import (
	"fmt"
	"strconv"

	"github.com/quorate/quorate/sequencer/wire"
)

// fields reads the members of an object with their types, and keeps the first error, so that a handler asks for all it
// needs and then looks once. A member that is null counts as absent. Members nobody asks for are ignored, so that newer
// clients can talk to older edges. Errors wrap wire.ErrBadRequest, or wire.ErrTooLarge where only a size is wrong.
type fields struct {
	obj jsonObj
	err error
}

func (f *fields) fail(format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf("%w: "+format, append([]any{wire.ErrBadRequest}, args...)...)
	}
}

// check keeps err where it is the first.
func (f *fields) check(err error) {
	if f.err == nil {
		f.err = err
	}
}

func (f *fields) find(key string, kind jsonKind) (jsonValue, bool) {
	v, ok := f.obj.get(key)
	if !ok || v.kind == jsonNull {
		return jsonValue{}, false
	}
	if v.kind != kind {
		f.fail("%s must be %s, not %s", key, kind, v.kind)
		return jsonValue{}, false
	}
	return v, true
}

// str returns a string, "" where it is absent.
func (f *fields) str(key string) string {
	v, _ := f.find(key, jsonString)
	return v.str
}

// id returns a chatId or userId that must be there.
func (f *fields) id(key string) string {
	s := f.str(key)
	f.check(wire.CheckID(key, s))
	return s
}

// text returns a message's text, which must be there.
func (f *fields) text() string {
	s := f.str("text")
	f.check(wire.CheckText(s))
	return s
}

// clientMessageID returns the sender's id of a message, which must be there.
func (f *fields) clientMessageID() string {
	s := f.str("clientMessageId")
	f.check(wire.CheckClientMessageID(s))
	return s
}

// seq returns a seq, or false where it is absent.
func (f *fields) seq(key string) (wire.Seq, bool) {
	v, ok := f.find(key, jsonNumber)
	if !ok {
		return 0, false
	}
	n, err := parseSeq(key, string(v.raw))
	f.check(err)
	return n, err == nil
}

// needSeq returns a seq that must be there.
func (f *fields) needSeq(key string) wire.Seq {
	n, ok := f.seq(key)
	if !ok {
		f.fail("%s is missing", key)
	}
	return n
}

// lamport returns a stamp, 0 where it is absent.
func (f *fields) lamport(key string) wire.Lamport {
	v, ok := f.find(key, jsonNumber)
	if !ok || string(v.raw) == "0" {
		return 0
	}
	n, err := parseSeq(key, string(v.raw))
	f.check(err)
	return wire.Lamport(n)
}

// limit returns a page size from 1 to wire.MaxPage, or def where it is absent.
func (f *fields) limit(def int) int {
	v, ok := f.find("limit", jsonNumber)
	if !ok {
		return def
	}
	n, err := parseLimit(string(v.raw))
	f.check(err)
	return n
}

// ids returns an array of ids, at most most of them.
func (f *fields) ids(key string, most int) []string {
	v, ok := f.find(key, jsonArray)
	if !ok {
		return nil
	}
	elements, err := parseElements(v, most)
	if err != nil {
		f.fail("%s may have at most %d elements", key, most)
		return nil
	}
	out := make([]string, len(elements))
	for i, e := range elements {
		if e.kind != jsonString {
			f.fail("%s must hold strings, not %s", key, e.kind)
			return nil
		}
		f.check(wire.CheckID(key, e.str))
		out[i] = e.str
	}
	return out
}

// cursors returns the vector of a hello: chatId to the next seq the client wants.
func (f *fields) cursors(most int) map[string]wire.Seq {
	v, ok := f.find("cursors", jsonObject)
	if !ok {
		return nil
	}
	obj, err := parseObject(v.raw)
	if err != nil {
		f.fail("cursors: %v", err)
		return nil
	}
	if len(obj) > most {
		f.fail("cursors may name at most %d chats", most)
		return nil
	}
	out := make(map[string]wire.Seq, len(obj))
	inner := fields{obj: obj}
	for _, m := range obj {
		inner.check(wire.CheckID("a chatId in cursors", m.key))
		if n, ok := inner.seq(m.key); ok {
			out[m.key] = n
		}
	}
	f.check(inner.err)
	return out
}

// parseSeq reads a plain decimal integer from 1 to wire.MaxSeq, without sign, leading zero, fraction or exponent.
func parseSeq(what, s string) (wire.Seq, error) {
	if len(s) > 0 && len(s) <= 16 && s[0] != '0' && plainDigits(s) {
		if n, err := strconv.ParseUint(s, 10, 64); err == nil && wire.Seq(n) <= wire.MaxSeq {
			return wire.Seq(n), nil
		}
	}
	return 0, fmt.Errorf("%w: %s must be a whole number from 1 to 2^53-1", wire.ErrBadRequest, what)
}

// parseLimit reads a page size.
func parseLimit(s string) (int, error) {
	n, err := parseSeq("limit", s)
	if err != nil || n > wire.MaxPage {
		return 0, fmt.Errorf("%w: limit must be a whole number from 1 to %d", wire.ErrBadRequest, wire.MaxPage)
	}
	return int(n), nil
}

func plainDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
