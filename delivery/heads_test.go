package delivery

import (
	"bytes"
	"strings"
	"testing"
)

// scanned tells what a scan makes of bytes that come in pieces of a size.
func scanned(data []byte, size int) headScan {
	var s headScan
	for len(data) > 0 {
		n := min(size, len(data))
		s.take(data[:n])
		data = data[n:]
	}
	return s
}

const (
	twoRequests = "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\na\nb\n c\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"
	chunkedHead = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
)

func TestHeadScan_KnowsWhereHeadsBegin(t *testing.T) {
	for name, row := range map[string]struct {
		in         string
		odd, blind bool
	}{
		"two requests":                      {twoRequests, false, false},
		"a third one that is odd":           {twoRequests + "GET / HTTP/1.1\r\nA: b\n\r\n", true, false},
		"an odd head that is not over":      {twoRequests + "GET / HTTP/1.1\nHo", true, false},
		"anything in a body":                {"POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\n\nContent-Length: 5\n\n Transfer-", false, false},
		"behind a chunked body":             {chunkedHead + "0\n\n\n x\n", false, true},
		"behind a handshake":                {"GET /stream HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\x81\x80\n\n\n", false, true},
		"a name that only begins well":      {"GET / HTTP/1.1\r\nContent-Length-2: a\r\nContent-Length: 1\r\n\r\n", false, false},
		"a long line":                       {"GET /" + strings.Repeat("a", 5000) + " HTTP/1.1\r\nX: " + strings.Repeat("a", 5000) + "\r\n\r\n", false, false},
		"nothing before the end of a head":  {"\r\n", false, true},
		"length and encoding":               {"POST / HTTP/1.1\r\nCONTENT-LENGTH: 1\r\ntransfer-ENCODING: chunked\r\n\r\n", true, true},
		"two lengths":                       {"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", true, false},
		"a length that is none":             {"POST / HTTP/1.1\r\nContent-Length: 1 1\r\n\r\n", true, false},
		"a length too long to be looked at": {"POST / HTTP/1.1\r\nContent-Length: " + strings.Repeat("0", 100) + "1\r\n\r\n", true, false},
	} {
		for _, size := range []int{1, 2, 3, 7, 64, 1 << 20} {
			if s := scanned([]byte(row.in), size); s.odd != row.odd || s.blind != row.blind {
				t.Errorf("%s, in pieces of %d: odd %v, blind %v", name, size, s.odd, s.blind)
			}
		}
	}
}

// FuzzHeadScan looks for bytes that read otherwise when they come in other pieces.
func FuzzHeadScan(f *testing.F) {
	f.Add([]byte(twoRequests), 3)
	f.Add([]byte(chunkedHead), 1)
	f.Add([]byte("GET / HTTP/1.1\r\nContent-Length:\t 5 \r\n\r\nhello\r\n\r\n"), 5)
	f.Add([]byte("GET / HTTP/1.1\r\n\tfolded\r\n\r\n"), 2)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		whole, parts := scanned(bytes.Clone(data), len(data)+1), scanned(data, max(size, 1))
		if whole.odd != parts.odd || whole.blind != parts.blind || !whole.odd && !whole.blind && whole.body != parts.body {
			t.Fatalf("at once odd %v blind %v body %d, in parts odd %v blind %v body %d",
				whole.odd, whole.blind, whole.body, parts.odd, parts.blind, parts.body)
		}
	})
}
