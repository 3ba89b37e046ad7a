package push

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxAPNSPayload   = 4096
	minAPNSToken     = 64 // hexadecimal; Apple says that it may grow
	maxAPNSToken     = 256
	maxAPNSCollapse  = 64
	apnsAccountChars = 10 // of a key's id and of a team's
)

// apns sends to Apple's service, over HTTP/2 with a token of a .p8 key.
type apns struct {
	caller
	base   string
	topics []string
	tokens *apnsTokens
	ttl    time.Duration
	dry    *rehearsal
}

func newAPNS(cfg *Config, roots *x509.CertPool) (courier, error) {
	key, err := loadP8(cfg.APNSKeyFile)
	if err != nil {
		return nil, err
	}
	if len(cfg.APNSKeyID) != apnsAccountChars || len(cfg.APNSTeamID) != apnsAccountChars {
		return nil, fmt.Errorf("push: the ids of an APNs key and of its team have %d characters", apnsAccountChars)
	}
	if len(cfg.APNSTopics) == 0 {
		return nil, errors.New("push: APNs needs a topic, the app's bundle id")
	}
	base, err := baseURL(cfg.APNSURL)
	if err != nil {
		return nil, err
	}
	t := newTransport(cfg.Limits, roots)
	t.Proxy = http.ProxyFromEnvironment
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP2(true) // Apple speaks nothing else
	return &apns{
		caller: caller{APNS, newClient(t), cfg.Limits.Timeout}, base: base, topics: cfg.APNSTopics, ttl: cfg.TTL, dry: newRehearsal(cfg),
		tokens: &apnsTokens{key: key, keyID: cfg.APNSKeyID, teamID: cfg.APNSTeamID, now: time.Now},
	}, nil
}

// baseURL takes the address of a provider as the operator names it.
func baseURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return "", errors.New("push: a provider's address must be https://host")
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}

// loadP8 reads the key as Apple gives it: PKCS#8 in PEM.
func loadP8(path string) (*ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("push: APNs key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("push: the APNs key file is no PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("push: the APNs key file has no PKCS#8 key")
	}
	private, isEC := key.(*ecdsa.PrivateKey)
	if !isEC || private.Curve != elliptic.P256() {
		return nil, errors.New("push: the APNs key is none of P-256")
	}
	return private, nil
}

func (a *apns) platform() Platform { return APNS }

func (a *apns) close() { a.client.CloseIdleConnections() }

func (a *apns) lane(*Device) (string, bool, error) { return a.base, true, nil }

func (a *apns) check(_ context.Context, d *Device) error {
	if !isAPNSToken(d.Token) {
		return fmt.Errorf("%w: an APNs token has %d to %d hexadecimal digits", ErrBadDevice, minAPNSToken, maxAPNSToken)
	}
	if _, known := a.topic(d); !known {
		return fmt.Errorf("%w: the topic is not one of this server's apps", ErrBadDevice)
	}
	return nil
}

func isAPNSToken(s string) bool {
	return len(s) >= minAPNSToken && len(s) <= maxAPNSToken && len(s)%2 == 0 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

func (a *apns) topic(d *Device) (string, bool) {
	if d.Topic == "" {
		return a.topics[0], true
	}
	return d.Topic, slices.Contains(a.topics, d.Topic)
}

func (a *apns) send(ctx context.Context, d *Device, n *Notification) error {
	topic, known := a.topic(d)
	if !known || !isAPNSToken(d.Token) {
		return a.failure(ErrRejected, 0, "bad device")
	}
	payload, fits := fit(n.Text, maxAPNSPayload, func(text string) any { return apnsPayload(n, text) })
	if !fits {
		return a.failure(ErrRejected, 0, "too large")
	}
	if a.dry.instead(ctx, d, n, len(payload)) {
		return nil
	}
	token, err := a.tokens.token()
	if err != nil {
		return a.failure(ErrUnavailable, 0, "cannot be signed")
	}
	answer, err := a.post(ctx, d.Token, topic, token, n, payload)
	if err == nil && answer.status == http.StatusForbidden && apnsReason(answer.body) == expiredProviderToken {
		if token, err = a.tokens.renewed(token); err != nil {
			return a.failure(ErrUnavailable, http.StatusForbidden, expiredProviderToken)
		}
		answer, err = a.post(ctx, d.Token, topic, token, n, payload)
	}
	if err != nil {
		return err
	}
	return a.meaning(answer)
}

func (a *apns) post(ctx context.Context, device, topic, token string, n *Notification, payload []byte) (*answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base+"/3/device/"+device, bytes.NewReader(payload))
	if err != nil {
		return nil, a.failure(ErrRejected, 0, "bad device")
	}
	r.Header.Set("Authorization", "bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Apns-Topic", topic)
	r.Header.Set("Apns-Push-Type", "alert")
	r.Header.Set("Apns-Priority", "10")
	r.Header.Set("Apns-Expiration", strconv.FormatInt(time.Now().Add(a.ttl).Unix(), 10))
	if n.CollapseKey != "" {
		r.Header.Set("Apns-Collapse-Id", n.CollapseKey)
	}
	return a.call(ctx, r, maxAnswerBytes)
}

// apnsPayload is what the app gets. Its extension may change what is shown: mutable-content.
func apnsPayload(n *Notification, text string) any {
	type alert struct {
		Title string `json:"title"`
		Body  string `json:"body"`
	}
	type aps struct {
		Alert    alert  `json:"alert"`
		Badge    int    `json:"badge"`
		Sound    string `json:"sound"`
		ThreadID string `json:"thread-id"`
		Mutable  int    `json:"mutable-content"`
	}
	return struct {
		APS aps `json:"aps"`
		facts
	}{aps{alert{title(n), words(n, text)}, n.Badge, "default", n.ChatID, 1}, factsOf(n)}
}
