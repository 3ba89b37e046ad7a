package delivery

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// written is a token whose head and claims are written as given, signed rightly with the tests' secret.
func written(t *testing.T, head, claims string) string {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(head)) + "." + b64([]byte(claims))
	sig, err := jwt.SigningMethodHS256.Sign(text, testSecret)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + b64(sig)
}

const (
	plainHead = `{"alg":"HS256","typ":"JWT"}`
	farAway   = "4102444800" // the year 2100, in seconds
)

// TestFaults_TokensSigned has tokens whose signature is good, and whose content is not.
func TestFaults_TokensSigned(t *testing.T) {
	a := newAuthenticator(&tokenKeys{secret: testSecret}, &Config{JWTIssuer: "us", JWTAudience: "chat"}, time.Now)
	const rest = `"iss":"us","aud":"chat"`
	alice := `{"sub":"alice","exp":` + farAway + `,` + rest
	for name, row := range map[string]struct {
		head, claims string
		good         bool
	}{
		"good":                        {plainHead, alice + `}`, true},
		"aud is a list":               {plainHead, `{"sub":"alice","exp":` + farAway + `,"iss":"us","aud":["mail","chat"]}`, true},
		"exp is a fraction":           {plainHead, `{"sub":"alice","exp":` + farAway + `.5,` + rest + `}`, true},
		"jku, x5u, jwk, x5c":          {`{"alg":"HS256","jku":"http://127.0.0.1:1/k","x5u":"http://127.0.0.1:1/c","jwk":{"kty":"oct","k":"AAAA"},"x5c":["AAAA"]}`, alice + `}`, true},
		"kid of the secret":           {`{"alg":"HS256","kid":"../../dev/null"}`, alice + `}`, true},
		"unknown claims":              {plainHead, alice + `,"admin":true,"__proto__":{"sub":"bob"}}`, true},
		"sub twice":                   {plainHead, `{"sub":"bob","sub":"alice","exp":` + farAway + `,` + rest + `}`, false},
		"sub twice, once in capitals": {plainHead, alice + `,"SUB":"bob"}`, false},
		"sub with a long s":           {plainHead, alice + `,"ſub":"bob"}`, false},
		"exp twice":                   {plainHead, alice + `,"exp":` + farAway + `}`, false},
		"exp twice, once as Exp":      {plainHead, `{"sub":"alice","exp":1,"Exp":` + farAway + `,` + rest + `}`, false},
		"alg twice":                   {`{"alg":"none","alg":"HS256"}`, alice + `}`, false},
		"alg in capitals beside":      {`{"ALG":"none","alg":"HS256"}`, alice + `}`, false},
		"alg is a list":               {`{"alg":["HS256"]}`, alice + `}`, false},
		"alg is missing":              {`{}`, alice + `}`, false},
		"crit":                        {`{"alg":"HS256","crit":["exp"]}`, alice + `}`, false},
		"crit is empty":               {`{"alg":"HS256","crit":[]}`, alice + `}`, false},
		"crit of b64":                 {`{"alg":"HS256","b64":false,"crit":["b64"]}`, alice + `}`, false},
		"head is a list":              {`[]`, alice + `}`, false},
		"head is deep":                {`{"alg":"HS256","x":` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `}`, alice + `}`, false},
		"claims are a list":           {plainHead, `[]`, false},
		"claims are no JSON":          {plainHead, `alice`, false},
		"claims with rubbish behind":  {plainHead, alice + `} {}`, false},
		"claims that are not UTF-8":   {plainHead, alice + ",\"x\":\"\xff\"}", false},
		"exp is 2^63":                 {plainHead, `{"sub":"alice","exp":9223372036854775808,` + rest + `}`, false},
		"exp is 1e300":                {plainHead, `{"sub":"alice","exp":1e300,` + rest + `}`, false},
		"exp is 1e400":                {plainHead, `{"sub":"alice","exp":1e400,` + rest + `}`, false},
		"exp is 0":                    {plainHead, `{"sub":"alice","exp":0,` + rest + `}`, false},
		"exp is negative":             {plainHead, `{"sub":"alice","exp":-4102444800,` + rest + `}`, false},
		"exp is null":                 {plainHead, `{"sub":"alice","exp":null,` + rest + `}`, false},
		"exp is text":                 {plainHead, `{"sub":"alice","exp":"` + farAway + `",` + rest + `}`, false},
		"exp is true":                 {plainHead, `{"sub":"alice","exp":true,` + rest + `}`, false},
		"nbf is text":                 {plainHead, alice + `,"nbf":"0"}`, false},
		"nbf is far away":             {plainHead, alice + `,"nbf":` + farAway + `}`, false},
		"nbf is 1e300":                {plainHead, alice + `,"nbf":1e300}`, false},
		"nbf is negative":             {plainHead, alice + `,"nbf":-1}`, false},
		"iat is far away":             {plainHead, alice + `,"iat":` + farAway + `}`, false},
		"iat is 1e300":                {plainHead, alice + `,"iat":1e300}`, false},
		"iat is an object":            {plainHead, alice + `,"iat":{}}`, false},
		"other issuer":                {plainHead, `{"sub":"alice","exp":` + farAway + `,"iss":"US","aud":"chat"}`, false},
		"issuer is a list":            {plainHead, `{"sub":"alice","exp":` + farAway + `,"iss":["us"],"aud":"chat"}`, false},
		"other audience":              {plainHead, `{"sub":"alice","exp":` + farAway + `,"iss":"us","aud":["chat2"]}`, false},
		"audience is a number":        {plainHead, `{"sub":"alice","exp":` + farAway + `,"iss":"us","aud":[7]}`, false},
		"sub is a list":               {plainHead, `{"sub":["alice"],"exp":` + farAway + `,` + rest + `}`, false},
		"sub is empty":                {plainHead, `{"sub":"","exp":` + farAway + `,` + rest + `}`, false},
		"sub with NUL":                {plainHead, `{"sub":"alice\u0000","exp":` + farAway + `,` + rest + `}`, false},
	} {
		id, err := a.check(written(t, row.head, row.claims))
		if row.good != (err == nil) || err == nil && id.user != "alice" || err != nil && !errors.Is(err, errToken) {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
}

// TestFaults_TokensWritten has a good token that is written another way.
func TestFaults_TokensWritten(t *testing.T) {
	a := newAuthenticator(&tokenKeys{secret: testSecret}, &Config{}, time.Now)
	good := written(t, plainHead, `{"sub":"alice","exp":`+farAway+`}`)
	if _, err := a.check(good); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	rejoin := func(change func(p []string)) string {
		p := append([]string(nil), parts...)
		change(p)
		return strings.Join(p, ".")
	}
	sig := parts[2]
	last := strings.IndexByte(base64url, sig[len(sig)-1])
	for name, token := range map[string]string{
		"line end in the signature": rejoin(func(p []string) { p[2] = sig[:10] + "\n" + sig[10:] }),
		"line end behind":           good + "\r\n",
		"space before":              " " + good,
		"padding":                   good + "=",
		"padding in the head":       rejoin(func(p []string) { p[0] += "==" }),
		"bits left over":            good[:len(good)-1] + string(base64url[last^1]),
		"base64 of the other kind":  rejoin(func(p []string) { p[2] = strings.NewReplacer("-", "+", "_", "/").Replace(sig) + "/" }),
		"a byte more":               good + "AAAA",
		"a byte less":               good[:len(good)-2],
		"a part more":               good + ".",
		"a fourth part":             good + "." + sig,
		"no signature":              rejoin(func(p []string) { p[2] = "" }),
		"a signature of zeros":      rejoin(func(p []string) { p[2] = strings.Repeat("A", len(sig)) }),
		"no claims":                 rejoin(func(p []string) { p[1] = "" }),
		"no head":                   rejoin(func(p []string) { p[0] = "" }),
		"two dots":                  "..",
		"head of another":           rejoin(func(p []string) { p[0] = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) }),
		"claims of another": rejoin(func(p []string) {
			p[1] = base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"bob","exp":` + farAway + `}`))
		}),
		"JSON form of JWS":           `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + sig + `"}`,
		"encrypted, five parts":      good + "." + sig + "." + sig,
		"full-width letters":         "ｅ" + good[1:],
		"a kid of 1 MB":              written(t, `{"alg":"HS256","kid":"`+strings.Repeat("k", 1<<20)+`"}`, `{"sub":"alice","exp":`+farAway+`}`),
		"a million dots":             strings.Repeat(".", 1_000_000),
		"dots up to the limit":       strings.Repeat(".", maxTokenBytes),
		"a head of dots' worth of {": rejoin(func(p []string) { p[0] = base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat(`{"a":`, 1000))) }),
	} {
		if id, err := a.check(token); !errors.Is(err, errToken) {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
	for name, token := range map[string]string{"a million dots": strings.Repeat(".", 1_000_000), "8 KiB of dots": strings.Repeat(".", maxTokenBytes)} {
		if n := testing.AllocsPerRun(10, func() { _, _ = a.check(token) }); n > 8 {
			t.Errorf("%s cost %v allocations", name, n)
		}
	}
}

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// TestFaults_TokenKeys has tokens that would choose their own key.
func TestFaults_TokenKeys(t *testing.T) {
	var fetched atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fetched.Add(1) }))
	defer elsewhere.Close()
	pairs := newPairs(t)
	given, err := ParseTokenKeys(keySetOf(t, map[string]pair{"one": pairs["RS256"]}))
	if err != nil {
		t.Fatal(err)
	}
	keys := &tokenKeys{given: given, secret: testSecret}
	rs, stranger := pairs["RS256"], newPairs(t)["RS256"]
	if err := checkedWith(keys, signed(t, rs.method, rs.private, aliceFor(time.Hour), map[string]any{"kid": "one"})); err != nil {
		t.Fatal(err)
	}
	public := keySetOf(t, map[string]pair{"one": stranger})
	for name, head := range map[string]map[string]any{
		"its own jwk":         {"jwk": string(public)},
		"jku":                 {"jku": elsewhere.URL, "kid": "one"},
		"x5u":                 {"x5u": elsewhere.URL, "kid": "one"},
		"kid upwards":         {"kid": "../../dev/null"},
		"kid as SQL":          {"kid": "one' UNION SELECT 'x"},
		"kid as an address":   {"kid": elsewhere.URL},
		"kid as a command":    {"kid": "|/bin/true"},
		"kid is empty":        {"kid": ""},
		"kid is a list":       {"kid": []string{"one"}},
		"kid is an object":    {"kid": map[string]any{"one": 1}},
		"a stranger, no kid":  {},
		"a stranger, its kid": {"kid": "one"},
	} {
		if err := checkedWith(keys, signed(t, stranger.method, stranger.private, aliceFor(time.Hour), head)); !errors.Is(err, errToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, secret := range map[string][]byte{"PEM": rs.pem(t), "set": public, "nothing": {}} {
		if err := checkedWith(keys, signed(t, jwt.SigningMethodHS256, secret, aliceFor(time.Hour), map[string]any{"kid": "one"})); err == nil {
			t.Errorf("HS256 with the %s of a public key was taken", name)
		}
	}
	if n := fetched.Load(); n != 0 {
		t.Errorf("a token had %d addresses fetched", n)
	}
}

// TestFaults_TokenClocks has clocks that differ by less and by more than is allowed.
func TestFaults_TokenClocks(t *testing.T) {
	now := time.Now()
	a := newAuthenticator(&tokenKeys{secret: testSecret}, &Config{}, func() time.Time { return now })
	for _, claim := range []string{"exp", "nbf", "iat"} {
		for off, good := range map[time.Duration]bool{tokenLeeway - 2*time.Second: true, 5 * time.Minute: false} {
			claims := jwt.MapClaims{"sub": "alice", "exp": now.Add(time.Hour).Unix()}
			if claims[claim] = now.Add(off).Unix(); claim == "exp" {
				claims[claim] = now.Add(-off).Unix()
			}
			if _, err := a.check(signed(t, jwt.SigningMethodHS256, testSecret, claims, nil)); (err == nil) != good {
				t.Errorf("%s is off by %s: %v", claim, off, err)
			}
		}
	}
}

// FuzzTokenForm looks for a token that is taken and is not written as the one that was signed.
func FuzzTokenForm(f *testing.F) {
	// The same in every process: the one that makes the seeds and those that try them are not the same, nor of the same second.
	now := time.Unix(1_800_000_000, 0)
	claims := jwt.MapClaims{"sub": "alice", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	good, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(testSecret)
	if err != nil {
		f.Fatal(err)
	}
	a := newAuthenticator(&tokenKeys{secret: testSecret}, &Config{}, func() time.Time { return now })
	if _, err := a.check(good); err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good + ".")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		if id, err := a.check(token); err == nil && token != good {
			t.Fatalf("%q speaks for %s", token, id.user)
		}
	})
}
