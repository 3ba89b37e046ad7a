package push

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxFCMMessage = 4096 // Firebase's bound is for the data and the words; here it is for all but the token
	maxFCMToken   = 2048
)

// fcm sends to Firebase Cloud Messaging by its HTTP v1 API.
type fcm struct {
	caller
	url    string // of the project's messages
	tokens *fcmTokens
	ttl    time.Duration
	dry    *rehearsal
}

func newFCM(cfg *Config, roots *x509.CertPool) (courier, error) {
	account, err := loadAccount(cfg.FCMAccountFile)
	if err != nil {
		return nil, err
	}
	base, err := baseURL(cfg.FCMURL)
	if err != nil {
		return nil, err
	}
	t := newTransport(cfg.Limits, roots)
	t.Proxy = http.ProxyFromEnvironment
	c := caller{FCM, newClient(t), cfg.Limits.Timeout}
	return &fcm{
		caller: c, url: base + "/v1/projects/" + url.PathEscape(account.ProjectID) + "/messages:send", ttl: cfg.TTL, dry: newRehearsal(cfg),
		tokens: newFCMTokens(c, account),
	}, nil
}

func (f *fcm) platform() Platform { return FCM }

func (f *fcm) close() { f.client.CloseIdleConnections() }

func (f *fcm) lane(*Device) (string, bool, error) { return f.url, true, nil }

func (f *fcm) check(_ context.Context, d *Device) error {
	if !isFCMToken(d.Token) {
		return fmt.Errorf("%w: an FCM token has 1 to %d letters, digits, colons, hyphens and underscores", ErrBadDevice, maxFCMToken)
	}
	return nil
}

func isFCMToken(s string) bool {
	const chars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:-_"
	return len(s) > 0 && len(s) <= maxFCMToken && strings.Trim(s, chars) == ""
}

func (f *fcm) send(ctx context.Context, d *Device, n *Notification) error {
	if !isFCMToken(d.Token) {
		return f.failure(ErrRejected, 0, "bad device")
	}
	body, fits := fit(n.Text, maxFCMMessage+len(d.Token), func(text string) any { return f.message(d, n, text) })
	if !fits {
		return f.failure(ErrRejected, 0, "too large")
	}
	f.dry.instead(ctx, d, n, len(body)) // and FCM is asked what it thinks of it: validate_only
	token, err := f.tokens.token(ctx)
	if err != nil {
		return err
	}
	said, err := f.post(ctx, token, body)
	if err == nil && said.status == http.StatusUnauthorized && fcmReason(said.body) == unauthenticated {
		f.tokens.forget(token)
		if token, err = f.tokens.token(ctx); err != nil {
			return err
		}
		said, err = f.post(ctx, token, body)
	}
	if err != nil {
		return err
	}
	return f.meaning(said)
}

func (f *fcm) post(ctx context.Context, token string, body []byte) (*answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url, bytes.NewReader(body))
	if err != nil {
		return nil, f.failure(ErrUnavailable, 0, "no URL")
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	return f.call(ctx, r, maxAnswerBytes)
}

type fcmMessage struct {
	Token        string            `json:"token"`
	Notification fcmWords          `json:"notification"`
	Data         map[string]string `json:"data"`
	Android      fcmAndroid        `json:"android"`
	APNS         fcmAPNS           `json:"apns"`
	WebPush      fcmWebPush        `json:"webpush"`
}

type fcmWords struct {
	Title string `json:"title"`
	Body  string `json:"body"`
}

type fcmAndroid struct {
	CollapseKey  string `json:"collapse_key,omitempty"`
	Priority     string `json:"priority"`
	TTL          string `json:"ttl"`
	Notification struct {
		Tag   string `json:"tag,omitempty"`
		Count int    `json:"notification_count"`
	} `json:"notification"`
}

type fcmAPNS struct {
	Headers map[string]string `json:"headers"`
	Payload struct {
		APS struct {
			Badge    int    `json:"badge"`
			Sound    string `json:"sound"`
			ThreadID string `json:"thread-id"`
			Mutable  int    `json:"mutable-content"`
		} `json:"aps"`
	} `json:"payload"`
}

type fcmWebPush struct {
	Headers      map[string]string `json:"headers"`
	Notification struct {
		Tag string `json:"tag,omitempty"`
	} `json:"notification"`
}

// message is one for whatever the app runs on: FCM takes the part for that.
func (f *fcm) message(d *Device, n *Notification, text string) any {
	seconds := strconv.Itoa(int(f.ttl.Seconds()))
	m := fcmMessage{Token: d.Token, Notification: fcmWords{title(n), words(n, text)}, Data: fcmData(n)}
	m.Android.CollapseKey, m.Android.Priority, m.Android.TTL = n.CollapseKey, "HIGH", seconds+"s"
	m.Android.Notification.Tag, m.Android.Notification.Count = n.CollapseKey, n.Badge
	m.APNS.Headers = map[string]string{"apns-priority": "10", "apns-expiration": strconv.FormatInt(time.Now().Add(f.ttl).Unix(), 10)}
	aps := &m.APNS.Payload.APS
	aps.Badge, aps.Sound, aps.ThreadID, aps.Mutable = n.Badge, "default", n.ChatID, 1
	m.WebPush.Headers = map[string]string{"TTL": seconds, "Urgency": "high"}
	m.WebPush.Notification.Tag = n.CollapseKey
	if n.CollapseKey != "" {
		m.APNS.Headers["apns-collapse-id"] = n.CollapseKey
		m.WebPush.Headers["Topic"] = n.CollapseKey
	}
	return struct {
		ValidateOnly bool       `json:"validate_only,omitempty"`
		Message      fcmMessage `json:"message"`
	}{f.dry != nil, m}
}

// fcmData is the facts as FCM takes them: texts by names, of which it keeps some for itself.
func fcmData(n *Notification) map[string]string {
	s := factsOf(n)
	return map[string]string{
		"chatId": s.ChatID, "senderId": s.SenderID, "messageId": s.MessageID, "sentAt": s.SentAt, "collapseKey": s.CollapseKey,
		"sequenceNumber": strconv.FormatUint(s.Seq, 10), "firstSequenceNumber": strconv.FormatUint(s.FirstSeq, 10),
		"count": strconv.Itoa(s.Count), "badge": strconv.Itoa(s.Badge),
	}
}
