package delivery

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// addressKey is where a client comes from, as far as limits are concerned: an IPv4 address, or the first half of an IPv6 address, as
// one household has 2^64 of those. 0 is a client that no limit holds for.
type addressKey uint64

// loopback is exempt where nothing else is said: what comes from there is a load balancer on this machine, or its operator.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

const (
	// addressBurst is how many seconds' worth of handshakes or failures an address may have at once.
	addressBurst = 10
	// addressRetry is what a refused client waits at least. Behind one address there may be many: they are spread over twice of it.
	addressRetry = time.Second
)

// addresses bounds what the clients behind each address may have open and do. A negative limit is none. What it remembers of an
// address is forgotten when nothing is open and nothing was done for addressBurst seconds. It is safe for concurrent use.
type addresses struct {
	limits Limits
	exempt []netip.Prefix
	clock  func() time.Duration // since some moment

	requests atomic.Int64 // TCP connections that net/http has, from anywhere
	refusals [len(addressReasons)]atomic.Uint64
	shards   [64]addressShard
}

type addressShard struct {
	mu    sync.Mutex
	known map[addressKey]addressUse
	look  time.Duration // when it may be looked again for what can be forgotten, while it is full
}

// addressUse is what one address has and has done.
type addressUse struct {
	sockets, requests    int32
	handshakes, failures spent
}

// addressReasons are the kinds of refusals, by their names in the metrics.
var addressReasons = [...]string{"connections", "handshakes", "failures", "requests", "full"}

const (
	overSockets = iota
	overHandshakes
	overFailures
	overRequests
	overTable
)

// spent is a bucket of tokens, as the moment at which it will be full again.
type spent time.Duration

// take takes a token, if there is one: perSecond come back each second, and a full bucket has addressBurst times as many.
func (s *spent) take(now time.Duration, perSecond int) bool {
	if perSecond <= 0 {
		return true
	}
	each := time.Second / time.Duration(perSecond)
	full := max(time.Duration(*s), now) + each
	if full > now+addressBurst*time.Second {
		return false
	}
	*s = spent(full)
	return true
}

// empty tells whether take would be false.
func (s spent) empty(now time.Duration, perSecond int) bool { return !s.take(now, perSecond) }

func newAddresses(l Limits, exempt []netip.Prefix) *addresses {
	if exempt == nil {
		exempt = loopback
	}
	began := time.Now()
	a := &addresses{limits: l, exempt: exempt, clock: func() time.Duration { return time.Since(began) }}
	for i := range a.shards {
		a.shards[i].known = map[addressKey]addressUse{}
	}
	return a
}

// of tells where a request comes from. What a header says of that is never believed. A nil a exempts everybody.
func (a *addresses) of(r *http.Request) addressKey {
	if a == nil {
		return 0
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return 0
	}
	return a.keyOf(from.Addr())
}

func (a *addresses) ofConn(c net.Conn) addressKey {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return 0
	}
	return a.keyOf(tcp.AddrPort().Addr())
}

func (a *addresses) keyOf(from netip.Addr) addressKey {
	from = from.Unmap().WithZone("")
	if slices.ContainsFunc(a.exempt, func(p netip.Prefix) bool { return p.Contains(from) }) {
		return 0
	}
	if from.Is4() {
		b := from.As4()
		return addressKey(binary.BigEndian.Uint32(b[:])) // no IPv6 network in use begins with 32 zeros
	}
	b := from.As16()
	return max(addressKey(binary.BigEndian.Uint64(b[:8])), 1)
}

// change does something with what is known of an address, unless there is no room to know one more.
func (a *addresses) change(key addressKey, f func(*addressUse, time.Duration) bool) (ok, room bool) {
	s := &a.shards[uint64(key)*0x9E3779B97F4A7C15>>58]
	now := a.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	use, known := s.known[key]
	if !known && len(s.known) >= max(a.limits.KnownAddresses/len(a.shards), 1) && !s.forget(now) {
		return false, false
	}
	ok = f(&use, now)
	if use.idle(now) {
		delete(s.known, key)
	} else {
		s.known[key] = use
	}
	return ok, true
}

