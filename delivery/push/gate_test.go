package push

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/quorate/quorate/delivery/push/pushtest"
)

// names is a resolver that gives its answers one after the other, and the last again.
type names struct {
	mu      sync.Mutex
	answers [][]string
	asked   int
	err     error
}

func (r *names) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return nil, r.err
	}
	answer := r.answers[min(r.asked, len(r.answers)-1)]
	r.asked++
	all := make([]netip.Addr, len(answer))
	for i, a := range answer {
		all[i] = netip.MustParseAddr(a)
	}
	return all, nil
}

// dialed is a dialer that reaches nothing, and keeps what it was asked for.
type dialed struct {
	mu  sync.Mutex
	all []string
}

var errNotDialed = errors.New("nothing is dialed here")

func (d *dialed) dial(_ context.Context, _, address string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, address)
	return nil, errNotDialed
}

func TestGate_TheCheckedAddressIsDialed(t *testing.T) {
	r, d := &names{answers: [][]string{{"8.8.8.8", "2606:4700::1"}, {"127.0.0.1"}}}, &dialed{}
	g := &gate{resolver: r, dial: d.dial}
	if _, err := g.dialChecked(t.Context(), "tcp", "hooks.example.com:443"); !errors.Is(err, errNotDialed) {
		t.Fatal(err)
	}
	if want := []string{"8.8.8.8:443", "[2606:4700::1]:443"}; !slices.Equal(d.all, want) || r.asked != 1 {
		t.Errorf("dialed %v after %d look-ups, want %v after one", d.all, r.asked, want)
	}
}

func TestGate_EveryAddressIsChecked(t *testing.T) {
	for _, answer := range [][]string{
		{"10.0.0.1"},
		{"8.8.8.8", "127.0.0.1"},
		{"8.8.8.8", "1.1.1.1", "::ffff:169.254.169.254"},
		{"8.8.8.8", "1.1.1.1", "8.8.4.4", "9.9.9.9", "1.0.0.1", "8.8.8.1", "8.8.8.2", "8.8.8.3", "8.8.8.4", "192.168.0.1"}, // behind those that are tried
		{},
	} {
		d := &dialed{}
		g := &gate{resolver: &names{answers: [][]string{answer}}, dial: d.dial}
		if _, err := g.dialChecked(t.Context(), "tcp", "hooks.example.com:443"); !errors.Is(err, errForbidden) || len(d.all) > 0 {
			t.Errorf("%v: %v, dialed %v", answer, err, d.all)
		}
	}
}

func TestGate_NotMoreThanAFewAddressesAreTried(t *testing.T) {
	d := &dialed{}
	g := &gate{resolver: &names{answers: [][]string{slices.Repeat([]string{"8.8.8.8"}, 1000)}}, dial: d.dial}
	if _, err := g.dialChecked(t.Context(), "tcp", "hooks.example.com:443"); !errors.Is(err, errNotDialed) || len(d.all) != maxAddresses {
		t.Errorf("%v after %d", err, len(d.all))
	}
}

func TestGate_AddressesAreDialedOnlyWhereTheyAreAllowed(t *testing.T) {
	d := &dialed{}
	g := &gate{allowed: allowedHosts{"127.0.0.1:8443": true, "::1:8443": true}, resolver: &names{err: errors.New("not asked")}, dial: d.dial}
	for address, allowed := range map[string]bool{"127.0.0.1:8443": true, "[::1]:8443": true, "127.0.0.1:8444": false, "8.8.8.8:443": false} {
		if _, err := g.dialChecked(t.Context(), "tcp", address); errors.Is(err, errForbidden) == allowed {
			t.Errorf("%s: %v", address, err)
		}
	}
	if len(d.all) != 2 {
		t.Errorf("dialed %v", d.all)
	}
}

