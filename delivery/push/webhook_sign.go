package push

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// What signs a webhook is the scheme of Standard Webhooks 1.0, for which there are verifiers in most languages: HMAC-SHA256 over
// id, timestamp and body with dots between.
const (
	headerWebhookID        = "Webhook-Id"
	headerWebhookTimestamp = "Webhook-Timestamp" // Unix seconds
	headerWebhookSignature = "Webhook-Signature" // "v1," and base64; several with spaces between

	secretPrefix    = "whsec_"
	madeSecretBytes = 32
	minSecretBytes  = 16
	maxSecretBytes  = 256
)

// WebhookWindow is how old a webhook may be, or how far ahead of the clock here, when it is verified.
const WebhookWindow = 5 * time.Minute

// ErrBadWebhook says that a webhook is not from who knows the secret, or is too old.
var ErrBadWebhook = errors.New("push: bad webhook")

// NewWebhookSecret makes a secret for a device that was registered without one.
func NewWebhookSecret() string {
	key := make([]byte, madeSecretBytes)
	_, _ = rand.Read(key) // it never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}

// webhookKey gives the key of a secret: what follows whsec_ in base64, or any other text as it is.
func webhookKey(secret string) ([]byte, error) {
	key := []byte(secret)
	if encoded, isEncoded := strings.CutPrefix(secret, secretPrefix); isEncoded {
		var err error
		if key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, fmt.Errorf("%w: what follows %s in the secret is no base64", ErrBadDevice, secretPrefix)
		}
	}
	return key, checkSecret(key)
}

// checkSecret bounds what a user may give as a secret.
func checkSecret(key []byte) error {
	if len(key) < minSecretBytes || len(key) > maxSecretBytes {
		return fmt.Errorf("%w: a webhook's secret has %d to %d bytes", ErrBadDevice, minSecretBytes, maxSecretBytes)
	}
	return nil
}

func webhookSignature(key []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// VerifyWebhook is for whoever receives webhooks: it checks the signature of a request with its whole body, and that it is not
// older than WebhookWindow, nor that much ahead. A request within the window can still come twice; its Webhook-Id tells.
func VerifyWebhook(secret string, header http.Header, body []byte, now time.Time) error {
	key, err := webhookKey(secret)
	if err != nil {
		return fmt.Errorf("%w: the secret is none", ErrBadWebhook)
	}
	timestamp := header.Get(headerWebhookTimestamp)
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: no timestamp", ErrBadWebhook)
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > WebhookWindow || age < -WebhookWindow {
		return fmt.Errorf("%w: the timestamp is out of the window", ErrBadWebhook)
	}
	want := []byte(webhookSignature(key, header.Get(headerWebhookID), timestamp, body))
	for signature := range strings.FieldsSeq(header.Get(headerWebhookSignature)) {
		if hmac.Equal([]byte(signature), want) {
			return nil
		}
	}
	return fmt.Errorf("%w: no signature fits", ErrBadWebhook)
}
