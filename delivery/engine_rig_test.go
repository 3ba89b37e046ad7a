package delivery

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/delivery/frame"
	"github.com/quorate/quorate/delivery/frame/frametest"
)

// engineRig is an engine behind a real net/http server on loopback.
type engineRig struct {
	t      testing.TB
	e      *engine
	addr   string
	probes chan *probe // one for each upgraded connection
	onText func(c *conn, payload []byte)
	bare   bool // connections get a handler that echoes and remembers nothing
}

// bareEcho is the smallest handler there is.
type bareEcho struct{}

func (bareEcho) onText(c *conn, payload []byte) { echo(c, payload) }
func (bareEcho) onDrained(*conn)                {}
func (bareEcho) onClose(*conn, int)             {}

// probe is a handler that tells what happens to it.
type probe struct {
	rig     *engineRig
	c       *conn
	drained chan struct{}
	closed  chan int
}

func (p *probe) onText(c *conn, payload []byte) { p.rig.onText(c, payload) }
func (p *probe) onDrained(*conn)                { p.drained <- struct{}{} }
func (p *probe) onClose(_ *conn, code int)      { p.closed <- code }

func echo(c *conn, payload []byte) { c.send(frame.AppendText(nil, payload)) }

func newEngineRig(t testing.TB, cfg engineConfig) *engineRig {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	rig := &engineRig{t: t, e: newEngine(cfg), probes: make(chan *probe, 20000), onText: echo}
	if err := rig.e.start(); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(rig.serve), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(ln)
	}()
	rig.addr = ln.Addr().String()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // clients that the test left open get no time
		if err := rig.e.close(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return rig
}

func (rig *engineRig) serve(w http.ResponseWriter, r *http.Request) {
	if rig.bare {
		_, _ = rig.e.upgrade(w, r, nil, bareEcho{}) // the client sees an error too
		return
	}
	p := &probe{rig: rig, drained: make(chan struct{}, 100), closed: make(chan int, 2)}
	c, err := rig.e.upgrade(w, r, []string{"quorate.v1", "other"}, p)
	if err != nil {
		return
	}
	p.c = c
	rig.probes <- p
}

// want takes the next value of a channel, and fails when none comes.
func want[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// rawClient speaks the protocol by hand, rightly or wrongly.
type rawClient struct {
	t   testing.TB
	tcp *net.TCPConn
	r   *bufio.Reader
}

const goodHandshake = "GET /stream HTTP/1.1\r\nHost: HOST\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// dial opens a TCP connection and writes the handshake, and early behind it.
func (rig *engineRig) dial(handshake string, early ...[]byte) *rawClient {
	rig.t.Helper()
	nc, err := net.Dial("tcp", rig.addr)
	if err != nil {
		rig.t.Fatal(err)
	}
	rig.t.Cleanup(func() { _ = nc.Close() })
	c := &rawClient{t: rig.t, tcp: nc.(*net.TCPConn), r: bufio.NewReader(nc)}
	c.write([]byte(strings.ReplaceAll(handshake, "HOST", rig.addr)), bytes.Join(early, nil))
	return c
}

// open is dial with a good handshake, and waits for both ends.
func (rig *engineRig) open(early ...[]byte) (*rawClient, *probe) {
	rig.t.Helper()
	c := rig.dial(goodHandshake, early...)
	if resp := c.response(); resp.StatusCode != http.StatusSwitchingProtocols {
		rig.t.Fatalf("handshake answered %s", resp.Status)
	}
	return c, want(rig.t, rig.probes, "the connection")
}

func (c *rawClient) response() *http.Response {
	c.t.Helper()
	c.deadline()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp
}

func (c *rawClient) deadline() { _ = c.tcp.SetDeadline(time.Now().Add(20 * time.Second)) }

func (c *rawClient) write(parts ...[]byte) {
	c.t.Helper()
	c.deadline()
	if _, err := c.tcp.Write(bytes.Join(parts, nil)); err != nil {
		c.t.Fatal(err)
	}
}

// read takes one frame of the server.
func (c *rawClient) read() (op frame.Opcode, payload []byte, err error) {
	c.deadline()
	head := make([]byte, 2, 10)
	if _, err := io.ReadFull(c.r, head); err != nil {
		return 0, nil, err
	}
	if head[0]&0xF0 != 0x80 || head[1]&0x80 != 0 {
		c.t.Fatalf("the server sent a frame that begins with %x", head)
	}
	n := int(head[1])
	if n >= 126 {
		ext := make([]byte, map[int]int{126: 2, 127: 8}[n])
		if _, err := io.ReadFull(c.r, ext); err != nil {
			return 0, nil, err
		}
		n = int(binary.BigEndian.Uint64(append(make([]byte, 8-len(ext)), ext...)))
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(c.r, payload)
	return frame.Opcode(head[0] & 0x0F), payload, err
}

// expect reads frames up to the first that is not a ping, which must be this one.
func (c *rawClient) expect(op frame.Opcode, payload string) {
	c.t.Helper()
	for {
		gotOp, got, err := c.read()
		if err != nil {
			c.t.Fatalf("want frame %x %.60q: %v", op, payload, err)
		}
		if gotOp == frame.OpPing && op != frame.OpPing {
			continue
		}
		if gotOp != op || string(got) != payload {
			c.t.Fatalf("frame %x %.60q, want %x %.60q", gotOp, got, op, payload)
		}
		return
	}
}

// expectClose reads up to the close frame, which must have the code, and then to the end of the stream.
func (c *rawClient) expectClose(code int) (reason string) {
	c.t.Helper()
	for {
		op, body, err := c.read()
		if err != nil {
			c.t.Fatalf("want close %d: %v", code, err)
		}
		if op != frame.OpClose {
			continue
		}
		got := closeNoStatus
		if len(body) >= 2 {
			got, reason = int(binary.BigEndian.Uint16(body)), string(body[2:])
		}
		if got != code {
			c.t.Fatalf("close code %d (%s), want %d", got, reason, code)
		}
		if b, err := c.r.ReadByte(); !errors.Is(err, io.EOF) {
			c.t.Fatalf("after the close frame: byte %x, %v; want the end of the stream", b, err)
		}
		return reason
	}
}

// maskedFrame is a frame as a client sends it.
func maskedFrame(first byte, payload []byte) []byte { return frametest.Frame(first, payload) }

func maskedText(s string) []byte { return maskedFrame(0x81, []byte(s)) }

func maskedClose(code int, reason string) []byte { return frametest.Close(code, reason) }
