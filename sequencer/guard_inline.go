package sequencer

import (
	"bytes"
	"fmt"
)

// inline takes a line of text as a command, for people at a terminal. A line without a word is dropped here: the reader
// behind would look for the next one by calling itself, without end.
func (g *guard) inline() error {
	if c := g.buf[g.ok]; !startsInline[c] {
		return protocolError(fmt.Sprintf("expected '*', got %q", rune(c)))
	}
	limit := g.limits.InlineBytes
	if !g.trusted {
		limit = min(limit, g.limits.PreAuthBytes)
	}
	end := bytes.IndexByte(g.buf[g.pos:g.w], '\n')
	if end < 0 {
		g.pos = g.w
	} else {
		g.pos += end + 1
	}
	if g.pos-g.ok > limit {
		return protocolError("too big inline request")
	}
	if end < 0 {
		return errPartial
	}
	line := bytes.TrimSuffix(g.buf[g.ok:g.pos-1], []byte{'\r'})
	if len(bytes.Trim(line, " ")) == 0 {
		g.r, g.ok = g.pos, g.pos
		return nil
	}
	if isForeign(line) {
		return errForeign
	}
	if err := checkWords(line); err != nil {
		return err
	}
	g.ok = g.pos
	return nil
}

// startsInline are the bytes that a line of text may begin with. All else is neither a command nor typed by a person.
var startsInline = func() (t [256]bool) {
	for c := range t {
		b := byte(c) | 0x20
		t[c] = b >= 'a' && b <= 'z'
	}
	for _, c := range " \r\n\"'" {
		t[c] = true
	}
	return t
}()

// isForeign reports whether a line is the first of an HTTP request with a body, or its Host header.
func isForeign(line []byte) bool {
	word, _, _ := bytes.Cut(line, []byte{' '})
	return bytes.EqualFold(word, []byte("POST")) || len(line) >= 5 && bytes.EqualFold(line[:5], []byte("Host:"))
}

// checkWords splits a line as redcon will, to see that it can and that the words are few.
func checkWords(line []byte) error {
	var quote byte // the one that the present word stands in, or 0
	parts, start := 1, true
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote != 0 && c == '\\':
			i++
		case quote != 0 && c == quote:
			if i+1 < len(line) && line[i+1] != ' ' {
				return protocolError("unbalanced quotes in request")
			}
			quote, start = 0, true
			parts++
		case quote != 0:
		case c == ' ':
			start = true
			parts++
		case c == '"' || c == '\'':
			if !start {
				return protocolError("unbalanced quotes in request")
			}
			quote, start = c, false
			parts++
		default:
			start = false
		}
		if parts > inlineParts {
			return protocolError("too many words in an inline request")
		}
	}
	if quote != 0 {
		return protocolError("unbalanced quotes in request")
	}
	return nil
}
