package push

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// maxAddresses bounds the addresses of one host that are tried.
const maxAddresses = 8

var errForbidden = errors.New("the host has no public address")

// resolver finds the addresses of a name. *net.Resolver is one.
type resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// gate is the way out to hosts that devices name. It resolves a name, checks every address, and dials one that it checked: a name
// that answers otherwise a moment later gains nothing. There is no proxy, because a proxy would resolve again.
type gate struct {
	allowed  allowedHosts
	resolver resolver
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
}

// addresses gives those that a host may be reached at: errForbidden if any of them is not public, unless it is allowed by name.
func (g *gate) addresses(ctx context.Context, host, port string) ([]netip.Addr, error) {
	allowed := g.allowed[host+":"+port]
	if a, err := netip.ParseAddr(host); err == nil {
		if !allowed {
			return nil, errForbidden
		}
		return []netip.Addr{a}, nil
	}
	all, err := g.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if !allowed && !isPublic(a) {
			return nil, errForbidden
		}
	}
	if len(all) == 0 {
		return nil, errForbidden
	}
	return all[:min(len(all), maxAddresses)], nil
}

// check resolves a target's host when a device is registered. That a name is not there, and that its address is not public, look the
// same to who asks: the names of a private network are not his to find out.
func (g *gate) check(ctx context.Context, t *target) error {
	_, err := g.addresses(ctx, t.url.Hostname(), port(t.url))
	var dns *net.DNSError
	if errors.Is(err, errForbidden) || errors.As(err, &dns) && dns.IsNotFound {
		return fmt.Errorf("%w: %w", ErrBadDevice, errForbidden)
	}
	return ctx.Err() // a resolver in trouble says nothing of the device; it is asked again before each request
}

func (g *gate) dialChecked(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	all, err := g.addresses(ctx, host, port)
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		var c net.Conn
		if c, err = g.dial(ctx, network, net.JoinHostPort(a.String(), port)); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// client makes requests through the gate.
func (g *gate) client(l ProviderLimits, roots *x509.CertPool) *http.Client {
	t := newTransport(l, roots)
	t.DialContext = g.dialChecked
	t.MaxIdleConns = l.Concurrent
	return newClient(t)
}

// newTransport speaks HTTP/2 where the other side does, and finds out within seconds when a connection has died.
func newTransport(l ProviderLimits, roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    l.Timeout,
		MaxIdleConnsPerHost:    l.Concurrent,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 16 << 10,
		DisableCompression:     true, // answers are small, and none shall grow
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
}

// newClient follows no redirect: it would lead past the checks.
func newClient(t *http.Transport) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
