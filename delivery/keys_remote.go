package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	keysEvery    = 5 * time.Minute  // a key set is read again
	keysMissEach = 10 * time.Second // at most, because a token names a key that is not in it
	keysTimeout  = 5 * time.Second
	maxKeySet    = 1 << 20 // bytes
)

// remoteKeys keeps a JSON Web Key Set that is served elsewhere. Reading it is one goroutine's work: whoever checks a token takes
// what is there. A set that cannot be read leaves the last one in use.
type remoteKeys struct {
	url    string
	client *http.Client
	log    *slog.Logger
	every  time.Duration

	set    atomic.Pointer[keySet] // nil until it was read once
	misses *rate.Limiter
	again  chan struct{}
	done   chan struct{}
}

type keySet struct {
	keys []TokenKey
	read time.Time
}

// checkKeysURL wants https, or http on loopback: who can change the set can be anybody.
func checkKeysURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return fmt.Errorf("delivery: the key set's address %q is no URL", text)
	}
	ip, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return fmt.Errorf("delivery: the key set's address %q must be https", text)
	}
	return nil
}

func newRemoteKeys(address string, log *slog.Logger) *remoteKeys {
	return &remoteKeys{
		url: address, log: log, every: keysEvery, misses: rate.NewLimiter(rate.Every(keysMissEach), 1),
		again: make(chan struct{}, 1), done: make(chan struct{}),
		client: &http.Client{
			Timeout:       keysTimeout,
			CheckRedirect: func(r *http.Request, _ []*http.Request) error { return checkKeysURL(r.URL.String()) },
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: keysTimeout}).DialContext,
				TLSHandshakeTimeout: keysTimeout, MaxIdleConns: 1, IdleConnTimeout: time.Minute,
			},
		},
	}
}

// open reads the set now and then, until ctx ends.
func (k *remoteKeys) open(ctx context.Context) {
	go func() {
		defer close(k.done)
		defer k.client.CloseIdleConnections()
		for wait := time.Second; ; wait = min(2*wait, k.every) {
			if err := k.read(ctx); err == nil {
				wait = k.every
			} else if ctx.Err() == nil {
				k.log.Warn("the keys for tokens cannot be read", "url", k.url, "err", err)
			}
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-k.again:
				timer.Stop()
			case <-ctx.Done():
				timer.Stop()
				return
			}
		}
	}()
}

func (k *remoteKeys) close() { <-k.done }

func (k *remoteKeys) read(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, http.NoBody)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	answer, err := k.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read to its end, or is not wanted
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxKeySet+1))
	if err != nil {
		return err
	}
	if len(body) > maxKeySet {
		return fmt.Errorf("a key set of more than %d bytes", maxKeySet)
	}
	keys, err := ParseTokenKeys(body)
	if err != nil {
		return err
	}
	k.set.Store(&keySet{keys, time.Now()})
	return nil
}

// known reports whether the set was ever read.
func (k *remoteKeys) known() bool { return k.set.Load() != nil }

func (k *remoteKeys) keys() []TokenKey {
	if set := k.set.Load(); set != nil {
		return set.keys
	}
	return nil
}

// missed has the set read again, for a token whose key is not in it. It is false where it was read just now: then the key is
// nobody's.
func (k *remoteKeys) missed() bool {
	if set := k.set.Load(); set != nil && time.Since(set.read) < keysMissEach {
		return false
	}
	if k.misses.Allow() {
		select {
		case k.again <- struct{}{}:
		default:
		}
	}
	return true
}
