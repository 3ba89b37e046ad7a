package sequencer

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"
)

// guard stands between a connection and redcon's reader, which has no limits of its own. It reads the bytes, checks the
// frame of each command against the bounds, and hands on whole commands only. So the reader behind it never holds a part
// of a command: it neither looks at the same bytes again nor grows with what a client sends.
//
// Read and trust are for one goroutine; the other methods are those of the connection.
type guard struct {
	net.Conn
	limits    *Limits
	closed    func() // called once, when the connection is closed
	closeOnce sync.Once
	closeErr  error

	greet   func() error // called before anything is read, where it is set; an error ends the connection
	who     *principal   // whose certificate the connection has; set by greet
	trusted bool         // after AUTH: the larger bounds hold
	taken   bool         // its owner answers errors in order; until then guard does
	err     error

	// buf[r:ok] are whole commands to hand on, buf[ok:w] what is not yet one. Of that, all before pos has been checked.
	buf []byte
	r, ok, pos,
	w int
	args  int // arguments of the command at buf[ok:] that are still to come
	need  int // bytes of the present argument, with its line end; 0 while its length is to come
	bytes int // of all its arguments so far
}

// protocolError is the end of a connection: what came is not a command. Its text goes out behind "ERR ".
type protocolError string

func (e protocolError) Error() string { return "Protocol error: " + string(e) }

// errForeign ends a connection without a word: who speaks HTTP was sent here by a page that hopes to have a command run.
var errForeign = errors.New("the client speaks HTTP")

const (
	guardBytes    = 4 << 10  // of a fresh buffer
	guardMaxIdle  = 64 << 10 // of a buffer that is kept while it is empty
	headerBytes   = 32       // of a line that holds a count or a length
	inlineParts   = 128      // words of an inline command; redcon pays for each with memory of the rest of the line
	farewellWait  = 500 * time.Millisecond
	farewellBytes = 1 << 20
)

func newGuard(conn net.Conn, limits *Limits, closed func()) *guard {
	return &guard{Conn: conn, limits: limits, closed: closed, buf: make([]byte, guardBytes)}
}

// trust lets the larger bounds hold, from the next command on.
func (g *guard) trust() { g.trusted = true }

// Close closes the connection. It may be called again, from anywhere.
func (g *guard) Close() error {
	g.closeOnce.Do(func() {
		g.closeErr = g.Conn.Close()
		g.closed()
	})
	return g.closeErr
}

// Read hands on whole commands: one at a time before AUTH, so that those behind an AUTH are checked as it says. An error
// comes after all that was before it: a protocolError, errForeign or the connection's own.
func (g *guard) Read(p []byte) (int, error) {
	if g.greet != nil {
		g.err, g.greet = g.greet(), nil
	}
	for g.r == g.ok && g.err == nil {
		g.err = g.check()
		if g.r < g.ok || g.err != nil {
			break
		}
		g.err = g.fill()
	}
	if g.r < g.ok {
		n := copy(p, g.buf[g.r:g.ok])
		g.r += n
		return n, nil
	}
	if !g.taken {
		farewell(g.Conn, nil, g.err)
	}
	return 0, g.err
}

