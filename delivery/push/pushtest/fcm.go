package pushtest

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// FCM is Firebase with Google's token endpoint beside it: it verifies assertions, hands access tokens out, and takes messages that
// have no field which is not documented.
type FCM struct {
	Server
	AccountFile, Project string

	key        *rsa.PrivateKey
	email      string
	devices    map[string]bool // by token, false where the app is gone; under mu
	access     map[string]bool // by token, false where it ended; under mu
	exchanges  int
	life       int // seconds
	validated  int
	noExchange *Answer
}

// accountKey is the same for all of a process, as it takes a while.
var accountKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// NewFCM starts it, with a service account.
func NewFCM(t testing.TB) *FCM {
	t.Helper()
	f := &FCM{
		Project: "quorate-test", key: accountKey(), email: "push@quorate-test.iam.gserviceaccount.com", devices: map[string]bool{}, access: map[string]bool{},
		life: 3599,
	}
	f.taken, f.judge, f.body = http.StatusOK, f.look, fcmError
	f.start(t)
	der, err := x509.MarshalPKCS8PrivateKey(f.key)
	if err != nil {
		t.Fatal(err)
	}
	account, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": f.Project, "private_key_id": "k1", "client_email": f.email, "token_uri": f.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.AccountFile = filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(f.AccountFile, account, 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// Device has a new device with the app, and gives its token.
func (f *FCM) Device() string {
	token := base64.RawURLEncoding.EncodeToString(random(16)) + ":APA91b" + base64.RawURLEncoding.EncodeToString(random(96))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.devices[token] = true
	return token
}

// Uninstall removes the app from a device.
func (f *FCM) Uninstall(token string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.devices[token] = false
}

// EndTokens has all access tokens end now.
func (f *FCM) EndTokens() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for token := range f.access {
		f.access[token] = false
	}
}

// RefuseTokens has the token endpoint answer so; nil has it give tokens again.
func (f *FCM) RefuseTokens(a *Answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.noExchange = a
}

// Exchanges counts the access tokens that were given.
func (f *FCM) Exchanges() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.exchanges
}

// Validated counts messages that came with validate_only: nobody gets them.
func (f *FCM) Validated() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.validated
}

// fcmError is an error as Google's APIs have it: Reason may be "STATUS" or "STATUS/ERROR_CODE".
func fcmError(a Answer) string {
	status, code, both := strings.Cut(a.Reason, "/")
	details := []any{}
	if both {
		details = append(details, map[string]string{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code})
	}
	body, err := json.Marshal(map[string]any{"error": map[string]any{
		"code": a.Status, "message": "as the test has it", "status": status, "details": details,
	}})
	if err != nil {
		panic(err)
	}
	return string(body)
}

func (f *FCM) look(r *http.Request, body []byte) (Received, *Answer) {
	switch r.URL.Path {
	case "/token":
		return Received{}, f.exchange(r, body)
	case "/v1/projects/" + f.Project + "/messages:send":
		return f.message(r, body)
	default:
		return Received{}, f.fault(http.StatusNotFound, "NOT_FOUND", "path "+r.URL.Path)
	}
}

