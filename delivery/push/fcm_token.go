package push

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	fcmScope       = "https://www.googleapis.com/auth/firebase.messaging"
	fcmGrant       = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	maxTokenAnswer = 16 << 10 // bytes
	maxTokenBytes  = 8 << 10
	maxTokenLife   = time.Hour
	tokenReserve   = 5 * time.Minute // a token is renewed so long before its end
)

// account is a service account's file, as Firebase's console gives it.
type account struct {
	Type         string `json:"type"`
	ProjectID    string `json:"project_id"`
	PrivateKeyID string `json:"private_key_id"`
	PrivateKey   string `json:"private_key"`
	ClientEmail  string `json:"client_email"`
	TokenURI     string `json:"token_uri"`

	key *rsa.PrivateKey
}

func loadAccount(path string) (*account, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("push: FCM account: %w", err)
	}
	a := &account{TokenURI: "https://oauth2.googleapis.com/token"}
	if err := json.Unmarshal(text, a); err != nil {
		return nil, errors.New("push: the FCM account file is no JSON") // the error might tell of the key
	}
	if a.Type != "service_account" || a.ProjectID == "" || a.ClientEmail == "" {
		return nil, errors.New("push: the FCM account file is none of a service account")
	}
	if _, err := baseURL(a.TokenURI); err != nil {
		return nil, errors.New("push: the FCM account's token_uri must be https")
	}
	if a.key, err = jwt.ParseRSAPrivateKeyFromPEM([]byte(a.PrivateKey)); err != nil {
		return nil, errors.New("push: the FCM account's private_key is no RSA key in PEM")
	}
	return a, nil
}

// fcmTokens keeps the access token that all requests carry, and gets the next before it ends.
type fcmTokens struct {
	caller
	account *account
	now     func() time.Time

	turn   chan struct{} // holds one: whoever has it may use what follows
	access string
	until  time.Time
}

func newFCMTokens(c caller, a *account) *fcmTokens {
	return &fcmTokens{caller: c, account: a, now: time.Now, turn: make(chan struct{}, 1)}
}

// token gives a token. One request gets it, the others wait for that.
func (t *fcmTokens) token(ctx context.Context) (string, error) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if t.access != "" && t.now().Before(t.until) {
		return t.access, nil
	}
	return t.fetch(ctx)
}

// forget drops a token that FCM does not know, if it is still the one in use.
func (t *fcmTokens) forget(access string) {
	t.turn <- struct{}{}
	defer func() { <-t.turn }()
	if t.access == access {
		t.access = ""
	}
}

func (t *fcmTokens) fetch(ctx context.Context) (string, error) {
	assertion, err := t.assertion()
	if err != nil {
		return "", t.failure(ErrUnavailable, 0, "cannot be signed")
	}
	form := url.Values{"grant_type": {fcmGrant}, "assertion": {assertion}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.account.TokenURI, strings.NewReader(form.Encode()))
	if err != nil {
		return "", t.failure(ErrUnavailable, 0, "no URL")
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	said, err := t.call(ctx, r, maxTokenAnswer)
	if err != nil {
		return "", err
	}
	if said.status != http.StatusOK {
		return "", t.troubled(said, "no access token")
	}
	access, life, good := parseAccess(said.body)
	if !good {
		return "", t.failure(ErrUnavailable, said.status, "no access token")
	}
	t.access, t.until = access, t.now().Add(max(life-tokenReserve, life/2))
	return access, nil
}

func (t *fcmTokens) assertion() (string, error) {
	now := t.now()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": t.account.ClientEmail, "scope": fcmScope, "aud": t.account.TokenURI, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	token.Header["kid"] = t.account.PrivateKeyID
	return token.SignedString(t.account.key)
}

// parseAccess reads the answer of the token endpoint.
func parseAccess(body []byte) (access string, life time.Duration, good bool) {
	var said struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"` // seconds
		TokenType   string `json:"token_type"`
	}
	if json.Unmarshal(body, &said) != nil || !strings.EqualFold(said.TokenType, "Bearer") || !isHeaderToken(said.AccessToken) {
		return "", 0, false
	}
	if said.ExpiresIn <= 0 {
		return "", 0, false
	}
	return said.AccessToken, time.Duration(min(said.ExpiresIn, int64(maxTokenLife/time.Second))) * time.Second, true
}

// isHeaderToken tells whether a token can stand in a header: printable ASCII without spaces.
func isHeaderToken(s string) bool {
	if len(s) == 0 || len(s) > maxTokenBytes {
		return false
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}
