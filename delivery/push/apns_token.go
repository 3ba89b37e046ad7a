package push

import (
	"crypto/ecdsa"
	"errors"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	apnsReuse   = 45 * time.Minute // of a token; Apple takes none older than an hour
	apnsRenewal = 20 * time.Minute // and no new one within this
)

// apnsTokens keeps the token that all requests carry.
type apnsTokens struct {
	key           *ecdsa.PrivateKey
	keyID, teamID string
	now           func() time.Time

	mu     sync.Mutex
	signed string
	made   time.Time
	asked  time.Time // when it was last renewed before its time
}

func (t *apnsTokens) token() (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if age := t.now().Sub(t.made); t.signed != "" && age >= 0 && age < apnsReuse {
		return t.signed, nil
	}
	return t.sign()
}

var errTooSoon = errors.New("push: an APNs token was renewed just now")

// renewed gives another token than the one that Apple found expired. Apple wants no more than one in 20 minutes: whose clock is
// wrong gets errTooSoon, and no further tokens.
func (t *apnsTokens) renewed(old string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.signed != old {
		return t.signed, nil // another request was faster
	}
	now := t.now()
	if !t.asked.IsZero() && now.Sub(t.asked) < apnsRenewal {
		return "", errTooSoon
	}
	t.asked = now
	return t.sign()
}

func (t *apnsTokens) sign() (string, error) {
	now := t.now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": t.teamID, "iat": now.Unix()})
	token.Header["kid"] = t.keyID
	signed, err := token.SignedString(t.key)
	if err != nil {
		return "", err
	}
	t.signed, t.made = signed, now
	return signed, nil
}
