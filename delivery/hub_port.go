package delivery

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/delivery/relay"
)

const (
	relayHello   = 2 * time.Second // for the first frame
	relaySilence = 3 * time.Second // without a frame of an edge, which sends 4 a second
	relayWrite   = 5 * time.Second // for one write
	maxEdges     = 1024            // connections to one hub
)

var errManyEdges = errors.New("as many edges as there can be")

// hubPort takes the connections of other nodes to this hub.
type hubPort struct {
	hub *hub
	ln  net.Listener
	wg  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{} // nil after close
}

func newHubPort(h *hub, ln net.Listener) *hubPort {
	return &hubPort{hub: h, ln: ln, conns: map[net.Conn]struct{}{}}
}

func (p *hubPort) open() {
	p.wg.Go(func() {
		for {
			conn, err := p.ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				p.hub.srv.log.Warn("the port for other nodes", "err", err)
				time.Sleep(100 * time.Millisecond) // no descriptors, most likely
				continue
			}
			if p.enter(conn) {
				p.wg.Go(func() { p.serve(conn) })
			}
		}
	})
}

// close ends the listener and all connections, and waits for their goroutines.
func (p *hubPort) close() {
	_ = p.ln.Close() // it only listened
	p.mu.Lock()
	for conn := range p.conns {
		_ = conn.Close() // the edges go on elsewhere
	}
	p.conns = nil
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *hubPort) enter(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil || len(p.conns) >= maxEdges {
		_ = conn.Close() // nothing was said yet
		return false
	}
	p.conns[conn] = struct{}{}
	return true
}

func (p *hubPort) serve(conn net.Conn) {
	a := &attachment{hub: p.hub, conn: conn, in: bufio.NewReaderSize(conn, 32<<10)}
	err := a.serve()
	p.mu.Lock()
	delete(p.conns, conn)
	closing := p.conns == nil
	p.mu.Unlock()
	_ = conn.Close() // both ends know what was not sent
	if err != nil && !closing {
		p.hub.srv.log.Info("an edge is gone", "edge", a.hello.Node, "err", err)
	}
}

// attachment is one connection of another node to this hub.
type attachment struct {
	hub   *hub
	conn  net.Conn
	in    *bufio.Reader
	buf   []byte
	hello relay.Hello
	edge  *remoteEdge

	asking atomic.Int64 // questions of the edge that other regions are asked about
}

// serve goes on until either end breaks off.
func (a *attachment) serve() error {
	k, payload, err := a.read(relayHello)
	if err != nil {
		return err
	}
	if k != relay.KindHello {
		return fmt.Errorf("%w: kind %d before hello", relay.ErrFrame, k)
	}
	if a.hello, err = relay.DecodeHello(payload); err != nil {
		return err
	}
	select {
	case <-a.hub.positioned:
	case <-a.hub.ctx.Done():
		return nil
	}
	a.edge = newRemoteEdge(a.hub, a.hello.Node)
	if !a.hub.directory.enter(a.edge) {
		return errManyEdges
	}
	a.edge.answer(relay.AppendHello(nil, relay.KindWelcome, a.hub.srv.relayHello(false)))
	ctx, stop := context.WithCancel(a.hub.ctx)
	defer stop()
	var writing sync.WaitGroup
	writing.Go(func() {
		a.write(ctx)
		_ = a.conn.Close() // so that the reading ends too
	})
	err = a.listen()
	stop()
	_ = a.conn.Close() // a write may be under way
	writing.Wait()
	a.edge.end()
	a.hub.detach(a.edge)
	return err
}

func (a *attachment) read(patience time.Duration) (k relay.Kind, payload []byte, err error) {
	if err := a.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return 0, nil, err
	}
	k, payload, a.buf, err = relay.Read(a.in, a.buf)
	return k, payload, err
}

// listen takes the frames of the edge.
func (a *attachment) listen() error {
	for {
		k, payload, err := a.read(relaySilence)
		if err != nil {
			return err
		}
		if err := a.frame(k, payload); err != nil {
			return err
		}
	}
}

func (a *attachment) frame(k relay.Kind, payload []byte) error {
	switch k {
	case relay.KindUsers:
		u, err := relay.DecodeUsers(payload)
		if err == nil {
			a.users(u)
		}
		return err
	case relay.KindAttach, relay.KindPlaces:
		places, err := relay.DecodePlaces(payload)
		if err != nil {
			return err
		}
		a.edge.stand(places)
		a.edge.answer(relay.AppendNumber(nil, relay.KindAnnounced, 0)) // a sign of life
		if k == relay.KindAttach && !a.hello.Peer {
			a.hub.attach(a.edge)
		}
	case relay.KindDone:
		n, err := relay.DecodeNumber(payload)
		if err != nil {
			return err
		}
		a.edge.done(n, time.Now())
	case relay.KindHint:
		h, err := relay.DecodeHint(payload)
		if err != nil {
			return err
		}
		a.hub.hint(h)
	case relay.KindAsk:
		q, err := relay.DecodeAsk(payload)
		if err != nil {
			return err
		}
		a.asked(q)
	default:
		return fmt.Errorf("%w: kind %d of an edge", relay.ErrFrame, k)
	}
	return nil
}

// asked tells how present a user is: another region's hub, in this one; an edge, anywhere.
func (a *attachment) asked(q relay.Ask) {
	tell := func(p relay.Presence) {
		a.edge.answer(relay.AppendAnswer(nil, relay.Answer{Number: q.Number, Presence: p}))
	}
	if a.hello.Peer || a.asking.Load() >= linkAsks { // more than an edge in order has under way
		tell(a.hub.presence.of(q.UserID))
		return
	}
	a.asking.Add(1) // here alone, so the bound holds
	a.hub.srv.spawn(func() {
		tell(a.hub.presence.anywhere(a.hub.ctx, q.UserID))
		a.asking.Add(-1)
	})
}

// users notes who is at the edge. What is dispatched after the answer heeds it.
func (a *attachment) users(u relay.Users) {
	if u.Reset {
		for _, user := range a.hub.directory.drop(a.edge) {
			a.hub.presence.changed(user)
		}
	}
	for _, user := range u.Users {
		a.hub.directory.set(a.edge, user.ID, user.Status)
		a.hub.presence.changed(user.ID)
		if user.Status != relay.Offline {
			a.joined(user.ID)
		}
	}
	a.edge.answer(relay.AppendNumber(nil, relay.KindAnnounced, u.Number))
}

// joined has the user's sessions at the edge look into the chats that may not be in his list yet.
func (a *attachment) joined(user string) {
	chats := a.hub.joins.of(user, time.Now())
	for _, chatID := range chats {
		look := relay.AppendItem(nil, &relay.Item{Kind: relay.ItemLook, ChatID: chatID})
		a.edge.queueEntry(relay.AppendEntry(nil, look, []string{user}))
	}
	if len(chats) > 0 {
		a.edge.wakeUp()
	}
}

// write sends what waits for the edge until ctx ends or a write fails.
func (a *attachment) write(ctx context.Context) {
	var out []byte
	var entries [][]byte
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.edge.wake:
		}
		for {
			out, entries = a.edge.take(out[:0], entries)
			if len(out) == 0 {
				break
			}
			if a.conn.SetWriteDeadline(time.Now().Add(relayWrite)) != nil {
				return
			}
			if _, err := a.conn.Write(out); err != nil {
				return
			}
		}
		clear(entries[:cap(entries)])
		if cap(out) > 1<<20 {
			out = nil
		}
	}
}
