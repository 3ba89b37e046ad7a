package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// The bounds of a reply. What goes beyond ends the connection, since nothing behind it could be found any more.
const (
	maxReplyBulk  = 32 << 20 // bytes of one string
	maxReplyElems = 1 << 20  // values of a whole reply
	maxReplyDepth = 8        // arrays and maps in one another
	maxReplyBytes = 96 << 20 // of a whole reply in memory
	maxReplyLine  = 8 << 10  // of a simple string, an error or a length

	replyBytes      = 64       // that one value takes beside its text
	firstElems      = 64       // made room for before they have come, whatever number is announced
	firstBulk       = 64 << 10 // the same of the bytes of a string
	replyBufferSize = 32 << 10
)

// errProtocol is a reply that is no RESP, or beyond the bounds.
var errProtocol = errors.New("protocol error in a reply")

// replyReader reads RESP2 and RESP3 replies. What it allocates is bounded by the bytes that have come, not by the lengths
// that they announce.
type replyReader struct {
	br    *bufio.Reader
	elems int // values that the present reply may still have
	bytes int // the same of bytes
}

func newReplyReader(r io.Reader) *replyReader {
	return &replyReader{br: bufio.NewReaderSize(r, replyBufferSize)}
}

// read reads one reply. After an error the reader is of no more use: errProtocol, or that of the reader below it.
func (d *replyReader) read() (Reply, error) {
	d.elems, d.bytes = maxReplyElems, maxReplyBytes
	var r Reply
	err := d.value(&r, 0)
	return r, err
}

// value reads one value, and before it the attributes, which nobody here asked for.
func (d *replyReader) value(r *Reply, depth int) error {
	for within := depth > 0; ; within = true {
		line, err := d.line()
		if err != nil && within {
			return unexpected(err)
		}
		if err != nil {
			return err
		}
		if d.elems--; d.elems < 0 {
			return fmt.Errorf("%w: more than %d values", errProtocol, maxReplyElems)
		}
		if line[0] != '|' {
			return d.body(r, line[0], line[1:], depth)
		}
		var attributes Reply
		if err := d.body(&attributes, '%', line[1:], depth); err != nil {
			return err
		}
	}
}

// body reads what follows a type byte; line is the rest of its line, good until the next read.
func (d *replyReader) body(r *Reply, kind byte, line []byte, depth int) error {
	switch kind {
	case '$', '!', '=':
		return d.bulk(r, kind, line)
	case '*', '~', '>':
		return d.list(r, kind, line, 1, depth)
	case '%':
		return d.list(r, kind, line, 2, depth)
	}
	return d.scalar(r, kind, line)
}

// scalar reads a value that is all on its line.
func (d *replyReader) scalar(r *Reply, kind byte, line []byte) error {
	switch kind {
	case '+', '(':
		return d.text(r, KindString, line)
	case '-':
		return d.text(r, KindError, line)
	case ':':
		n, ok := parseInt(line)
		if !ok {
			return fmt.Errorf("%w: integer %q", errProtocol, line)
		}
		*r = Reply{kind: KindInt, num: n}
		return nil
	case ',':
		n, err := strconv.ParseFloat(string(line), 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return fmt.Errorf("%w: double %q", errProtocol, line)
		}
		*r = Reply{kind: KindDouble, num: int64(math.Float64bits(n))}
		return nil
	case '#':
		if len(line) != 1 || line[0] != 't' && line[0] != 'f' {
			return fmt.Errorf("%w: boolean %q", errProtocol, line)
		}
		*r = Reply{kind: KindBool}
		if line[0] == 't' {
			r.num = 1
		}
		return nil
	case '_':
		if len(line) != 0 {
			return fmt.Errorf("%w: null with %q", errProtocol, line)
		}
		*r = Reply{}
		return nil
	}
	return fmt.Errorf("%w: type %q", errProtocol, kind)
}

// text makes a string of bytes; the names of our fields cost nothing.
func (d *replyReader) text(r *Reply, kind Kind, b []byte) error {
	if known, ok := knownNames[string(b)]; ok { // makes no string to look it up
		*r = Reply{kind: kind, text: known}
		return nil
	}
	if d.bytes -= len(b); d.bytes < 0 {
		return fmt.Errorf("%w: more than %d bytes", errProtocol, maxReplyBytes)
	}
	*r = Reply{kind: kind, text: string(b)}
	return nil
}

// bulk reads a string with its length before it: plain, an error, or verbatim with its format before the text.
func (d *replyReader) bulk(r *Reply, kind byte, line []byte) error {
	n, null, err := d.length(kind, line, maxReplyBulk)
	if err != nil || null {
		*r = Reply{}
		return err
	}
	as := KindString
	if kind == '!' {
		as = KindError
	}
	if n+2 > replyBufferSize {
		err = d.longText(r, as, n)
	} else {
		err = d.shortText(r, as, n)
	}
	if err != nil || kind != '=' {
		return err
	}
	if len(r.text) < 4 || r.text[3] != ':' {
		return fmt.Errorf("%w: verbatim string without a format", errProtocol)
	}
	r.text = r.text[4:]
	return nil
}

