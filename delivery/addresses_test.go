package delivery

import (
	"bufio"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/delivery/frame"
)

// everybody is who no address is exempt from limits: tests come from loopback.
func everybody(c *Config) { c.UnlimitedAddresses = []netip.Prefix{} }

// newTestAddresses is addresses with a clock that the test sets.
func newTestAddresses(l Limits) (a *addresses, now *time.Duration) {
	now = new(time.Duration)
	a = newAddresses(l.withDefaults(), nil)
	a.clock = func() time.Duration { return *now }
	return a, now
}

func TestAddresses_Keys(t *testing.T) {
	a := newAddresses(Limits{}.withDefaults(), nil)
	same := func(one, other string) bool {
		return a.keyOf(netip.MustParseAddr(one)) == a.keyOf(netip.MustParseAddr(other))
	}
	for _, pair := range [][2]string{
		{"192.0.2.1", "::ffff:192.0.2.1"}, {"2001:db8::1", "2001:db8::ffff:2"}, {"127.0.0.1", "127.9.9.9"}, {"127.0.0.1", "::1"}, {"fe80::1", "fe80::1%eth0"},
	} {
		if !same(pair[0], pair[1]) {
			t.Errorf("%s and %s are not the same", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]string{{"192.0.2.1", "192.0.2.2"}, {"2001:db8::1", "2001:db8:0:1::1"}, {"192.0.2.1", "2001:db8::1"}, {"192.0.2.1", "127.0.0.1"}} {
		if same(pair[0], pair[1]) {
			t.Errorf("%s and %s are the same", pair[0], pair[1])
		}
	}
	if a.keyOf(netip.MustParseAddr("127.0.0.1")) != 0 {
		t.Error("loopback has limits")
	}
	a.exempt = nil
	for _, addr := range []string{"127.0.0.1", "::1"} {
		if a.keyOf(netip.MustParseAddr(addr)) == 0 {
			t.Errorf("%s has no limits, though nobody is exempt", addr)
		}
	}
}

func TestAddresses_TokensComeBack(t *testing.T) {
	a, now := newTestAddresses(Limits{AddressHandshakes: 5, AddressFailures: 2})
	takes := func(most int) (n int) {
		for n < most && a.handshake(7) == nil {
			n++
		}
		return n
	}
	if n := takes(1000); n != 5*addressBurst {
		t.Errorf("%d handshakes at once", n)
	}
	*now += time.Second
	if n := takes(1000); n != 5 {
		t.Errorf("%d handshakes a second later", n)
	}
	if a.handshake(8) != nil {
		t.Error("another address is refused")
	}
	for range 2 * addressBurst {
		if p := a.mayFail(7); p != nil {
			t.Fatal(p)
		}
		a.failed(7)
	}
	p := a.mayFail(7)
	if p == nil || p.code != codeRateLimited || p.retryAfter < addressRetry || p.retryAfter >= 3*addressRetry {
		t.Fatalf("after too many failures: %+v", p)
	}
	*now += time.Second
	if a.mayFail(7) != nil {
		t.Error("refused a second later")
	}
	if n := a.count(); n != 2 {
		t.Errorf("%d addresses are known", n)
	}
	*now += addressBurst * time.Second
	if a.tidy(); a.count() != 0 {
		t.Errorf("%d addresses are known after a rest", a.count())
	}
}

func TestAddresses_TableIsBounded(t *testing.T) {
	a, now := newTestAddresses(Limits{KnownAddresses: 64 * 4, AddressConnections: 1})
	taken := 0
	for key := addressKey(1); key <= 10_000; key++ {
		switch p := a.handshake(key); {
		case p == nil:
			taken++
		case p.code != codeOverloaded:
			t.Fatal(p)
		}
	}
	if n := a.count(); n != 64*4 || taken != n || a.refusals[overTable].Load() != uint64(10_000-taken) {
		t.Fatalf("%d addresses are known, %d were taken", n, taken)
	}
	*now += 2 * addressBurst * time.Second
	if p := a.handshake(20_000); p != nil {
		t.Errorf("when all have rested: %v", p)
	}
	if p := a.enter(30_000); p != nil {
		t.Fatal(p)
	}
	a.leave(30_000)
	*now += 2 * addressBurst * time.Second
	if a.tidy(); a.count() != 0 {
		t.Errorf("%d are known at the end", a.count())
	}
}

func TestAddresses_NegativeIsNoLimit(t *testing.T) {
	a, _ := newTestAddresses(Limits{AddressConnections: -1, AddressHandshakes: -1, AddressFailures: -1, AddressRequests: -1})
	for range 10_000 {
		a.failed(1)
		if a.handshake(1) != nil || a.mayFail(1) != nil || a.enter(1) != nil || !a.opened(1) {
			t.Fatal("refused")
		}
	}
}

// dialFrom opens a TCP connection to the edge from a loopback address.
func (e *edge) dialFrom(from string) *rawClient {
	e.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	nc, err := d.DialContext(e.t.Context(), "tcp", e.Addr())
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = nc.Close() })
	return &rawClient{t: e.t, tcp: nc.(*net.TCPConn), r: bufio.NewReader(nc)}
}

