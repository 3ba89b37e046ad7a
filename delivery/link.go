package delivery

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/quorate/quorate/delivery/relay"
)

const (
	placesEvery = 250 * time.Millisecond // of a hub; also the sign of life
	edgePlaces  = time.Second            // of a node that is no hub: there may be many
	linkHints   = 1024                   // that wait for one hub; more are dropped
	linkAsks    = 1024                   // that wait for one hub's answer
	linkSilence = 3 * time.Second        // without a frame of a hub that reads a feed: it tells of its progress every second
)

// link is this node's connection to another hub: what it says of its users goes there, and what the hub reads for the region comes. It is
// made anew until the hub is no more.
type link struct {
	srv    *Server
	addr   string
	node   string // of the hub, by its lease
	region string
	peer   bool // the hub is another region's: it gets hints and questions only

	wake chan struct{}
	stop context.CancelFunc // of run

	mu        sync.Mutex
	up        bool
	changed   map[string]struct{} // users whose state has to be told
	latest    uint64              // the number of the last of these changes
	announced uint64              // number of the last Users frame that was heeded
	arrived   chan struct{}       // closed when announced rises, or the connection ends
	hints     []relay.Hint
	done      uint64 // the last batch handed on
	doneTold  uint64
	asks      map[uint64]chan relay.Presence
	asked     uint64
	heard     time.Time // when the hub last said anything
	toAsk     []relay.Ask
	conn      net.Conn
}

func newLink(srv *Server, node, addr, region string) *link {
	return &link{
		srv: srv, node: node, addr: addr, region: region, peer: region != srv.region(), wake: make(chan struct{}, 1), arrived: make(chan struct{}),
		asks: map[uint64]chan relay.Presence{},
	}
}

// run keeps the connection until ctx ends.
func (l *link) run(ctx context.Context) {
	warned := false
	for ctx.Err() == nil {
		began := time.Now()
		err := l.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		if !warned || time.Since(began) > time.Second {
			l.srv.log.Info("a hub is out of reach", "hub", l.node, "addr", l.addr, "err", err)
			warned = true
		}
		pause(ctx, 50*time.Millisecond+rand.N(200*time.Millisecond))
	}
}

// connect makes the connection and serves it until it ends.
func (l *link) connect(ctx context.Context) error {
	dialing, cancel := context.WithTimeout(ctx, relayHello)
	defer cancel()
	conn, err := l.srv.cfg.dialHub(dialing, l.addr)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // what was not sent is sent again
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	in := bufio.NewReaderSize(conn, 64<<10)
	if err := l.greet(conn, in); err != nil {
		return err
	}
	l.raised(conn)
	defer l.fallen()
	writing, stop := context.WithCancel(ctx)
	var writer sync.WaitGroup
	writer.Go(func() {
		if err := l.write(writing, conn); err != nil {
			_ = conn.Close() // so that the reading ends too
		}
	})
	err = l.listen(conn, in)
	stop()
	_ = conn.Close() // a write may be under way
	writer.Wait()
	return err
}

// errOtherHub is the answer of a process that listens where the hub did: the hub has been started again. To hear of that one would keep the
// leases of this one alive, which nobody prolongs, and its feeds from all others.
var errOtherHub = errors.New("delivery: another hub has the address")

// greet says hello and hears the hub's.
func (l *link) greet(conn net.Conn, in *bufio.Reader) error {
	if err := conn.SetDeadline(time.Now().Add(relayHello)); err != nil {
		return err
	}
	if _, err := conn.Write(relay.AppendHello(nil, relay.KindHello, l.srv.relayHello(l.peer))); err != nil {
		return err
	}
	k, payload, _, err := relay.Read(in, nil)
	if err != nil {
		return err
	}
	if k != relay.KindWelcome {
		return fmt.Errorf("%w: kind %d instead of a welcome", relay.ErrFrame, k)
	}
	hello, err := relay.DecodeHello(payload)
	if err != nil {
		return err
	}
	if hello.Node != l.node {
		return fmt.Errorf("%w: it is %s by now", errOtherHub, hello.Node)
	}
	return conn.SetDeadline(time.Time{})
}