// exchange gives an access token for an assertion.
func (f *FCM) exchange(r *http.Request, body []byte) *Answer {
	invalid := func(why string) *Answer {
		a := f.fault(http.StatusBadRequest, "", why)
		a.Body = `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`
		return a
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || r.Method != http.MethodPost || form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		return invalid("no request for a token")
	}
	claims := jwt.MapClaims{}
	_, err = jwt.ParseWithClaims(form.Get("assertion"), claims, func(*jwt.Token) (any, error) { return &f.key.PublicKey, nil },
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithIssuer(f.email), jwt.WithAudience(f.URL+"/token"))
	if err != nil {
		return invalid(err.Error())
	}
	if claims["scope"] != "https://www.googleapis.com/auth/firebase.messaging" {
		return invalid(fmt.Sprintf("scope %v", claims["scope"]))
	}
	if end, err := claims.GetExpirationTime(); err != nil || end.After(time.Now().Add(time.Hour+time.Minute)) {
		return invalid("the assertion is good for more than an hour")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.noExchange != nil {
		return f.noExchange
	}
	f.exchanges++
	token := "ya29." + base64.RawURLEncoding.EncodeToString(random(48))
	f.access[token] = true
	return &Answer{Status: http.StatusOK, Body: fmt.Sprintf(`{"access_token":%q,"expires_in":%d,"token_type":"Bearer"}`, token, f.life)}
}

// message is the documented form of what is sent, as far as a chat needs it.
type message struct {
	ValidateOnly bool `json:"validate_only"`
	Message      struct {
		Token        string
		Notification struct{ Title, Body string }
		Data         map[string]string
		Android      struct {
			CollapseKey  string `json:"collapse_key"`
			Priority     string
			TTL          string
			Notification struct {
				Tag   string
				Count int `json:"notification_count"`
			}
		}
		APNS struct {
			Headers map[string]string
			Payload map[string]any
		}
		WebPush struct {
			Headers      map[string]string
			Notification map[string]any
		}
	}
}

var (
	ttlForm  = regexp.MustCompile(`^[0-9]+(\.[0-9]{1,9})?s$`)
	reserved = regexp.MustCompile(`^(from|gcm.*|google.*|message_type|collapse_key)$`)
)

func (f *FCM) message(r *http.Request, body []byte) (Received, *Answer) {
	access, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	f.mu.Lock()
	good := f.access[access]
	f.mu.Unlock()
	if !good {
		return Received{}, &Answer{Status: http.StatusUnauthorized, Reason: "UNAUTHENTICATED"}
	}
	var m message
	strict := json.NewDecoder(bytes.NewReader(body))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&m); err != nil {
		return Received{}, f.fault(http.StatusBadRequest, "INVALID_ARGUMENT/INVALID_ARGUMENT", err.Error())
	}
	if why := m.wrong(); why != "" {
		return Received{}, f.fault(http.StatusBadRequest, "INVALID_ARGUMENT/INVALID_ARGUMENT", why)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	installed, known := f.devices[m.Message.Token]
	switch {
	case !known:
		return Received{}, &Answer{Status: http.StatusBadRequest, Body: badRegistration}
	case !installed:
		return Received{}, &Answer{Status: http.StatusNotFound, Reason: "NOT_FOUND/UNREGISTERED"}
	case m.ValidateOnly:
		f.validated++
		return Received{}, &Answer{Status: http.StatusOK, Body: `{"name":"projects/` + f.Project + `/messages/fake_message_id"}`}
	}
	return Received{
		Device: m.Message.Token, CollapseKey: m.Message.Android.CollapseKey, Title: m.Message.Notification.Title,
		Body: m.Message.Notification.Body, Payload: body,
	}, nil
}

const badRegistration = `{"error":{"code":400,"message":"The registration token is not a valid FCM registration token","status":"INVALID_ARGUMENT",` +
	`"details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"INVALID_ARGUMENT"}]}}`

// wrong says what FCM would not take, or "".
func (m *message) wrong() string {
	size := len(m.Message.Notification.Title) + len(m.Message.Notification.Body)
	for name, value := range m.Message.Data {
		size += len(name) + len(value)
		if reserved.MatchString(name) {
			return "the data has the reserved name " + name
		}
	}
	switch {
	case size > 4096:
		return fmt.Sprintf("%d bytes", size)
	case m.Message.Android.TTL != "" && !ttlForm.MatchString(m.Message.Android.TTL):
		return "TTL " + m.Message.Android.TTL
	case m.Message.Android.Priority != "HIGH" && m.Message.Android.Priority != "NORMAL":
		return "priority " + m.Message.Android.Priority
	case m.Message.APNS.Payload["aps"] == nil:
		return "no aps"
	}
	return ""
}
