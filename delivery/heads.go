package delivery

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// headListener gives out connections whose requests' heads are looked at before net/http reads them. net/http is strict, but it takes
// four things that a proxy in front may read another way, and so tell where a request ends another way: a length beside a
// transfer encoding, the same length twice, lines that end without CR, and folded lines.
type headListener struct{ net.Listener }

// Accept implements net.Listener.
func (l headListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &headConn{Conn: c}, nil
}

// headConn is the connection of one client, as net/http has it.
type headConn struct {
	net.Conn
	scan headScan // of whoever reads, and net/http reads from one goroutine at a time

	odd  atomic.Bool // a head was not as it should be
	last atomic.Bool // what comes behind the present request is not looked at, so there may be no other
}

// Read implements net.Conn.
func (c *headConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.scan.take(b[:max(n, 0)])
	if c.scan.odd {
		c.odd.Store(true)
	}
	if c.scan.blind {
		c.last.Store(true)
	}
	return n, err
}

// CloseWrite lets net/http end an answer before it cuts the connection.
func (c *headConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Conn.Close()
}

// plainConn is the connection behind a headConn.
func plainConn(c net.Conn) net.Conn {
	if h, ok := c.(*headConn); ok {
		return h.Conn
	}
	return c
}

// headKey is where the context of a request has its connection.
type headKey struct{}

func withHead(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, headKey{}, c)
}

// checkHead refuses a request whose head, or that of one behind it, was odd, and sees that the connection ends where it has to.
func checkHead(w http.ResponseWriter, r *http.Request) *problem {
	if r.ProtoMajor != 1 { // net/http lets the preface of HTTP/2 through
		w.Header().Set("Connection", "close")
		return &problem{code: codeBadRequest, status: http.StatusHTTPVersionNotSupported, detail: "this server speaks HTTP/1.1"}
	}
	c, ok := r.Context().Value(headKey{}).(*headConn)
	if !ok {
		return nil
	}
	odd := c.odd.Load()
	if odd || c.last.Load() {
		w.Header().Set("Connection", "close")
	}
	if odd {
		return refuse(codeBadRequest, "malformed request")
	}
	return nil
}

// headLine is how much of a line is kept: enough for the names and values that are looked at.
const headLine = 64

// headScan reads along with net/http. It knows where a head begins as long as lengths say where bodies end; behind a chunked body and
// behind a handshake it is blind.
type headScan struct {
	odd, blind bool

	line    [headLine]byte
	length  int   // of the line, as far as it came
	cr      bool  // its last byte is a CR
	lines   int   // of this head, before this one
	lengths int   // Content-Length lines of this head
	codings int   // Transfer-Encoding lines
	upgrade bool  // it has an Upgrade line
	told    int64 // what its Content-Length says
	body    int64 // bytes of the body still to come; the head is over
}

// take looks at the next bytes of the client.
func (s *headScan) take(b []byte) {
	for len(b) > 0 && !s.odd && !s.blind {
		if s.body > 0 {
			n := min(s.body, int64(len(b)))
			s.body -= n
			b = b[n:]
			continue
		}
		piece, rest, ended := bytes.Cut(b, []byte{'\n'})
		b = rest
		s.keep(piece)
		if ended {
			s.endLine()
		}
	}
}

func (s *headScan) keep(piece []byte) {
	if s.length < headLine {
		copy(s.line[s.length:], piece)
	}
	if s.length += len(piece); len(piece) > 0 {
		s.cr = piece[len(piece)-1] == '\r'
	}
}

func (s *headScan) endLine() {
	if !s.cr {
		s.odd = true
		return
	}
	if line := s.line[:min(s.length-1, headLine)]; len(line) == 0 {
		s.endHead()
	} else if s.lines > 0 {
		s.header(line, s.length-1 <= headLine)
	}
	s.lines++
	s.length, s.cr = 0, false
}

// header looks at one line that is no request line. whole tells whether all of it was kept.
func (s *headScan) header(line []byte, whole bool) {
	if line[0] == ' ' || line[0] == '\t' {
		s.odd = true
		return
	}
	name, value, _ := strings.Cut(string(line), ":")
	switch strings.ToLower(name) {
	case "content-length":
		n, err := strconv.ParseInt(strings.Trim(value, " \t"), 10, 64)
		s.lengths++
		s.told = n
		s.odd = s.odd || !whole || err != nil || n < 0
	case "transfer-encoding":
		s.codings++
	case "upgrade":
		s.upgrade = true
	}
}

func (s *headScan) endHead() {
	s.odd = s.odd || s.lengths+s.codings > 1
	s.blind = s.codings > 0 || s.upgrade || s.lines == 0
	s.body = s.told
	s.lines, s.lengths, s.codings, s.upgrade, s.told = -1, 0, 0, false, 0 // endLine counts one more
}
