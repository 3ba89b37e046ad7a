package pushtest

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// WebPush is a push service with its browsers: it verifies VAPID (RFC 8292), checks the headers of RFC 8030, and decrypts as the
// browser would (RFC 8291).
type WebPush struct {
	Server
	subscriptions map[string]*browser // by path; under mu
}

// browser is one subscription.
type browser struct {
	receiver Receiver
	server   string // the applicationServerKey that it subscribed with
	gone     bool
}

// Subscription is what pushManager.subscribe gives a page.
type Subscription struct{ Endpoint, P256DH, Auth string }

// NewWebPush starts a push service.
func NewWebPush(t testing.TB) *WebPush {
	w := &WebPush{subscriptions: map[string]*browser{}}
	w.taken, w.judge, w.body = http.StatusCreated, w.look, func(a Answer) string { return a.Reason }
	w.start(t)
	return w
}

// Subscribe makes a browser's subscription. The key is the server's public key, base64url.
func (w *WebPush) Subscribe(t testing.TB, applicationServerKey string) Subscription {
	t.Helper()
	b := &browser{receiver: NewReceiver(), server: applicationServerKey}
	id := base64.RawURLEncoding.EncodeToString(random(24))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subscriptions["/push/"+id] = b
	return Subscription{w.URL + "/push/" + id, b.receiver.P256DH(), base64.RawURLEncoding.EncodeToString(b.receiver.Auth)}
}

// Unsubscribe ends a subscription: its endpoint answers 410 from now on.
func (w *WebPush) Unsubscribe(endpoint string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subscriptions[strings.TrimPrefix(endpoint, w.URL)].gone = true
}

var (
	topicForm   = regexp.MustCompile(`^[A-Za-z0-9_-]{0,32}$`)
	urgencyForm = regexp.MustCompile(`^(very-low|low|normal|high)?$`)
)

func (w *WebPush) look(r *http.Request, body []byte) (Received, *Answer) {
	b, gone := w.find(r.URL.Path)
	switch {
	case b == nil:
		return Received{}, &Answer{Status: http.StatusNotFound, Body: "no such subscription"}
	case gone:
		return Received{}, &Answer{Status: http.StatusGone, Body: "unsubscribed"}
	case r.Method != http.MethodPost:
		return Received{}, w.fault(http.StatusMethodNotAllowed, "", "method "+r.Method)
	case len(body) > 4096:
		return Received{}, w.fault(http.StatusRequestEntityTooLarge, "", fmt.Sprintf("%d bytes", len(body)))
	case r.Header.Get("Content-Encoding") != "aes128gcm":
		return Received{}, w.fault(http.StatusUnsupportedMediaType, "", "content encoding "+r.Header.Get("Content-Encoding"))
	case !topicForm.MatchString(r.Header.Get("Topic")) || !urgencyForm.MatchString(r.Header.Get("Urgency")):
		return Received{}, w.fault(http.StatusBadRequest, "", "topic or urgency")
	}
	if ttl, err := strconv.Atoi(r.Header.Get("TTL")); err != nil || ttl < 0 {
		return Received{}, w.fault(http.StatusBadRequest, "", "TTL "+r.Header.Get("TTL"))
	}
	if err := verifyVAPID(r.Header.Get("Authorization"), w.URL, b.server, time.Now()); err != nil {
		return Received{}, w.fault(http.StatusUnauthorized, "", err.Error())
	}
	got := Received{Device: w.URL + r.URL.Path, CollapseKey: r.Header.Get("Topic")}
	plain, err := b.receiver.Open(body)
	if err != nil {
		return Received{}, w.fault(http.StatusBadRequest, "", err.Error()) // a real one cannot know
	}
	var shown struct{ Title, Body string }
	if err := json.Unmarshal(plain, &shown); err != nil {
		return Received{}, w.fault(http.StatusBadRequest, "", "the payload: "+err.Error())
	}
	got.Title, got.Body, got.Payload = shown.Title, shown.Body, plain
	return got, nil
}

func (w *WebPush) find(path string) (b *browser, gone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b = w.subscriptions[path]
	return b, b != nil && b.gone
}

// verifyVAPID checks an Authorization header for a push service at origin and a subscription made with the key server.
func verifyVAPID(header, origin, server string, now time.Time) error {
	token, key := "", ""
	rest, isVAPID := strings.CutPrefix(header, "vapid ")
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "t":
			token = value
		case "k":
			key = value
		}
	}
	if !isVAPID || token == "" || key == "" {
		return fmt.Errorf("no VAPID in %.20q", header)
	}
	if key != server {
		return fmt.Errorf("the key is not the one that the subscription was made with")
	}
	public, err := publicKey(key)
	if err != nil {
		return err
	}
	claims := jwt.RegisteredClaims{}
	_, err = jwt.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return public, nil },
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithExpirationRequired(), jwt.WithAudience(origin), jwt.WithTimeFunc(func() time.Time { return now }))
	if err != nil {
		return err
	}
	if claims.ExpiresAt.After(now.Add(24 * time.Hour)) {
		return fmt.Errorf("the token is good until %v, for more than a day", claims.ExpiresAt)
	}
	if !strings.HasPrefix(claims.Subject, "mailto:") && !strings.HasPrefix(claims.Subject, "https:") {
		return fmt.Errorf("the subject is %q", claims.Subject)
	}
	return nil
}

func publicKey(encoded string) (*ecdsa.PublicKey, error) {
	point, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return nil, err
	}
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
}

// Receiver is a browser's end of a subscription.
type Receiver struct {
	Key  *ecdh.PrivateKey
	Auth []byte
}

// NewReceiver makes the keys of a new subscription.
func NewReceiver() Receiver {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return Receiver{key, random(16)}
}

// P256DH is the public key as a subscription has it.
func (r Receiver) P256DH() string {
	return base64.RawURLEncoding.EncodeToString(r.Key.PublicKey().Bytes())
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return b
}
