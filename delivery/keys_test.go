package delivery

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

// pair is a key that signs tokens, with its public half in both forms.
type pair struct {
	method  jwt.SigningMethod
	private crypto.Signer
}

func newPairs(t *testing.T) map[string]pair {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]pair{
		"RS256": {jwt.SigningMethodRS256, rsaKey}, "ES256": {jwt.SigningMethodES256, ecKey}, "EdDSA": {jwt.SigningMethodEdDSA, edKey},
	}
}

func (p pair) pem(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(p.private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// keySetOf is a JSON Web Key Set with the public halves, each under its name.
func keySetOf(t *testing.T, pairs map[string]pair) []byte {
	t.Helper()
	var set jwkset.JWKSMarshal
	for id, p := range pairs {
		jwk, err := jwkset.NewJWKFromKey(p.private.Public(), jwkset.JWKOptions{
			Metadata: jwkset.JWKMetadataOptions{KID: id, ALG: jwkset.ALG(p.method.Alg()), USE: jwkset.UseSig},
		})
		if err != nil {
			t.Fatal(err)
		}
		set.Keys = append(set.Keys, jwk.Marshal())
	}
	body, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func aliceFor(d time.Duration) jwt.MapClaims {
	return jwt.MapClaims{"sub": "alice", "exp": time.Now().Add(d).Unix()}
}

// checkedWith tells how a token fares at an edge with these keys.
func checkedWith(keys *tokenKeys, token string) error {
	id, err := newAuthenticator(keys, &Config{}, time.Now).check(token)
	if err == nil && id.user != "alice" {
		return errors.New("it speaks for " + id.user)
	}
	return err
}

func TestKeys_EachAlgorithmWithItsKeys(t *testing.T) {
	pairs := newPairs(t)
	for form, parse := range map[string]func(name string) []byte{
		"PEM": func(name string) []byte { return pairs[name].pem(t) },
		"set": func(name string) []byte { return keySetOf(t, map[string]pair{name: pairs[name]}) },
	} {
		for name := range pairs {
			given, err := ParseTokenKeys(parse(name))
			if err != nil {
				t.Fatalf("%s %s: %v", form, name, err)
			}
			keys := &tokenKeys{given: given}
			for signer, p := range pairs {
				kid := map[string]any{"kid": signer}
				err := checkedWith(keys, signed(t, p.method, p.private, aliceFor(time.Hour), kid))
				if (err == nil) != (signer == name) {
					t.Errorf("a token by %s at an edge with a %s of %s: %v", signer, form, name, err)
				}
			}
		}
	}
}

// A token may not choose how it is checked: the classic is to sign with HS256, and the public key for a secret.
func TestKeys_AlgorithmIsTheKeys(t *testing.T) {
	pairs := newPairs(t)
	for name, p := range pairs {
		given, err := ParseTokenKeys(p.pem(t))
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(p.private.Public())
		if err != nil {
			t.Fatal(err)
		}
		for what, secret := range map[string][]byte{"PEM": p.pem(t), "DER": der, "nothing": {}} {
			for _, keys := range []*tokenKeys{{given: given}, {given: given, secret: testSecret}} {
				if err := checkedWith(keys, signed(t, jwt.SigningMethodHS256, secret, aliceFor(time.Hour), nil)); err == nil {
					t.Errorf("HS256 with the %s of a key for %s was taken", what, name)
				}
			}
		}
	}
	rs := pairs["RS256"]
	given, err := ParseTokenKeys(rs.pem(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []jwt.SigningMethod{jwt.SigningMethodRS384, jwt.SigningMethodRS512, jwt.SigningMethodPS256} {
		if err := checkedWith(&tokenKeys{given: given}, signed(t, method, rs.private, aliceFor(time.Hour), nil)); err == nil {
			t.Errorf("%s was taken", method.Alg())
		}
	}
	odd := signed(t, rs.method, rs.private, aliceFor(time.Hour), map[string]any{"kid": 7})
	if err := checkedWith(&tokenKeys{given: given}, odd); err == nil {
		t.Error("a kid that is a number was taken")
	}
}

func TestParseTokenKeys_Refuses(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // it is to be refused
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := newPairs(t)["ES256"]
	for what, file := range map[string]string{
		"nothing":            "",
		"rubbish":            "rubbish",
		"rubbish behind PEM": string(good.pem(t)) + "rubbish",
		"a weak RSA key":     string(pair{jwt.SigningMethodRS256, weak}.pem(t)),
		"P-384":              string(pair{jwt.SigningMethodES384, p384}.pem(t)),
		"a private key":      "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"a broken key":       "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
		"an empty set":       `{"keys":[]}`,
		"a set of secrets":   `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`,
		"half a set":         `{"keys":[`,
		"too many":           strings.Repeat(string(good.pem(t)), maxKeys+1),
	} {
		if keys, err := ParseTokenKeys([]byte(file)); err == nil {
			t.Errorf("%s: %d keys", what, len(keys))
		}
	}
}

func TestAuth_IssuerAndAudience(t *testing.T) {
	a := newAuthenticator(&tokenKeys{secret: testSecret}, &Config{JWTIssuer: "us", JWTAudience: "chat"}, time.Now)
	for what, c := range map[string]struct {
		iss, aud any
		ok       bool
	}{
		"both":           {"us", "chat", true},
		"among others":   {"us", []string{"mail", "chat"}, true},
		"other issuer":   {"them", "chat", false},
		"other audience": {"us", "mail", false},
		"none":           {nil, nil, false},
	} {
		claims := aliceFor(time.Hour)
		if c.iss != nil {
			claims["iss"], claims["aud"] = c.iss, c.aud
		}
		if _, err := a.check(signed(t, jwt.SigningMethodHS256, testSecret, claims, nil)); (err == nil) != c.ok {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// keyServer serves a key set that the test changes.
type keyServer struct {
	*httptest.Server
	body  atomic.Pointer[[]byte]
	reads atomic.Int64
}

func newKeyServer(t *testing.T) *keyServer {
	k := &keyServer{}
	k.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		k.reads.Add(1)
		body := k.body.Load()
		if body == nil {
			http.Error(w, "later", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(*body)
	}))
	t.Cleanup(k.Close)
	return k
}

func (k *keyServer) serve(body []byte) { k.body.Store(&body) }

func TestRemoteKeys_RotateWithoutARestart(t *testing.T) {
	pairs := newPairs(t)
	server := newKeyServer(t)
	server.serve(keySetOf(t, map[string]pair{"one": pairs["ES256"]}))
	remote := newRemoteKeys(server.URL, slog.New(slog.DiscardHandler))
	remote.misses = rate.NewLimiter(rate.Every(time.Hour), 1)
	remote.open(t.Context())
	keys := &tokenKeys{remote: remote}
	tokenOf := func(p pair, kid string) string {
		return signed(t, p.method, p.private, aliceFor(time.Hour), map[string]any{"kid": kid})
	}
	eventually(t, "the set", remote.known)
	if err := checkedWith(keys, tokenOf(pairs["ES256"], "one")); err != nil {
		t.Fatal(err)
	}
	if err := checkedWith(keys, tokenOf(pairs["RS256"], "two")); err == nil || errors.Is(err, errKeyUnknown) {
		t.Fatalf("a key that is not in a set that was just read: %v", err)
	}

	// Some time later.
	set := *remote.set.Load()
	set.read = set.read.Add(-time.Minute)
	remote.set.Store(&set)
	server.serve(keySetOf(t, map[string]pair{"one": pairs["ES256"], "two": pairs["RS256"]}))
	before := server.reads.Load()
	if err := checkedWith(keys, tokenOf(pairs["RS256"], "two")); !errors.Is(err, errKeyUnknown) {
		t.Fatalf("a key that may be new: %v", err)
	}
	eventually(t, "the new key", func() bool { return checkedWith(keys, tokenOf(pairs["RS256"], "two")) == nil })
	for range 100 {
		_ = checkedWith(keys, tokenOf(pairs["EdDSA"], "three"))
	}
	if n := server.reads.Load() - before; n != 1 {
		t.Errorf("the set was read %d times", n)
	}
}

// An edge whose key server is away says so, and is ready as soon as it is there.
func TestRemoteKeys_ServerComesLater(t *testing.T) {
	pairs := newPairs(t)
	server := newKeyServer(t)
	e := openEdge(t, startCluster(t, 1), func(c *Config) { c.JWTKeysURL, c.JWTSecret = server.URL, nil })
	token := signed(t, pairs["EdDSA"].method, pairs["EdDSA"].private, aliceFor(time.Hour), map[string]any{"kid": "one"})
	get := func() int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+e.Addr()+"/chats", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer.StatusCode
	}
	if status := get(); status != http.StatusServiceUnavailable {
		t.Errorf("without keys: %d", status)
	}
	server.serve(keySetOf(t, map[string]pair{"one": pairs["EdDSA"]}))
	eventually(t, "the key", func() bool { return get() == http.StatusOK })
}

func TestRemoteKeys_AddressesThatAreNotSafe(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://id.example/keys": true, "http://127.0.0.1:1/keys": true, "http://localhost/keys": true,
		"http://id.example/keys": false, "file:///keys": false, "ftp://id.example/": false, "keys": false, "": false,
	} {
		if err := checkKeysURL(address); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}