// fill reads more. The buffer grows to what one command may have, and shrinks when it is empty.
func (g *guard) fill() error {
	if g.r == g.w {
		if len(g.buf) > guardMaxIdle {
			g.buf = make([]byte, guardBytes)
		}
		g.r, g.ok, g.pos, g.w = 0, 0, 0, 0
	}
	if g.w == len(g.buf) {
		g.grow()
	}
	n, err := g.Conn.Read(g.buf[g.w:])
	g.w += n
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// grow makes room behind w. All before r has been handed on.
func (g *guard) grow() {
	buf := g.buf
	if g.r < len(buf)/2 {
		buf = make([]byte, 2*len(buf))
	}
	copy(buf, g.buf[g.r:g.w])
	g.ok, g.pos, g.w = g.ok-g.r, g.pos-g.r, g.w-g.r
	g.buf, g.r = buf, 0
}

// check moves ok over all whole commands that have arrived, or over one before AUTH. A line of text is handed on alone:
// redcon drops what is before a line that it refuses.
func (g *guard) check() error {
	for g.pos < g.w {
		var err error
		switch {
		case g.need > 0:
			if g.w-g.pos < g.need {
				return nil
			}
			err = g.argument()
		case g.args > 0:
			err = g.length()
		case g.buf[g.ok] == '*':
			err = g.count()
		default:
			if g.r < g.ok {
				return nil
			}
			err = g.inline()
		}
		if errors.Is(err, errPartial) {
			return nil
		}
		if err != nil || g.r < g.ok && !g.trusted {
			return err
		}
	}
	return nil
}

// errPartial says that the rest of a line is to come.
var errPartial = errors.New("partial")

// count checks the line "*<arguments>" that begins a command.
func (g *guard) count() error {
	n, err := g.header("multibulk length", "mbulk count string")
	switch {
	case err != nil:
		return err
	case !g.trusted && n > g.limits.PreAuthArgs:
		return protocolError("unauthenticated multibulk length")
	case n < 1 || n > g.limits.CommandArgs:
		return protocolError("invalid multibulk length")
	}
	g.args, g.bytes = n, 0
	return nil
}

// length checks the line "$<bytes>" before an argument.
func (g *guard) length() error {
	if c := g.buf[g.pos]; c != '$' {
		return protocolError(fmt.Sprintf("expected '$', got %q", rune(c)))
	}
	n, err := g.header("bulk length", "bulk count string")
	switch {
	case err != nil:
		return err
	case !g.trusted && n > g.limits.PreAuthBytes-g.bytes:
		return protocolError("unauthenticated bulk length")
	case n > g.limits.ArgumentBytes || n > g.limits.CommandBytes-g.bytes:
		return protocolError("invalid bulk length")
	}
	g.need, g.bytes = n+2, g.bytes+n
	return nil
}

// header takes a line that has one number behind its first byte.
func (g *guard) header(what, long string) (int, error) {
	line := g.buf[g.pos:min(g.w, g.pos+headerBytes)]
	end := bytes.IndexByte(line, '\n')
	switch {
	case end < 0 && len(line) == headerBytes:
		return 0, protocolError("too big " + long)
	case end < 0:
		return 0, errPartial
	case end < 2 || line[end-1] != '\r':
		return 0, protocolError("invalid " + what)
	}
	n, ok := parseDecimal(line[1 : end-1])
	if !ok {
		return 0, protocolError("invalid " + what)
	}
	g.pos += end + 1
	return n, nil
}

// parseDecimal reads digits and nothing else.
func parseDecimal(b []byte) (int, bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(string(b))
	return n, err == nil
}

// argument takes an argument that has arrived as a whole.
func (g *guard) argument() error {
	end := g.pos + g.need
	if g.buf[end-2] != '\r' || g.buf[end-1] != '\n' {
		return protocolError("invalid bulk length")
	}
	g.pos, g.need = end, 0
	g.args--
	if g.args == 0 {
		g.ok = end
	}
	return nil
}

// farewell says on a connection why it ends, behind what is still to be said, and then reads for a moment: closing a
// connection with bytes unread would make the other side lose what it was told.
func farewell(conn net.Conn, last []byte, err error) {
	var refused protocolError
	if !errors.As(err, &refused) {
		return
	}
	deadline := time.Now().Add(farewellWait)
	if conn.SetDeadline(deadline) != nil {
		return
	}
	last = append(last, "-ERR "+refused.Error()+"\r\n"...)
	if _, err := conn.Write(last); err != nil {
		return
	}
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	drain := make([]byte, guardBytes)
	for total := 0; total < farewellBytes; {
		n, err := conn.Read(drain)
		if err != nil {
			return
		}
		total += n
	}
}
