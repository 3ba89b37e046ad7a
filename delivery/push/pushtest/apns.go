package pushtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// APNS is Apple's service: HTTP/2, tokens by ES256 that are not older than an hour nor renewed within 20 minutes, and the
// reasons of Apple's documentation.
type APNS struct {
	Server
	KeyFile, KeyID, TeamID, Topic string

	key     *ecdsa.PrivateKey
	devices map[string]string // topic by token, "" where the app is gone; under mu
	token   string            // the last one that came; under mu
	since   time.Time
}

// NewAPNS starts it, with a new key for one app.
func NewAPNS(t testing.TB) *APNS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &APNS{KeyID: "ABC123DEFG", TeamID: "DEF123GHIJ", Topic: "com.example.quorate", key: key, devices: map[string]string{}}
	a.KeyFile = filepath.Join(t.TempDir(), "AuthKey.p8")
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	a.taken, a.judge, a.body = http.StatusOK, a.look, func(said Answer) string { return `{"reason":` + strconv.Quote(said.Reason) + `}` }
	a.start(t)
	return a
}

// Device has a new device with the app, and gives its token.
func (a *APNS) Device() string {
	token := hex.EncodeToString(random(32))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.devices[token] = a.Topic
	return token
}

// Uninstall removes the app from a device.
func (a *APNS) Uninstall(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.devices[token] = ""
}

// Tokens tells the token that requests carried last.
func (a *APNS) Tokens() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.token
}

var (
	deviceToken = regexp.MustCompile(`^[0-9a-fA-F]{64,}$`)
	pushTypes   = regexp.MustCompile(`^(alert|background|voip|complication|fileprovider|mdm|location|liveactivity|pushtotalk)$`)
	priorities  = regexp.MustCompile(`^(|1|5|10)$`)
)

func (a *APNS) look(r *http.Request, body []byte) (Received, *Answer) {
	refused := func(status int, reason string) (Received, *Answer) {
		return Received{}, a.fault(status, reason, reason)
	}
	device, isDevice := strings.CutPrefix(r.URL.Path, "/3/device/")
	if reason := a.verify(r.Header.Get("Authorization"), time.Now()); reason == "TooManyProviderTokenUpdates" {
		return refused(http.StatusTooManyRequests, reason)
	} else if reason != "" {
		return refused(http.StatusForbidden, reason)
	}
	a.mu.Lock()
	topic, known := a.devices[device]
	a.mu.Unlock()
	_, badExpiration := strconv.ParseInt(r.Header.Get("Apns-Expiration"), 10, 64)
	switch {
	case r.ProtoMajor != 2:
		return refused(http.StatusHTTPVersionNotSupported, "HTTP/1.1")
	case r.Method != http.MethodPost:
		return refused(http.StatusMethodNotAllowed, "MethodNotAllowed")
	case !isDevice:
		return refused(http.StatusNotFound, "BadPath")
	case !pushTypes.MatchString(r.Header.Get("Apns-Push-Type")):
		return refused(http.StatusBadRequest, "InvalidPushType")
	case !priorities.MatchString(r.Header.Get("Apns-Priority")):
		return refused(http.StatusBadRequest, "BadPriority")
	case r.Header.Get("Apns-Expiration") != "" && badExpiration != nil:
		return refused(http.StatusBadRequest, "BadExpirationDate")
	case len(r.Header.Get("Apns-Collapse-Id")) > 64:
		return refused(http.StatusBadRequest, "BadCollapseId")
	case r.Header.Get("Apns-Topic") == "":
		return refused(http.StatusBadRequest, "MissingTopic")
	case r.Header.Get("Apns-Topic") != a.Topic:
		return refused(http.StatusBadRequest, "TopicDisallowed")
	case len(body) == 0:
		return refused(http.StatusBadRequest, "PayloadEmpty")
	case len(body) > 4096:
		return refused(http.StatusRequestEntityTooLarge, "PayloadTooLarge")
	case !deviceToken.MatchString(device) || !known:
		return Received{}, &Answer{Status: http.StatusBadRequest, Reason: "BadDeviceToken"}
	case topic == "":
		return Received{}, &Answer{Status: http.StatusGone, Reason: "Unregistered"}
	}
	var payload struct {
		APS struct {
			Alert struct{ Title, Body string }
			Badge int
		}
	}
	if err := json.Unmarshal(body, &payload); err != nil || payload.APS.Alert.Title == "" {
		return refused(http.StatusBadRequest, "PayloadEmpty")
	}
	alert := payload.APS.Alert
	return Received{Device: device, CollapseKey: r.Header.Get("Apns-Collapse-Id"), Title: alert.Title, Body: alert.Body, Payload: body}, nil
}

// verify gives the reason why a token is refused, or "".
func (a *APNS) verify(header string, now time.Time) string {
	token, isBearer := strings.CutPrefix(header, "bearer ")
	if !isBearer {
		return "MissingProviderToken"
	}
	claims := jwt.RegisteredClaims{}
	parsed, err := jwt.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return &a.key.PublicKey, nil }, jwt.WithValidMethods([]string{"ES256"}))
	switch {
	case err != nil && !errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return "InvalidProviderToken"
	case parsed.Header["kid"] != a.KeyID:
		return "InvalidProviderToken"
	case claims.Issuer != a.TeamID || claims.IssuedAt == nil || claims.IssuedAt.After(now.Add(time.Minute)):
		return "InvalidProviderToken"
	case claims.IssuedAt.Before(now.Add(-time.Hour)):
		return "ExpiredProviderToken"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.token != token {
		if a.token != "" && now.Sub(a.since) < 20*time.Minute {
			return "TooManyProviderTokenUpdates"
		}
		a.token, a.since = token, now
	}
	return ""
}

// Expire has the next request refused with ExpiredProviderToken, after which another token is welcome.
func (a *APNS) Expire() {
	a.Script(Answer{Status: http.StatusForbidden, Reason: "ExpiredProviderToken"})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.since = time.Time{}
}
