package delivery

import (
	"context"
	"sync"
	"time"
)

// greeter watches over time for all sessions at once: that a hello comes within HelloTimeout of the upgrade, and that no
// session outlives its token. It needs one goroutine and no timer per connection.
type greeter struct {
	srv *Server

	mu      sync.Mutex
	waiting []greeting    // in the order of their deadlines
	some    chan struct{} // has room for one: there is a first
	wg      sync.WaitGroup
}

// greeting is one session that has to say hello.
type greeting struct {
	s        *session
	deadline time.Time
}

func newGreeter(srv *Server) *greeter { return &greeter{srv: srv, some: make(chan struct{}, 1)} }

// helloTick is how late a missing hello may be noticed.
const helloTick = 100 * time.Millisecond

func (g *greeter) open(ctx context.Context) {
	g.wg.Go(func() {
		tick := time.NewTicker(helloTick)
		defer tick.Stop()
		sweep := time.NewTicker(g.srv.limits.TokenSweepInterval)
		defer sweep.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-g.some:
				tick.Reset(helloTick)
			case <-tick.C:
				if !g.dismiss(time.Now()) {
					tick.Stop() // until somebody has to say hello
				}
			case <-sweep.C:
				g.expire(g.srv.now())
				g.srv.addresses.tidy()
			}
		}
	})
}

func (g *greeter) close() { g.wg.Wait() }

// expect starts the time for a session's hello. The list is as long as connections may come in HelloTimeout, and no longer
// than there are connections.
func (g *greeter) expect(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting = append(g.waiting, greeting{s, time.Now().Add(g.srv.limits.HelloTimeout)}); len(g.waiting) == 1 {
		select {
		case g.some <- struct{}{}:
		default:
		}
	}
}

// dismiss closes the sessions whose time is over, and tells whether others wait.
func (g *greeter) dismiss(now time.Time) (others bool) {
	g.mu.Lock()
	n := 0
	for n < len(g.waiting) && !now.Before(g.waiting[n].deadline) {
		n++
	}
	over := append([]greeting(nil), g.waiting[:n]...)
	clear(g.waiting[:n])
	if g.waiting = g.waiting[n:]; len(g.waiting) == 0 {
		g.waiting = nil
	}
	others = len(g.waiting) > 0
	g.mu.Unlock()
	for _, late := range over {
		late.s.mu.Lock()
		silent := late.s.state == stateWaiting
		late.s.mu.Unlock()
		if silent {
			late.s.shut(closeUnauthenticated, "no hello in time")
		}
	}
	return others
}

// expire closes the sessions whose token is over, by the same leeway as a check.
func (g *greeter) expire(now time.Time) {
	for _, s := range g.srv.registry.all() {
		if s.expires != 0 && now.After(time.Unix(s.expires, 0).Add(tokenLeeway)) {
			s.shut(closeTokenExpired, "the token has expired")
		}
	}
}