// shortText reads a string that fits into the buffer, with its line end.
func (d *replyReader) shortText(r *Reply, kind Kind, n int) error {
	b, err := d.br.Peek(n + 2)
	if err != nil {
		return unexpected(err)
	}
	if b[n] != '\r' || b[n+1] != '\n' {
		return fmt.Errorf("%w: string is longer than announced", errProtocol)
	}
	if err := d.text(r, kind, b[:n]); err != nil {
		return err
	}
	_, err = d.br.Discard(n + 2)
	return unexpected(err)
}

// longText reads a string piece by piece, so that memory follows what has come.
func (d *replyReader) longText(r *Reply, kind Kind, n int) error {
	if d.bytes -= n; d.bytes < 0 {
		return fmt.Errorf("%w: more than %d bytes", errProtocol, maxReplyBytes)
	}
	var text strings.Builder
	text.Grow(min(n, firstBulk))
	for left := n; left > 0; {
		b, err := d.br.Peek(min(left, replyBufferSize))
		if err != nil {
			return unexpected(err)
		}
		text.Write(b)
		left -= len(b)
		if _, err := d.br.Discard(len(b)); err != nil {
			return unexpected(err)
		}
	}
	*r = Reply{kind: kind, text: text.String()}
	end, err := d.br.Peek(2)
	if err != nil {
		return unexpected(err)
	}
	if end[0] != '\r' || end[1] != '\n' {
		return fmt.Errorf("%w: string is longer than announced", errProtocol)
	}
	_, err = d.br.Discard(2)
	return unexpected(err)
}

// list reads an array, a set, a push or a map; each of its entries has per values.
func (d *replyReader) list(r *Reply, kind byte, line []byte, per, depth int) error {
	n, null, err := d.length(kind, line, maxReplyElems)
	if err != nil || null {
		*r = Reply{}
		return err
	}
	if n *= per; n > d.elems {
		return fmt.Errorf("%w: more than %d values", errProtocol, maxReplyElems)
	}
	if depth++; depth > maxReplyDepth {
		return fmt.Errorf("%w: more than %d arrays in one another", errProtocol, maxReplyDepth)
	}
	if d.bytes -= n * replyBytes; d.bytes < 0 {
		return fmt.Errorf("%w: more than %d bytes", errProtocol, maxReplyBytes)
	}
	elems := make([]Reply, 0, min(n, firstElems))
	for range n {
		elems = append(elems, Reply{})
		if err := d.value(&elems[len(elems)-1], depth); err != nil {
			return err
		}
	}
	*r = Reply{kind: listKind(kind), elems: elems}
	return nil
}

func listKind(kind byte) Kind {
	switch kind {
	case '%':
		return KindMap
	case '>':
		return KindPush
	}
	return KindArray
}

// length reads the length of a string or the count of a list. RESP2 has -1 for null there.
func (d *replyReader) length(kind byte, line []byte, most int) (n int, null bool, err error) {
	v, ok := parseInt(line)
	if ok && v == -1 && (kind == '$' || kind == '*') {
		return 0, true, nil
	}
	if !ok || v < 0 || v > int64(most) {
		return 0, false, fmt.Errorf("%w: length %q", errProtocol, line)
	}
	return int(v), false, nil
}

// line reads a line without its end. It has one byte at least, and is good until the next read.
func (d *replyReader) line() ([]byte, error) {
	line, err := d.br.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || len(line) > maxReplyLine {
		return nil, fmt.Errorf("%w: line of more than %d bytes", errProtocol, maxReplyLine)
	}
	if err != nil {
		if len(line) > 0 {
			err = unexpected(err)
		}
		return nil, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return nil, fmt.Errorf("%w: line %q", errProtocol, line)
	}
	return line[:len(line)-2], nil
}

// unexpected is the error of a stream that ends within a reply.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseInt reads a decimal number of 64 bits, without a sign or with a minus.
func parseInt(b []byte) (int64, bool) {
	digits := b
	if len(b) > 0 && b[0] == '-' {
		digits = b[1:]
	}
	if len(digits) == 0 || len(digits) > 19 {
		return 0, false
	}
	var n uint64 // 19 digits fit
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	if len(digits) != len(b) {
		return -int64(n), n <= 1<<63
	}
	return int64(n), n <= math.MaxInt64
}

// knownNames are the texts that come again and again: the names of fields and of kinds.
var knownNames = func() map[string]string {
	names := map[string]string{}
	for _, name := range []string{
		"", "OK", "seq", "sentAt", "lamport", "replayed", "chatId", "senderId", "clientMessageId", "text", "trace",
		"deliveredAt", "readAt", "deliveredUpTo", "readUpTo", "userId", "messages", "next", "archived", "lastSeq", "hotFrom",
		"from", "type", "name", "creator", "members", "intervals", "createdAt", "version", "fresh", "history", "join", "start",
		"lastMessage", "chats", "events", "offset", "kind", "at", "added", "removed", "floor", "direct", "group", "message",
		"receipt", "chat",
	} {
		names[name] = name
	}
	return names
}()