// raised begins a connection: whatever the hub knew of this node it has forgotten.
func (l *link) raised(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up, l.conn = true, conn
	l.changed, l.announced, l.done, l.doneTold = nil, 0, 0, 0
}

// fallen ends a connection. Nobody waits for it any more: the next one begins with all users, and where this node stands in the feeds.
func (l *link) fallen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up, l.conn, l.hints, l.toAsk = false, nil, nil, nil
	close(l.arrived)
	l.arrived = make(chan struct{})
	for n, answer := range l.asks {
		close(answer)
		delete(l.asks, n)
	}
}

// listen takes the frames of the hub.
func (l *link) listen(conn net.Conn, in *bufio.Reader) error {
	var buf []byte
	out := local{srv: l.srv}
	for {
		if err := conn.SetReadDeadline(time.Now().Add(linkSilence)); err != nil {
			return err
		}
		k, payload, grown, err := relay.Read(in, buf)
		if err != nil {
			return err
		}
		buf = grown
		l.mu.Lock()
		l.heard = time.Now()
		l.mu.Unlock()
		if err := l.frame(k, payload, &out); err != nil {
			return err
		}
	}
}

func (l *link) frame(k relay.Kind, payload []byte, out *local) error {
	switch k {
	case relay.KindBatch:
		b, err := relay.DecodeBatch(payload)
		if err != nil {
			return err
		}
		out.giveAll(b.Entries)
		out.flush()
		l.handedOn(b.Number)
	case relay.KindCovered:
		c, err := relay.DecodeCovered(payload)
		if err != nil {
			return err
		}
		l.srv.hub.covered(c.Group, c.From, c.To)
	case relay.KindAnnounced:
		n, err := relay.DecodeNumber(payload)
		if err != nil {
			return err
		}
		l.heeded(n)
	case relay.KindAnswer:
		a, err := relay.DecodeAnswer(payload)
		if err != nil {
			return err
		}
		l.answered(a)
	default:
		return fmt.Errorf("%w: kind %d of a hub", relay.ErrFrame, k)
	}
	return nil
}

func (l *link) handedOn(batch uint64) {
	l.mu.Lock()
	l.done = batch
	l.mu.Unlock()
	l.wakeUp()
}

func (l *link) heeded(number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.announced = max(l.announced, number)
	close(l.arrived)
	l.arrived = make(chan struct{})
}

func (l *link) wakeUp() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// tell has the hub told of a user whose state has changed.
func (l *link) tell(user string, number uint64) {
	l.mu.Lock()
	l.latest = number
	if l.changed == nil {
		l.changed = map[string]struct{}{}
	}
	l.changed[user] = struct{}{}
	l.mu.Unlock()
	l.wakeUp()
}

// known waits until the hub knows of all that was told up to a number of the announcer, or the connection ends.
func (l *link) known(ctx context.Context, number uint64) {
	l.mu.Lock()
	for l.up && l.announced < number {
		arrived := l.arrived
		l.mu.Unlock()
		select {
		case <-arrived:
		case <-ctx.Done():
			l.breakOff()
			return
		}
		l.mu.Lock()
	}
	l.mu.Unlock()
}

// breakOff ends a connection whose hub does not answer; it will be made anew.
func (l *link) breakOff() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		_ = l.conn.Close() // listen tells of it
	}
}

// hint sends a hint, if there is room and a connection.
func (l *link) hint(h relay.Hint) {
	l.mu.Lock()
	if l.up && len(l.hints) < linkHints {
		l.hints = append(l.hints, h)
	}
	l.mu.Unlock()
	l.wakeUp()
}

var errNoLink = errors.New("delivery: no connection to the hub")