// idle tells whether an address is as good as one that is not known.
func (u *addressUse) idle(now time.Duration) bool {
	return u.sockets == 0 && u.requests == 0 && time.Duration(max(u.handshakes, u.failures)) <= now
}

// forget drops the idle ones of a shard that is full, once a second at most, and tells whether there is room now. The caller holds mu.
func (s *addressShard) forget(now time.Duration) bool {
	if now < s.look {
		return false
	}
	s.look = now + time.Second
	return s.tidy(now)
}

func (s *addressShard) tidy(now time.Duration) bool {
	before := len(s.known)
	for key, use := range s.known {
		if use.idle(now) {
			delete(s.known, key)
		}
	}
	return len(s.known) < before
}

// tidy forgets the addresses that are idle.
func (a *addresses) tidy() {
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		s.tidy(a.clock())
		s.mu.Unlock()
	}
}

// count is how many addresses are known.
func (a *addresses) count() (n int) {
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		n += len(s.known)
		s.mu.Unlock()
	}
	return n
}

// ask is change that refuses by the reason where f does.
func (a *addresses) ask(key addressKey, reason int, f func(*addressUse, time.Duration) bool) *problem {
	if key == 0 {
		return nil
	}
	ok, room := a.change(key, f)
	switch {
	case !room:
		a.refusals[overTable].Add(1)
		return refuse(codeOverloaded, "too many addresses")
	case !ok:
		a.refusals[reason].Add(1)
		p := refuse(codeRateLimited, "too many "+addressReasons[reason]+" from this address")
		p.retryAfter = addressRetry + rand.N(2*addressRetry) //nolint:gosec // nothing depends on chance
		return p
	}
	return nil
}

// enter counts a WebSocket in, or refuses it. leave counts one out that was not refused.
func (a *addresses) enter(key addressKey) *problem {
	return a.ask(key, overSockets, func(u *addressUse, _ time.Duration) bool {
		if a.limits.AddressConnections >= 0 && int(u.sockets) >= a.limits.AddressConnections {
			return false
		}
		u.sockets++
		return true
	})
}

func (a *addresses) leave(key addressKey) {
	if key != 0 {
		a.change(key, func(u *addressUse, _ time.Duration) bool { u.sockets--; return true })
	}
}

// handshake takes a handshake from the address, and refuses one too many.
func (a *addresses) handshake(key addressKey) *problem {
	return a.ask(key, overHandshakes, func(u *addressUse, now time.Duration) bool {
		return u.handshakes.take(now, a.limits.AddressHandshakes)
	})
}

// mayFail refuses an address whose tokens were refused too often just now: the next one is not even looked at.
func (a *addresses) mayFail(key addressKey) *problem {
	return a.ask(key, overFailures, func(u *addressUse, now time.Duration) bool {
		return !u.failures.empty(now, a.limits.AddressFailures)
	})
}

// failed notes that a token was refused, or was missing.
func (a *addresses) failed(key addressKey) {
	if key != 0 {
		a.change(key, func(u *addressUse, now time.Duration) bool { return u.failures.take(now, a.limits.AddressFailures) })
	}
}

// onState follows the TCP connections that net/http has, from their first moment until they are WebSockets or gone, and closes
// those over the limits at once: no request of theirs was read. It is http.Server.ConnState.
func (a *addresses) onState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		n := a.requests.Add(1)
		if !a.opened(a.ofConn(c)) || a.limits.RequestConnections >= 0 && n > int64(a.limits.RequestConnections) {
			a.refusals[overRequests].Add(1)
			_ = c.Close()
		}
	case http.StateHijacked, http.StateClosed:
		a.requests.Add(-1)
		if key := a.ofConn(c); key != 0 {
			a.change(key, func(u *addressUse, _ time.Duration) bool { u.requests = max(u.requests-1, 0); return true })
		}
	case http.StateActive, http.StateIdle:
	}
}

// opened counts a TCP connection, even one over the limit: it will be counted out too.
func (a *addresses) opened(key addressKey) bool {
	if key == 0 {
		return true
	}
	ok, room := a.change(key, func(u *addressUse, _ time.Duration) bool {
		u.requests++
		return a.limits.AddressRequests < 0 || int(u.requests) <= a.limits.AddressRequests
	})
	return ok && room
}
