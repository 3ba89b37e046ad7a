package delivery

import (
	"encoding/base64"
	"errors"
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var testSecret = []byte("a secret of the tests, 32 bytes.")

func signed(t *testing.T, method jwt.SigningMethod, key any, claims jwt.MapClaims, header map[string]any) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	for k, v := range header {
		token.Header[k] = v
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// badTokens gives a token of each kind that must be refused, for user alice at now.
func badTokens(t *testing.T, now time.Time) map[string]string {
	good := jwt.MapClaims{"sub": "alice", "exp": now.Add(time.Hour).Unix()}
	with := func(k string, v any) jwt.MapClaims {
		c := jwt.MapClaims{"sub": "alice", "exp": now.Add(time.Hour).Unix()}
		if c[k] = v; v == nil {
			delete(c, k)
		}
		return c
	}
	hs := jwt.SigningMethodHS256
	ok := signed(t, hs, testSecret, good, nil)
	parts := strings.Split(ok, ".")
	alg := func(name string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+name+`","typ":"JWT"}`)) + "." + parts[1] + "."
	}
	return map[string]string{
		"empty":              "",
		"rubbish":            "rubbish",
		"alg none":           signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good, nil),
		"alg None":           alg("None"),
		"alg nOnE, signed":   alg("nOnE") + parts[2],
		"HS384":              signed(t, jwt.SigningMethodHS384, testSecret, good, nil),
		"HS512":              signed(t, jwt.SigningMethodHS512, testSecret, good, nil),
		"other key":          signed(t, hs, []byte("another"), good, nil),
		"empty key":          signed(t, hs, []byte{}, good, nil),
		"no signature":       parts[0] + "." + parts[1] + ".",
		"short signature":    ok[:len(ok)-2],
		"long signature":     ok + "AA",
		"loose signature":    ok[:len(ok)-1] + "_",
		"two parts":          parts[0] + "." + parts[1],
		"many dots":          strings.Repeat(".", 8000),
		"huge":               ok + strings.Repeat("A", maxTokenBytes),
		"expired":            signed(t, hs, testSecret, with("exp", now.Add(-5*time.Minute).Unix()), nil),
		"no exp":             signed(t, hs, testSecret, with("exp", nil), nil),
		"exp is a string":    signed(t, hs, testSecret, with("exp", "tomorrow"), nil),
		"exp is negative":    signed(t, hs, testSecret, with("exp", -1), nil),
		"exp is huge":        signed(t, hs, testSecret, with("exp", 1e300), nil),
		"not before":         signed(t, hs, testSecret, with("nbf", now.Add(5*time.Minute).Unix()), nil),
		"from the future":    signed(t, hs, testSecret, with("iat", now.Add(5*time.Minute).Unix()), nil),
		"no sub":             signed(t, hs, testSecret, with("sub", nil), nil),
		"sub is a number":    signed(t, hs, testSecret, with("sub", 7), nil),
		"sub is no id":       signed(t, hs, testSecret, with("sub", "alice/../bob"), nil),
		"sub is too long":    signed(t, hs, testSecret, with("sub", strings.Repeat("a", 65)), nil),
		"critical extension": signed(t, hs, testSecret, good, map[string]any{"crit": []string{"x"}}),
		"no-auth user":       "user:alice",
	}
}

func TestAuth_RefusesBadTokens(t *testing.T) {
	now := time.Now()
	a := newAuthenticator(&tokenKeys{secret: testSecret}, &Config{}, func() time.Time { return now })
	for name, token := range badTokens(t, now) {
		if id, err := a.check(token); !errors.Is(err, errToken) {
			t.Errorf("%s: got %v, %v", name, id, err)
		}
	}
}

func TestAuth_Leeway(t *testing.T) {
	now := time.Now()
	a := newAuthenticator(&tokenKeys{secret: testSecret}, &Config{}, func() time.Time { return now })
	late := signed(t, jwt.SigningMethodHS256, testSecret, jwt.MapClaims{"sub": "alice", "exp": now.Add(-20 * time.Second).Unix()}, nil)
	if id, err := a.check(late); err != nil || id.user != "alice" {
		t.Errorf("20 s late: got %v, %v", id, err)
	}
}

func TestAuth_SignAndCheck(t *testing.T) {
	token, err := SignToken(testSecret, "alice", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	user, expires, err := CheckToken(testSecret, token)
	if err != nil || user != "alice" || math.Abs(time.Until(expires).Minutes()-60) > 1 {
		t.Errorf("got %q, %v, %v", user, expires, err)
	}
	if _, err := SignToken(testSecret, "no user", time.Hour); err == nil {
		t.Error("signed a token for a bad user id")
	}
}

func TestAuth_NoAuth(t *testing.T) {
	a := newAuthenticator(&tokenKeys{}, &Config{NoAuth: true}, time.Now)
	if id, err := a.check("user:alice"); err != nil || id.user != "alice" || !id.expires.IsZero() {
		t.Errorf("got %v, %v", id, err)
	}
	for _, token := range []string{"user:", "user:a b", "alice", "User:alice"} {
		if id, err := a.check(token); err == nil {
			t.Errorf("%q: got %v", token, id)
		}
	}
}

func TestAuth_Headers(t *testing.T) {
	a := newAuthenticator(&tokenKeys{}, &Config{NoAuth: true}, time.Now)
	for name, set := range map[string][]string{
		"none": nil, "basic": {"Basic user:alice"}, "bare": {"user:alice"}, "two": {"Bearer user:alice", "Bearer user:bob"},
		"no token": {"Bearer "}, "two spaces": {"Bearer  user:alice"},
	} {
		r := httptest.NewRequest("GET", "/chats", nil)
		r.Header["Authorization"] = set
		if id, err := a.ofHeader(r); err == nil {
			t.Errorf("%s: got %v", name, id)
		}
	}
	r := httptest.NewRequest("GET", "/chats?access_token=x", nil)
	r.Header.Set("Authorization", "Bearer user:alice")
	if _, err := a.ofHeader(r); err == nil {
		t.Error("took a token in the query string")
	}
	r = httptest.NewRequest("GET", "/stream", nil)
	r.Header.Set("Sec-WebSocket-Protocol", "quorate.v1, bearer.x")
	if _, offered, err := a.ofHandshake(r); !offered || err == nil {
		t.Errorf("a bad subprotocol token gives %v, %v", offered, err)
	}
}
