package raftfsm

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/sequencer/wire"
)

const (
	raftReadBytes    = 64 << 10         // read from a connection at once
	maxMessageBytes  = 32 << 20         // of one message: maxAppendEntries entries of 256 KiB are half of it
	messageWait      = 10 * time.Second // for more of a message that has begun
	snapshotSecond   = 32 << 10         // bytes of a snapshot that may take a second of waiting: Raft stands still meanwhile
	snapshotWait     = 10 * time.Second // of waiting over all, beside that
	maxConfigServers = 1024             // in a configuration: far above any that is of use
)

// errForged ends a connection for a message that no replica in order sends.
var errForged = errors.New("not a message of a replica in order")

// raftConn is one connection that messages come on. It is for one goroutine, but for the time in which Raft reads a
// snapshot from it.
type raftConn struct {
	conn    net.Conn
	peer    wire.NodeID // that has proved to be at the other end; "" without TLS
	in      *bufio.Reader
	out     *bufio.Writer
	dec     *codec.Decoder
	enc     *codec.Encoder
	answers chan raft.RPCResponse // of Raft, one per message

	id        []byte        // of the sender of the last message, which was well
	left      int64         // bytes that may still be read for the present message
	inside    bool          // a message has begun
	timed     bool          // the connection has a read deadline
	waited    time.Duration // for the present snapshot
	came      int64         // bytes of it
	streaming bool          // a snapshot is being read
	broken    error         // the end of the connection: Raft tries to read the rest of a snapshot that did not come
}

func newRaftConn(conn net.Conn) *raftConn {
	c := &raftConn{conn: conn, answers: make(chan raft.RPCResponse, 1)}
	if m, ok := conn.(*muxConn); ok {
		c.peer = m.peer
	}
	c.in, c.out = bufio.NewReaderSize((*bounded)(c), raftReadBytes), bufio.NewWriter(conn)
	c.dec, c.enc = newCodec(c.in, c.out)
	return c
}

// next waits for a message, without a limit, and gives its kind.
func (c *raftConn) next() (byte, error) {
	c.left, c.inside, c.streaming = math.MaxInt64, false, false
	kind, err := c.in.ReadByte()
	c.left, c.inside = maxMessageBytes, true
	return kind, err
}

// stream gives the snapshot that follows a message.
func (c *raftConn) stream(size int64) io.Reader {
	c.left, c.streaming, c.waited, c.came = math.MaxInt64, true, 0, 0
	return io.LimitReader(c.in, size)
}

// bounded is what a raftConn's buffer reads from. It looks that a message which has begun goes on in time and ends within
// its bound. What fits into the buffer with one read, as nearly all do, costs nothing.
type bounded raftConn

// Read reads from the connection. After an error there is nothing more to come.
func (b *bounded) Read(p []byte) (n int, err error) {
	if b.broken != nil {
		return 0, b.broken
	}
	defer func() { b.broken = err }()
	if b.left <= 0 {
		return 0, fmt.Errorf("%w: it is longer than %d bytes", errForged, maxMessageBytes)
	}
	if b.inside || b.timed {
		var until time.Time
		if b.inside {
			until = time.Now().Add(messageWait)
		}
		if err := b.conn.SetReadDeadline(until); err != nil {
			return 0, err
		}
		b.timed = b.inside
	}
	if !b.streaming {
		n, err = b.conn.Read(p)
		b.left -= int64(n)
		return n, err
	}
	begun := time.Now()
	n, err = b.conn.Read(p)
	b.waited += time.Since(begun)
	b.came += int64(n)
	if err == nil && b.waited > snapshotWait+time.Duration(b.came/snapshotSecond)*time.Second {
		err = fmt.Errorf("%w: %d bytes of a snapshot took %s to come", errForged, b.came, b.waited)
	}
	return n, err
}