// hookBehind is a webhook provider whose names are the resolver's.
func hookBehind(t *testing.T, r resolver, d *dialed) (*guard, *Device) {
	t.Helper()
	cfg := Config{WebhookHosts: []string{"*"}}.withDefaults()
	c, err := newWebhook(&cfg, &gate{resolver: r, dial: d.dial}, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := newGuard(c, cfg.Limits, cfg.Log)
	t.Cleanup(func() { g.Close() })
	return g, &Device{Platform: Webhook, Endpoint: "https://rebind.example.com/secret-path", Secret: NewWebhookSecret()}
}

func TestGate_RebindingAfterRegistration(t *testing.T) {
	d := &dialed{}
	p, device := hookBehind(t, &names{answers: [][]string{{"8.8.8.8"}, {"127.0.0.1"}}}, d)
	if err := p.Check(t.Context(), device); err != nil {
		t.Fatal(err)
	}
	mean(t, p.Send(t.Context(), device, note()), "rejected", "forbidden address")
	if len(d.all) > 0 {
		t.Errorf("dialed %v", d.all)
	}
}

func TestGate_WhatIsNotThereAndWhatIsPrivateLookTheSame(t *testing.T) {
	private, device := hookBehind(t, &names{answers: [][]string{{"10.0.0.1"}}}, &dialed{})
	absent, _ := hookBehind(t, &names{err: &net.DNSError{Err: "no such host", IsNotFound: true}}, &dialed{})
	one, other := private.Check(t.Context(), device), absent.Check(t.Context(), device)
	if !errors.Is(one, ErrBadDevice) || !errors.Is(other, ErrBadDevice) || one.Error() != other.Error() {
		t.Errorf("%v, %v", one, other)
	}
}

func TestGate_AResolverInTroubleIsNotTheDevicesFault(t *testing.T) {
	p, device := hookBehind(t, &names{err: &net.DNSError{Err: "server misbehaving", IsTemporary: true}}, &dialed{})
	if err := p.Check(t.Context(), device); err != nil {
		t.Error(err)
	}
	mean(t, p.Send(t.Context(), device, note()), "unavailable", "name not resolved")
}

// TestGate_CNAMEToPrivate asks a real resolver, whose server leads on to a private address.
func TestGate_CNAMEToPrivate(t *testing.T) {
	server := startDNS(t)
	d := &dialed{}
	p, device := hookBehind(t, &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server)
	}}, d)
	if err := p.Check(within(t), device); !errors.Is(err, ErrBadDevice) {
		t.Errorf("registered: %v", err)
	}
	mean(t, p.Send(within(t), device, note()), "rejected", "forbidden address")
	if len(d.all) > 0 {
		t.Errorf("dialed %v", d.all)
	}
}

// startDNS answers every question with a chain: the name, inner.example.net, 10.0.0.1.
func startDNS(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		packet := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(packet[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			inner := dnsmessage.MustNewName("inner.example.net.")
			head := func(name dnsmessage.Name) dnsmessage.ResourceHeader {
				return dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: 60}
			}
			m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
			m.Answers = []dnsmessage.Resource{{Header: head(m.Questions[0].Name), Body: &dnsmessage.CNAMEResource{CNAME: inner}}}
			if m.Questions[0].Type == dnsmessage.TypeA {
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: head(inner), Body: &dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}}})
			}
			if reply, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

func TestGate_NoRedirectIsFollowed(t *testing.T) {
	var followed atomic.Int32
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	defer inside.Close()
	s, hook := standHook(t, func(c *Config) { c.AllowHosts = append(c.AllowHosts, strings.TrimPrefix(inside.URL, "https://")) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		hook.Script(pushtest.Answer{Status: status, Location: inside.URL + "/admin"})
		mean(t, s.notify(t), "rejected", "redirect")
	}
	if followed.Load() > 0 || hook.Requests() != 5 {
		t.Errorf("%d redirects were followed, %d requests came", followed.Load(), hook.Requests())
	}
}

func TestGate_LongAnswersAreNotRead(t *testing.T) {
	endless := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", 64<<10)); err != nil {
				return
			}
		}
	}))
	endless.StartTLS()
	defer endless.Close()
	s, _ := standHook(t, func(c *Config) { c.AllowHosts = append(c.AllowHosts, strings.TrimPrefix(endless.URL, "https://")) })
	s.device.Endpoint = endless.URL + "/hook"
	if err := s.notify(t); err != nil {
		t.Error(err)
	}
}
