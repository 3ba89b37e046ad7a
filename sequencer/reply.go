package sequencer

import (
	"cmp"
	"errors"
	"strings"

	"github.com/tidwall/redcon"

	"github.com/quorate/quorate/sequencer/wire"
)

// reply builds the bytes of one answer or of several, in the dialect of RESP that the connection asked for.
type reply struct {
	b     []byte
	resp3 bool
}

// maps begins a map of n fields: a map in RESP3, in RESP2 an array of names and values in turn.
func (r *reply) maps(n int) {
	if r.resp3 {
		r.b = appendHead(r.b, '%', n)
	} else {
		r.b = redcon.AppendArray(r.b, 2*n)
	}
}

// appendHead is redcon's AppendArray for the types that RESP3 brought.
func appendHead(b []byte, kind byte, n int) []byte {
	at := len(b)
	b = redcon.AppendArray(b, n)
	b[at] = kind
	return b
}

func (r *reply) array(n int) { r.b = redcon.AppendArray(r.b, n) }

func (r *reply) str(s string) { r.b = redcon.AppendBulkString(r.b, s) }

func (r *reply) int(n int64) { r.b = redcon.AppendInt(r.b, n) }

func (r *reply) simple(s string) { r.b = redcon.AppendString(r.b, s) }

func (r *reply) null() {
	if r.resp3 {
		r.b = append(r.b, "_\r\n"...)
	} else {
		r.b = redcon.AppendNull(r.b)
	}
}

// intOrNull adds a number, or null for 0.
func (r *reply) intOrNull(n int64) {
	if n == 0 {
		r.null()
		return
	}
	r.int(n)
}

func (r *reply) err(err error) { r.b = redcon.AppendError(r.b, errorText(err)) }

// field begins a field of a map; its value must follow.
func (r *reply) field(name string) { r.str(name) }

func (r *reply) fieldStr(name, value string) {
	r.str(name)
	r.str(value)
}

func (r *reply) fieldInt(name string, value int64) {
	r.str(name)
	r.int(value)
}

func (r *reply) fieldBool(name string, value bool) {
	r.str(name)
	if value {
		r.int(1)
	} else {
		r.int(0)
	}
}

func (r *reply) fieldStrs(name string, values []string) {
	r.str(name)
	r.strs(values)
}

func (r *reply) strs(values []string) {
	r.array(len(values))
	for _, v := range values {
		r.str(v)
	}
}

// redisError is an error whose text is the answer as it stands, word included. Errors that Redis has too are told in
// Redis's own words.
type redisError string

func (e redisError) Error() string { return string(e) }

// typed are the errors that reach a client, with what the word says when nothing is said with it.
var typed = []struct {
	err    error
	detail string
}{
	{wire.ErrBadRequest, "the request is wrong"},
	{wire.ErrNotMember, "the user is not a member of the chat"},
	{wire.ErrNoChat, "there is no such chat"},
	{wire.ErrConflict, "the id is taken by something else"},
	{wire.ErrTooLarge, "a limit is exceeded"},
	{wire.ErrTrimmed, "the feed no longer holds that offset"},
	{wire.ErrArchived, "the message is in the archive; CHAT.RANGE says where"},
	{wire.ErrNoAuth, "Authentication required."},
	{wire.ErrNoPerm, "this user may not do that"},
	{wire.ErrBusy, "a queue is full, retry later"},
	{wire.ErrTryAgain, "leadership is on the move, retry soon"},
	{wire.ErrClusterDown, "no leader is known, retry later"},
	{wire.ErrUnknown, "the outcome is not known, send the same again"},
}

// errorText gives an error its RESP form, "WORD detail". What has no word of its own is a fault of this node, which is
// in the log already; another node may do better, so the client is told to try again.
func errorText(err error) string {
	var moved *wire.MovedError
	if errors.As(err, &moved) {
		return moved.Error()
	}
	var redis redisError
	if errors.As(err, &redis) {
		return string(redis)
	}
	for _, t := range typed {
		if !errors.Is(err, t.err) {
			continue
		}
		word := t.err.Error()
		before, after, _ := strings.Cut(err.Error(), word)
		before, after = strings.TrimRight(before, ": "), strings.TrimLeft(after, ": ")
		if before != "" && after != "" {
			before += ": "
		}
		return word + " " + cmp.Or(before+after, t.detail)
	}
	return wire.ErrTryAgain.Error() + " this node failed to answer; its log says why"
}

// isTyped reports whether errorText has a word for err.
func isTyped(err error) bool {
	var moved *wire.MovedError
	var redis redisError
	if errors.As(err, &moved) || errors.As(err, &redis) {
		return true
	}
	for _, t := range typed {
		if errors.Is(err, t.err) {
			return true
		}
	}
	return false
}
