package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/bench/socket"
)

const (
	centrifugePath = "/connection/websocket"
	centrifugeChat = "chat"

	centrifugeTake = 10 * time.Second // for all members to connect
)

// The frames of its JSON protocol that are needed: a frame holds messages, a line each, and an empty one is a ping, and its answer.
var (
	centrifugeConnect   = []byte(`{"id":1,"connect":{}}`)
	centrifugeSubscribe = []byte(`{"id":1,"connect":{}}` + "\n" + `{"id":2,"subscribe":{"channel":"` + centrifugeChat + `"}}`)
	centrifugePing      = []byte("{}")
)

// centrifugePeer is one who publishes, and the members: the same clients of one goroutine that Quorate is measured with.
type centrifugePeer struct {
	addr string

	conn net.Conn   // who publishes
	mu   sync.Mutex // of what follows, and of writing to conn
	last int        // number of the last message
	wait map[int]chan error
	out  []byte
	gone error          // why conn has ended
	read sync.WaitGroup // who reads conn

	// The members are of listen's goroutine, and then of the one that it starts.
	pool    *socket.Pool
	joined  int
	got     func(member int, body []byte, at time.Time)
	ended   error // why it is no use to go on
	stop    context.CancelFunc
	stopped chan struct{}
}

func dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

func openCentrifuge(ctx context.Context, f *fleet) (*centrifugePeer, error) {
	p := &centrifugePeer{addr: fmt.Sprintf("127.0.0.1:%d", f.ports[0]), wait: map[int]chan error{}}
	var err error
	if p.conn, err = dial(ctx, p.addr); err != nil {
		return nil, err
	}
	if err := p.shake(); err != nil {
		return nil, errors.Join(err, p.conn.Close())
	}
	p.read.Go(p.replies)
	return p, nil
}

// shake makes a WebSocket of the connection. Nothing may be sent before the handshake is answered.
func (p *centrifugePeer) shake() error {
	_, err := p.conn.Write([]byte("GET " + centrifugePath + " HTTP/1.1\r\nHost: " + p.addr + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"))
	var head []byte
	for one := make([]byte, 1); err == nil && !bytes.HasSuffix(head, []byte("\r\n\r\n")); {
		var n int
		n, err = p.conn.Read(one)
		head = append(head, one[:n]...)
	}
	if err == nil {
		_, err = p.conn.Write(socket.AppendMasked(nil, socket.OpText, centrifugeConnect))
	}
	return err
}

// put publishes a message and waits for its answer.
func (p *centrifugePeer) put(ctx context.Context, _, _ int, body []byte) error {
	answer := make(chan error, 1)
	p.mu.Lock()
	p.last++
	id := p.last + 1 // 1 is the connection's
	p.wait[id] = answer
	p.out = socket.AppendMasked(p.out[:0], socket.OpText,
		fmt.Appendf(nil, `{"id":%d,"publish":{"channel":%q,"data":%s}}`, id, centrifugeChat, strconv.Quote(string(body))))
	_, err := p.conn.Write(p.out)
	if err = errors.Join(err, p.gone); err != nil {
		delete(p.wait, id)
	}
	p.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// replies hands on the answers until the connection ends.
func (p *centrifugePeer) replies() {
	err := p.eachFrame(func(payload []byte) {
		for line := range bytes.Lines(payload) {
			if line = bytes.TrimSpace(line); bytes.Equal(line, centrifugePing) {
				p.mu.Lock()
				_, _ = p.conn.Write(socket.AppendMasked(nil, socket.OpText, centrifugePing)) // a broken connection is read soon
				p.mu.Unlock()
				continue
			}
			p.reply(string(line))
		}
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = err
	for _, answer := range p.wait {
		answer <- err
	}
}

func (p *centrifugePeer) reply(line string) {
	rest, found := strings.CutPrefix(line, `{"id":`)
	text, rest, _ := strings.Cut(rest, ",")
	id, err := strconv.Atoi(text)
	if !found || err != nil {
		return
	}
	p.mu.Lock()
	answer := p.wait[id]
	delete(p.wait, id)
	p.mu.Unlock()
	switch {
	case answer == nil:
	case strings.HasPrefix(rest, `"error"`):
		answer <- errors.New(line)
	default:
		answer <- nil
	}
}

// eachFrame reads frames until the connection ends.
func (p *centrifugePeer) eachFrame(do func(payload []byte)) error {
	var have []byte
	chunk := make([]byte, 64<<10)
	for {
		n, err := p.conn.Read(chunk)
		if have = append(have, chunk[:n]...); err != nil {
			return err
		}
		for {
			op, payload, rest, whole := socket.NextFrame(have)
			if !whole {
				break
			}
			if op == socket.OpClose {
				return io.EOF
			}
			do(payload)
			have = rest
		}
		have = bytes.Clone(have)
	}
}

// listen connects the members, and goes on to hand out what comes to them.
func (p *centrifugePeer) listen(ctx context.Context, members int, got func(member int, body []byte, at time.Time)) error {
	var err error
	p.got = got
	if p.pool, err = socket.NewPool(socket.Config{Other: &socket.Dialect{
		Path:    centrifugePath,
		Hello:   func(string) []byte { return centrifugeSubscribe },
		Greeted: func(payload []byte) bool { return bytes.Contains(payload, []byte(`"id":2`)) },
	}}, p); err != nil {
		return err
	}
	for m := range members {
		if _, err := p.pool.Connect("http://"+p.addr, "", m, ""); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(centrifugeTake); p.joined < members; {
		if err := errors.Join(p.pool.Wait(time.Now().Add(socketNap)), p.ended, ctx.Err()); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d members joined", p.joined, members)
		}
	}
	ctx, p.stop = context.WithCancel(ctx)
	p.stopped = make(chan struct{})
	go func() {
		defer close(p.stopped)
		for ctx.Err() == nil && p.ended == nil {
			p.ended = p.pool.Wait(time.Now().Add(socketNap))
		}
	}()
	return nil
}

const socketNap = 50 * time.Millisecond // after which the loop looks whether it is to end

// Welcomed implements socket.Handler.
func (p *centrifugePeer) Welcomed(*socket.Conn, time.Time) { p.joined++ }

var centrifugeData = []byte(`"data":"`)

// Frame implements socket.Handler: messages, a line each.
func (p *centrifugePeer) Frame(c *socket.Conn, payload []byte, at time.Time) {
	if bytes.Equal(payload, centrifugePing) {
		p.ended = errors.Join(p.ended, c.Send(centrifugePing))
		return
	}
	for {
		_, rest, found := bytes.Cut(payload, centrifugeData)
		if !found {
			return
		}
		end := bytes.IndexByte(rest, '"')
		if end < 0 {
			p.ended = fmt.Errorf("a message without end: %.80q", payload)
			return
		}
		p.got(c.Number, rest[:end], at)
		payload = rest[end:]
	}
}

// Ended implements socket.Handler.
func (p *centrifugePeer) Ended(_ *socket.Conn, err error) { p.ended = errors.Join(p.ended, err) }

func (p *centrifugePeer) close() {
	_ = p.conn.Close() // it is of no more use
	p.read.Wait()
	if p.stop != nil {
		p.stop()
		<-p.stopped
	}
	if p.pool != nil {
		p.pool.Close()
	}
}
