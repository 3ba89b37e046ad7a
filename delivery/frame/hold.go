package frame

import (
	"sync"
	"unicode/utf8"
)

// hold keeps what a client has sent of a message that is not complete. Its text buffer grows with what has come, never with
// what a header announces, through a few sizes that are pooled, so that a client holds at most four times the bytes it sent or
// the smallest size.
type hold struct {
	text       []byte
	checked    int // text[:checked] is whole, valid characters
	buf        *[]byte
	class      int
	control    [MaxControlBytes]byte
	controlLen int
}

// holdSizes are the capacities of pooled text buffers. A message beyond the last gets a buffer of its own.
var holdSizes = [...]int{256, 1 << 10, 4 << 10, 16 << 10, 64 << 10}

var (
	holds    = sync.Pool{New: func() any { return new(hold) }}
	holdBufs [len(holdSizes)]sync.Pool
)

func newHold() *hold { return holds.Get().(*hold) }

// release gives h and its buffer back. A nil h is nothing to release.
func (h *hold) release() {
	if h == nil {
		return
	}
	h.releaseText()
	h.text, h.checked, h.controlLen = nil, 0, 0
	holds.Put(h)
}

func (h *hold) releaseText() {
	if h.buf != nil {
		holdBufs[h.class].Put(h.buf)
		h.buf = nil
	}
}

// appendText adds the next bytes of the message. It is false as soon as the text cannot be UTF-8 any more, whatever follows.
func (h *hold) appendText(b []byte, last bool) bool {
	if need := len(h.text) + len(b); need > cap(h.text) {
		h.grow(need)
	}
	h.text = append(h.text, b...)
	whole := len(h.text)
	if !last {
		whole -= openRune(h.text[h.checked:])
	}
	ok := utf8.Valid(h.text[h.checked:whole])
	h.checked = whole
	return ok
}

// grow moves the text to the next larger buffer.
func (h *hold) grow(need int) {
	old := h.text
	for class, size := range holdSizes {
		if size < need {
			continue
		}
		buf, ok := holdBufs[class].Get().(*[]byte)
		if !ok {
			fresh := make([]byte, 0, size)
			buf = &fresh
		}
		h.text = append((*buf)[:0], old...)
		h.releaseText()
		h.buf, h.class = buf, class
		return
	}
	h.text = append(make([]byte, 0, max(need, 2*cap(old))), old...)
	h.releaseText()
}

// appendControl adds the next bytes of a control frame and returns all of them. The parser never offers more than fit.
func (h *hold) appendControl(b []byte) []byte {
	h.controlLen += copy(h.control[h.controlLen:], b)
	return h.control[:h.controlLen]
}

// openRune is how many bytes at the end of b begin a character that further bytes may complete: 0 to 3.
func openRune(b []byte) int {
	for n := 1; n <= min(utf8.UTFMax-1, len(b)); n++ {
		tail := b[len(b)-n:]
		if utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}