// shake makes a handshake for /stream from a loopback address; header lines end with CRLF.
func (e *edge) shake(from, lines string) (*rawClient, *http.Response) {
	e.t.Helper()
	c := e.dialFrom(from)
	c.write([]byte(strings.Replace(strings.ReplaceAll(goodHandshake, "HOST", e.Addr()), "\r\n\r\n", "\r\n"+lines+"\r\n", 1)))
	return c, c.response()
}

const asAlice = "Authorization: Bearer user:alice\r\n"

func wantRateLimited(t *testing.T, resp *http.Response) {
	t.Helper()
	a := answerOf(t, resp)
	ms := number(a.json()["retryAfterMs"])
	if a.status != http.StatusTooManyRequests || a.code() != "rate_limited" || ms < 1000 || ms > 3000 || a.header.Get("Retry-After") == "" {
		t.Fatalf("%d %s %v", a.status, a.body, a.header)
	}
}

func TestAddresses_OpenWebSockets(t *testing.T) {
	e := openEdge(t, startCluster(t, 1), everybody, func(c *Config) { c.Limits.AddressConnections = 2 })
	first, resp := e.shake("127.0.0.2", asAlice)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp.Status)
	}
	e.shake("127.0.0.2", asAlice)
	_, resp = e.shake("127.0.0.2", asAlice)
	wantRateLimited(t, resp)
	if _, resp = e.shake("127.0.0.3", asAlice); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("another address: %s", resp.Status)
	}
	_ = first.tcp.Close()
	eventually(t, "the place of the one that has gone", func() bool {
		_, resp := e.shake("127.0.0.2", asAlice)
		return resp.StatusCode == http.StatusSwitchingProtocols
	})
	if e.scrape()["quorate_delivery_address_refusals_total{connections}"] < 1 || e.scrape()["quorate_delivery_addresses"] != 2 {
		t.Errorf("metrics: %v refused, %v addresses", e.scrape()["quorate_delivery_address_refusals_total{connections}"], e.scrape()["quorate_delivery_addresses"])
	}
}

func TestAddresses_Handshakes(t *testing.T) {
	e := openEdge(t, startCluster(t, 1), everybody, func(c *Config) { c.Limits.AddressHandshakes = 1 })
	for n := 0; ; n++ {
		c, resp := e.shake("127.0.0.2", asAlice)
		if resp.StatusCode != http.StatusSwitchingProtocols {
			if wantRateLimited(t, resp); n < addressBurst {
				t.Errorf("refused after %d", n)
			}
			break
		}
		_ = c.tcp.Close()
		if n > 100*addressBurst {
			t.Fatal("there is no limit")
		}
	}
	if _, resp := e.shake("127.0.0.3", asAlice); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("another address: %s", resp.Status)
	}
}