// ask asks the hub for a user's presence.
func (l *link) ask(ctx context.Context, user string) (relay.Presence, error) {
	l.mu.Lock()
	if !l.up || len(l.asks) >= linkAsks {
		l.mu.Unlock()
		return relay.Presence{}, errNoLink
	}
	l.asked++
	n, answer := l.asked, make(chan relay.Presence, 1)
	l.asks[n] = answer
	l.toAsk = append(l.toAsk, relay.Ask{Number: n, UserID: user})
	l.mu.Unlock()
	l.wakeUp()
	select {
	case p, ok := <-answer:
		if !ok {
			return p, errNoLink
		}
		return p, nil
	case <-ctx.Done():
		l.mu.Lock()
		delete(l.asks, n)
		l.mu.Unlock()
		return relay.Presence{}, ctx.Err()
	}
}

func (l *link) answered(a relay.Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if answer := l.asks[a.Number]; answer != nil {
		answer <- a.Presence // it has room for the one
		delete(l.asks, a.Number)
	}
}

// write sends all users and the places, and then what there is to tell, until ctx ends.
func (l *link) write(ctx context.Context, conn net.Conn) error {
	if err := l.introduce(conn); err != nil {
		return err
	}
	tick := time.NewTicker(l.every())
	defer tick.Stop()
	var out []byte
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
			out = l.news(out[:0])
		case <-tick.C:
			out = relay.AppendPlaces(l.news(out[:0]), relay.KindPlaces, l.srv.hub.places.all())
		}
		if err := l.send(conn, out); err != nil {
			return err
		}
	}
}

func (l *link) send(conn net.Conn, out []byte) error {
	if len(out) == 0 {
		return nil
	}
	if err := conn.SetWriteDeadline(time.Now().Add(relayWrite)); err != nil {
		return err
	}
	_, err := conn.Write(out)
	return err
}

// introduce tells the hub of all users here, and from where on it is to send.
func (l *link) introduce(conn net.Conn) error {
	if l.peer {
		return l.send(conn, relay.AppendPlaces(nil, relay.KindAttach, nil))
	}
	number := l.srv.announcer.number()
	users := l.srv.registry.present()
	for first := true; first || len(users) > 0; first = false {
		n := min(len(users), relay.MaxUsers)
		u := relay.Users{Reset: first, Users: users[:n]}
		if users = users[n:]; len(users) == 0 {
			u.Number = number
		}
		if err := l.send(conn, relay.AppendUsers(nil, u)); err != nil {
			return err
		}
	}
	return l.send(conn, relay.AppendPlaces(nil, relay.KindAttach, l.srv.hub.places.all()))
}

// news appends what there is to tell.
func (l *link) news(out []byte) []byte {
	l.mu.Lock()
	changed, number, hints, asks := l.changed, l.latest, l.hints, l.toAsk
	l.changed, l.hints, l.toAsk = nil, nil, nil
	if l.done > l.doneTold {
		l.doneTold = l.done
		out = relay.AppendNumber(out, relay.KindDone, l.done)
	}
	l.mu.Unlock()
	if len(changed) > 0 && !l.peer {
		out = l.appendChanged(out, number, changed)
	}
	for _, h := range hints {
		out = relay.AppendHint(out, h)
	}
	for _, a := range asks {
		out = relay.AppendAsk(out, a)
	}
	return out
}

func (l *link) appendChanged(out []byte, number uint64, changed map[string]struct{}) []byte {
	users := make([]relay.User, 0, min(len(changed), relay.MaxUsers))
	for user := range changed {
		if len(users) == relay.MaxUsers {
			out = relay.AppendUsers(out, relay.Users{Users: users})
			users = users[:0]
		}
		users = append(users, relay.User{ID: user, Status: l.srv.registry.status(user)})
	}
	return relay.AppendUsers(out, relay.Users{Number: number, Users: users})
}

func (l *link) isUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up
}

// every is how often this node tells where it stands.
func (l *link) every() time.Duration {
	if l.srv.isHub() {
		return placesEvery
	}
	return edgePlaces
}

// alive tells whether the hub has said anything lately; it answers each word of where this node stands.
func (l *link) alive() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up && time.Since(l.heard) < 4*l.every()
}
