package push

import (
	"bytes"
	"context"
	"crypto/x509"
	"net/http"
	"strconv"
	"time"
)

// webPush sends to the push services of browsers (RFC 8030).
type webPush struct {
	caller
	gate   *gate
	hosts  hostPatterns
	tokens vapidTokens
	ttl    time.Duration
	dry    *rehearsal
}

func newWebPush(cfg *Config, g *gate, roots *x509.CertPool) (courier, error) {
	key, err := LoadVAPID(cfg.VAPIDFile)
	if err != nil {
		return nil, err
	}
	hosts, err := parsePatterns(cfg.WebPushHosts)
	if err != nil {
		return nil, err
	}
	return &webPush{
		caller: caller{WebPush, g.client(cfg.Limits, roots), cfg.Limits.Timeout}, gate: g, hosts: hosts, ttl: cfg.TTL,
		tokens: vapidTokens{vapid: key, limit: cfg.Limits.Hosts, now: time.Now, all: map[string]vapidToken{}},
		dry:    newRehearsal(cfg),
	}, nil
}

func (w *webPush) platform() Platform { return WebPush }

func (w *webPush) close() { w.client.CloseIdleConnections() }

func (w *webPush) lane(d *Device) (string, bool, error) {
	t, err := parseTarget(d.Endpoint, w.hosts, w.gate.allowed)
	if err != nil {
		return "", false, w.failure(ErrRejected, 0, "forbidden endpoint")
	}
	return hostPort(t.url), t.known, nil
}

func (w *webPush) check(ctx context.Context, d *Device) error {
	t, err := parseTarget(d.Endpoint, w.hosts, w.gate.allowed)
	if err != nil {
		return err
	}
	if _, err := parseSubscription(d); err != nil {
		return err
	}
	return w.gate.check(ctx, t)
}

// shown is what the service worker gets; docs/push.md has it.
type shown struct {
	Title string `json:"title"`
	Body  string `json:"body"`
	Tag   string `json:"tag"`
	facts
}

func (w *webPush) send(ctx context.Context, d *Device, n *Notification) error {
	keys, err := parseSubscription(d)
	if err != nil {
		return w.failure(ErrRejected, 0, "bad keys")
	}
	payload, fits := fit(n.Text, maxSealedPlain, func(text string) any {
		return shown{Title: title(n), Body: words(n, text), Tag: n.CollapseKey, facts: factsOf(n)}
	})
	if !fits {
		return w.failure(ErrRejected, 0, "too large")
	}
	sealed, err := keys.seal(payload)
	if err != nil {
		return w.failure(ErrRejected, 0, "cannot be encrypted")
	}
	r, err := w.request(ctx, d, n, sealed)
	if err != nil {
		return err
	}
	if w.dry.instead(ctx, d, n, len(sealed)) {
		return nil
	}
	a, err := w.call(ctx, r, maxAnswerBytes)
	if err != nil {
		return err
	}
	return w.byStatus(a)
}

func (w *webPush) request(ctx context.Context, d *Device, n *Notification, sealed []byte) (*http.Request, error) {
	t, err := parseTarget(d.Endpoint, w.hosts, w.gate.allowed)
	if err != nil {
		return nil, w.failure(ErrRejected, 0, "forbidden endpoint")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url.String(), bytes.NewReader(sealed))
	if err != nil {
		return nil, w.failure(ErrRejected, 0, "forbidden endpoint")
	}
	token, err := w.tokens.header(t.origin())
	if err != nil {
		return nil, w.failure(ErrUnavailable, 0, "cannot be signed")
	}
	r.Header.Set("Authorization", token)
	r.Header.Set("Content-Type", "application/octet-stream")
	r.Header.Set("Content-Encoding", "aes128gcm")
	r.Header.Set("TTL", strconv.Itoa(int(w.ttl.Seconds())))
	r.Header.Set("Urgency", "high") // less may wait until a sleeping phone wakes
	if n.CollapseKey != "" {
		r.Header.Set("Topic", n.CollapseKey)
	}
	return r, nil
}