// TestAddresses_RefusedTokens guesses tokens over REST, in the handshake and in hello. Then a good one is not looked at either.
func TestAddresses_RefusedTokens(t *testing.T) {
	for name, guess := range map[string]func(*edge) int{
		"REST": func(e *edge) int {
			return e.call("", "GET", "/chats", "", "Authorization", "Bearer guess").status
		},
		"handshake": func(e *edge) int {
			_, resp := e.shake("127.0.0.1", "Authorization: Bearer guess\r\n")
			return resp.StatusCode
		},
		"hello": func(e *edge) int {
			c, resp := e.shake("127.0.0.1", "")
			if resp.StatusCode == http.StatusSwitchingProtocols {
				c.write(maskedText(`{"type":"hello","deviceId":"d","token":"guess"}`))
				if op, _, err := c.read(); op != frame.OpText || err != nil {
					e.t.Fatalf("frame %x, %v", op, err)
				}
				c.expectClose(closeUnauthenticated)
				_ = c.tcp.Close()
				return http.StatusUnauthorized
			}
			return resp.StatusCode
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := openEdge(t, startCluster(t, 1), everybody, func(c *Config) { c.Limits.AddressFailures = 1 })
			n := 0
			for guess(e) == http.StatusUnauthorized {
				if n++; n > 100*addressBurst {
					t.Fatal("there is no limit")
				}
			}
			if n < addressBurst {
				t.Errorf("refused after %d", n)
			}
			if a := e.call("alice", "GET", "/chats", ""); a.status != http.StatusTooManyRequests {
				t.Errorf("a good token at the same address: %d %s", a.status, a.body)
			}
			if a := e.call("", "GET", "/healthz", ""); a.status != http.StatusOK {
				t.Errorf("what needs no token: %d %s", a.status, a.body)
			}
			if _, resp := e.shake("127.0.0.2", asAlice); resp.StatusCode != http.StatusSwitchingProtocols {
				t.Errorf("another address: %s", resp.Status)
			}
		})
	}
}

// TestAddresses_RequestConnections opens TCP connections that say nothing. What is over a limit is closed, and nothing else.
func TestAddresses_RequestConnections(t *testing.T) {
	const get = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, set := range map[string]func(*Config){
		"of an address": func(c *Config) { c.Limits.AddressRequests = 3 },
		"in all":        func(c *Config) { c.Limits.RequestConnections = 3 },
	} {
		t.Run(name, func(t *testing.T) {
			e := openEdge(t, startCluster(t, 1), everybody, set)
			var kept []*rawClient
			for range 3 {
				kept = append(kept, e.dialFrom("127.0.0.2"))
			}
			over := e.dialFrom("127.0.0.2")
			over.deadline()
			if b, err := over.r.ReadByte(); err == nil {
				t.Errorf("one too many got byte %x", b)
			}
			if name == "of an address" {
				other := e.dialFrom("127.0.0.3")
				other.write([]byte(get))
				if resp := other.response(); resp.StatusCode != http.StatusOK {
					t.Errorf("another address: %s", resp.Status)
				}
				_ = other.tcp.Close()
			}
			for _, c := range kept {
				c.write([]byte(get))
				if resp := c.response(); resp.StatusCode != http.StatusOK {
					t.Errorf("one of those within: %s", resp.Status)
				}
				_ = c.tcp.Close()
			}
			eventually(t, "all to be gone", func() bool { return e.addresses.requests.Load() == 0 && e.addresses.count() == 0 })
			if n := e.scrape()["quorate_delivery_address_refusals_total{requests}"]; n != 1 {
				t.Errorf("%v refusals are counted", n)
			}
			if _, resp := e.shake("127.0.0.2", asAlice); resp.StatusCode != http.StatusSwitchingProtocols {
				t.Errorf("later: %s", resp.Status)
			}
			eventually(t, "the WebSocket to be counted as one", func() bool { return e.addresses.requests.Load() == 0 })
		})
	}
}
