package push

import (
	"bytes"
	"context"
	"crypto/x509"
	"net/http"
	"strconv"
	"time"
)

const (
	maxWebhookBody = 64 << 10
	// WebhookType is the CloudEvents type of what a webhook gets.
	WebhookType = "com.quorate.messages.waiting"
)

// webhook posts a signed CloudEvent to an address of the user's own.
type webhook struct {
	caller
	gate  *gate
	hosts hostPatterns
	now   func() time.Time
	dry   *rehearsal
}

func newWebhook(cfg *Config, g *gate, roots *x509.CertPool) (courier, error) {
	hosts, err := parsePatterns(cfg.WebhookHosts)
	if err != nil {
		return nil, err
	}
	return &webhook{
		caller: caller{Webhook, g.client(cfg.Limits, roots), cfg.Limits.Timeout}, gate: g, hosts: hosts, now: time.Now, dry: newRehearsal(cfg),
	}, nil
}

func (w *webhook) platform() Platform { return Webhook }

func (w *webhook) close() { w.client.CloseIdleConnections() }

func (w *webhook) lane(d *Device) (string, bool, error) {
	t, err := parseTarget(d.Endpoint, w.hosts, w.gate.allowed)
	if err != nil {
		return "", false, w.failure(ErrRejected, 0, "forbidden endpoint")
	}
	return hostPort(t.url), t.known, nil
}

// check takes a device without a secret: it is to be made (NewWebhookSecret) before something is sent.
func (w *webhook) check(ctx context.Context, d *Device) error {
	t, err := parseTarget(d.Endpoint, w.hosts, w.gate.allowed)
	if err != nil {
		return err
	}
	if d.Secret != "" {
		if _, err := webhookKey(d.Secret); err != nil {
			return err
		}
	}
	return w.gate.check(ctx, t)
}

// event is a CloudEvent 1.0 in its structured form.
type event struct {
	SpecVersion string    `json:"specversion"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Subject     string    `json:"subject"`
	Time        string    `json:"time"`
	ContentType string    `json:"datacontenttype"`
	Data        eventData `json:"data"`
}

type eventData struct {
	UserID   string `json:"userId"`
	DeviceID string `json:"deviceId"`
	ChatName string `json:"chatName,omitempty"`
	Text     string `json:"text,omitempty"`
	facts
}

// eventID is the same for every repetition, so that who gets an event twice can tell.
func eventID(d *Device, n *Notification) string {
	return d.UserID + "/" + d.DeviceID + "/" + n.MessageID
}

func (w *webhook) event(d *Device, n *Notification, text string) any {
	f := factsOf(n)
	return event{
		SpecVersion: "1.0", ID: eventID(d, n), Source: "/chats/" + n.ChatID, Type: WebhookType, Subject: d.UserID, Time: f.SentAt,
		ContentType: "application/json",
		Data:        eventData{UserID: d.UserID, DeviceID: d.DeviceID, ChatName: n.ChatName, Text: text, facts: f},
	}
}

func (w *webhook) send(ctx context.Context, d *Device, n *Notification) error {
	key, err := webhookKey(d.Secret)
	if err != nil {
		return w.failure(ErrRejected, 0, "bad secret")
	}
	t, err := parseTarget(d.Endpoint, w.hosts, w.gate.allowed)
	if err != nil {
		return w.failure(ErrRejected, 0, "forbidden endpoint")
	}
	body, fits := fit(n.Text, maxWebhookBody, func(text string) any { return w.event(d, n, text) })
	if !fits {
		return w.failure(ErrRejected, 0, "too large")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url.String(), bytes.NewReader(body))
	if err != nil {
		return w.failure(ErrRejected, 0, "forbidden endpoint")
	}
	r.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	id, at := eventID(d, n), strconv.FormatInt(w.now().Unix(), 10)
	r.Header.Set(headerWebhookID, id)
	r.Header.Set(headerWebhookTimestamp, at)
	r.Header.Set(headerWebhookSignature, webhookSignature(key, id, at, body))
	if w.dry.instead(ctx, d, n, len(body)) {
		return nil
	}
	a, err := w.call(ctx, r, maxAnswerBytes)
	if err != nil {
		return err
	}
	return w.byStatus(a)
}
