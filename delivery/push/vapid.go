package push

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	vapidLife  = 12 * time.Hour // of a token; RFC 8292 allows 24 h
	vapidReuse = 6 * time.Hour  // Apple wants no new one within an hour
)

// VAPID is the key that browsers tie subscriptions to, and by which their push services know this server (RFC 8292). Who loses it
// loses all subscriptions.
type VAPID struct {
	Subject   string // mailto: or https:, for a push service that has something to complain about
	PublicKey string // base64url: the applicationServerKey of pushManager.subscribe

	key *ecdsa.PrivateKey
}

// vapidFile is the form of a key in a file.
type vapidFile struct {
	Subject    string `json:"subject"`
	PublicKey  string `json:"publicKey"`
	PrivateKey string `json:"privateKey"`
}

// GenerateVAPID makes a new key. The subject is a mailto: or https: address of the operator.
func GenerateVAPID(subject string) (*VAPID, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("push: VAPID key: %w", err)
	}
	return newVAPID(subject, key)
}

func newVAPID(subject string, key *ecdsa.PrivateKey) (*VAPID, error) {
	if !strings.HasPrefix(subject, "mailto:") && !strings.HasPrefix(subject, "https://") {
		return nil, errors.New("push: the VAPID subject must be a mailto: or https: address")
	}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("push: VAPID key: %w", err)
	}
	return &VAPID{Subject: subject, PublicKey: base64.RawURLEncoding.EncodeToString(public), key: key}, nil
}

// Save writes the key into a new file that only its owner reads. A file that is there is left as it is: an error.
func (v *VAPID) Save(path string) error {
	private, err := v.key.Bytes()
	if err != nil {
		return fmt.Errorf("push: VAPID key: %w", err)
	}
	text, err := json.MarshalIndent(vapidFile{v.Subject, v.PublicKey, base64.RawURLEncoding.EncodeToString(private)}, "", "  ")
	if err != nil {
		return fmt.Errorf("push: VAPID key: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("push: VAPID key: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("push: VAPID key: %w", err)
	}
	return nil
}

// LoadVAPID reads what Save wrote.
func LoadVAPID(path string) (*VAPID, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("push: VAPID key: %w", err)
	}
	var file vapidFile
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, errors.New("push: the VAPID file is no JSON") // the error might tell of the key
	}
	private, err := decodeKey(file.PrivateKey)
	if err != nil {
		return nil, errors.New("push: the VAPID file's privateKey is no base64url")
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), private)
	if err != nil {
		return nil, errors.New("push: the VAPID file's privateKey is no key of P-256")
	}
	v, err := newVAPID(file.Subject, key)
	if err != nil {
		return nil, err
	}
	if v.PublicKey != strings.TrimRight(file.PublicKey, "=") {
		return nil, errors.New("push: the VAPID file's publicKey is not that of its privateKey")
	}
	return v, nil
}

// decodeKey takes base64url with and without padding.
func decodeKey(s string) ([]byte, error) {
	return base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(s, "="))
}

// vapidTokens keeps the token of each push service, as signing costs more than all the rest of a request.
type vapidTokens struct {
	vapid *VAPID
	limit int
	now   func() time.Time

	mu  sync.Mutex
	all map[string]vapidToken // by audience
}

type vapidToken struct {
	header string
	until  time.Time
}

// header gives the Authorization header for an audience, the origin of an endpoint.
func (t *vapidTokens) header(audience string) (string, error) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if known, found := t.all[audience]; found && now.Before(known.until) {
		return known.header, nil
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"aud": audience, "exp": now.Add(vapidLife).Unix(), "sub": t.vapid.Subject,
	}).SignedString(t.vapid.key)
	if err != nil {
		return "", fmt.Errorf("push: VAPID token: %w", err)
	}
	if len(t.all) >= t.limit {
		clear(t.all)
	}
	made := vapidToken{"vapid t=" + signed + ", k=" + t.vapid.PublicKey, now.Add(vapidReuse)}
	t.all[audience] = made
	return made.header, nil
}
