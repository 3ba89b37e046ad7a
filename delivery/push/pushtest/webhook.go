package pushtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Hook is a webhook's receiver: it verifies Standard Webhooks' signature within five minutes, and wants a CloudEvent.
type Hook struct {
	Server
	secrets map[string]string // by path; under mu
}

// NewHook starts one.
func NewHook(t testing.TB) *Hook {
	h := &Hook{secrets: map[string]string{}}
	h.taken, h.judge, h.body = http.StatusNoContent, h.look, func(a Answer) string { return a.Reason }
	h.start(t)
	return h
}

// Endpoint gives a new address that wants its requests signed with the secret.
func (h *Hook) Endpoint(secret string) string {
	path := "/hook/" + base64.RawURLEncoding.EncodeToString(random(12))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.secrets[path] = secret
	return h.URL + path
}

// Remove has an address answer 410.
func (h *Hook) Remove(endpoint string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.secrets[strings.TrimPrefix(endpoint, h.URL)] = ""
}

func (h *Hook) look(r *http.Request, body []byte) (Received, *Answer) {
	h.mu.Lock()
	secret, known := h.secrets[r.URL.Path]
	h.mu.Unlock()
	switch {
	case !known:
		return Received{}, &Answer{Status: http.StatusNotFound}
	case secret == "":
		return Received{}, &Answer{Status: http.StatusGone}
	case r.Method != http.MethodPost:
		return Received{}, h.fault(http.StatusMethodNotAllowed, "", "method "+r.Method)
	case !strings.HasPrefix(r.Header.Get("Content-Type"), "application/cloudevents+json"):
		return Received{}, h.fault(http.StatusUnsupportedMediaType, "", "content type "+r.Header.Get("Content-Type"))
	}
	if err := verifySignature(secret, r.Header, body, time.Now()); err != nil {
		return Received{}, h.fault(http.StatusUnauthorized, "", err.Error())
	}
	var event struct {
		SpecVersion, ID, Source, Type, Time string
		Data                                struct{ ChatName, Text, CollapseKey string }
	}
	if err := json.Unmarshal(body, &event); err != nil {
		return Received{}, h.fault(http.StatusBadRequest, "", err.Error())
	}
	if event.SpecVersion != "1.0" || event.ID == "" || event.Source == "" || event.Type == "" {
		return Received{}, h.fault(http.StatusBadRequest, "", "no CloudEvent 1.0")
	}
	if _, err := time.Parse(time.RFC3339, event.Time); err != nil {
		return Received{}, h.fault(http.StatusBadRequest, "", err.Error())
	}
	return Received{
		Device: h.URL + r.URL.Path, CollapseKey: event.Data.CollapseKey, Title: event.Data.ChatName, Body: event.Data.Text, Payload: body,
	}, nil
}

// verifySignature is the check of Standard Webhooks 1.0, for a secret of the form whsec_.
func verifySignature(secret string, header http.Header, body []byte, now time.Time) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return err
	}
	id, stamp := header.Get("Webhook-Id"), header.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return err
	}
	if age := now.Sub(time.Unix(seconds, 0)).Abs(); age > 5*time.Minute {
		return fmt.Errorf("it is %v old", age)
	}
	h := hmac.New(sha256.New, key)
	if _, err := fmt.Fprintf(h, "%s.%s.%s", id, stamp, body); err != nil {
		return err
	}
	for signature := range strings.FieldsSeq(header.Get("Webhook-Signature")) {
		version, encoded, _ := strings.Cut(signature, ",")
		sum, err := base64.StdEncoding.DecodeString(encoded)
		if err == nil && version == "v1" && hmac.Equal(sum, h.Sum(nil)) {
			return nil
		}
	}
	return errors.New("no signature fits")
}
