package push

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/delivery/push/pushtest"
)

func TestWebhook_AReceiverGetsACloudEvent(t *testing.T) {
	s, _ := standHook(t)
	if err := s.Check(t.Context(), s.device); err != nil {
		t.Fatal(err)
	}
	if err := s.notify(t); err != nil {
		t.Fatalf("%v; %q", err, s.Faults())
	}
	got := s.Received()[0]
	if got.Header.Get("Content-Type") != "application/cloudevents+json; charset=utf-8" || got.Header.Get("Webhook-Id") != "alice/d1/tea:7" {
		t.Errorf("the headers are %v", got.Header)
	}
	want := `{"specversion":"1.0","id":"alice/d1/tea:7","source":"/chats/tea","type":"com.quorate.messages.waiting","subject":"alice",` +
		`"time":"2026-11-29T12:00:00.005Z","datacontenttype":"application/json","data":{"userId":"alice","deviceId":"d1","chatName":"Tea & biscuits",` +
		`"text":"the kettle <is> on ✓","chatId":"tea","senderId":"bob","messageId":"tea:7","sequenceNumber":7,"firstSequenceNumber":5,"count":3,` +
		`"badge":4,"collapseKey":"k_9-Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6","sentAt":"2026-11-29T12:00:00.005Z"}}`
	if string(got.Payload) != want {
		t.Errorf("the event is\n%s\nwant\n%s", got.Payload, want)
	}
	if err := VerifyWebhook(s.device.Secret, got.Header, got.Payload, time.Now()); err != nil {
		t.Error(err)
	}
}

func TestWebhook_TheWholeTextLeaves(t *testing.T) {
	s, _ := standHook(t)
	n := note()
	n.Text = strings.Repeat("✓", 16<<10/3)
	if err := s.Send(t.Context(), s.device, n); err != nil {
		t.Fatal(err)
	}
	if got := s.Received()[0]; got.Body != n.Text {
		t.Errorf("%d of %d bytes came", len(got.Body), len(n.Text))
	}
}

func TestWebhook_EveryAnswer(t *testing.T) {
	s, _ := standHook(t, func(c *Config) { c.Limits = ProviderLimits{Failures: 1 << 20} })
	for _, a := range statuses {
		if a.outcome == "retry" && a.reason == "server error" {
			continue // it holds the lane: see the guard's tests
		}
		s.Script(pushtest.Answer{Status: a.status, RetryAfter: a.after})
		mean(t, s.notify(t), a.outcome, a.reason)
	}
	if faults := s.Faults(); len(faults) > 0 {
		t.Errorf("requests were wrong: %q", faults)
	}
}

func TestWebhook_Secrets(t *testing.T) {
	s, _ := standHook(t)
	for secret, good := range map[string]bool{
		"":                                      true, // to be made
		NewWebhookSecret():                      true,
		"sixteen bytes, 16":                     true,
		"whsec_MDEyMzQ1Njc4OWFiY2Rl":            false, // 15 bytes
		"whsec_!":                               false,
		"short":                                 false,
		strings.Repeat("x", 257):                false,
		"whsec_" + strings.Repeat("A", 100<<10): false,
	} {
		d := *s.device
		d.Secret = secret
		if err := s.Check(t.Context(), &d); (err == nil) != good {
			t.Errorf("%.40q: %v", secret, err)
		}
		if !good || secret == "" {
			mean(t, s.Send(t.Context(), &d, note()), "rejected", "bad secret")
		}
	}
	if one, other := NewWebhookSecret(), NewWebhookSecret(); one == other {
		t.Error("two secrets are the same")
	}
}

func TestWebhook_HostsThatAreNotListed(t *testing.T) {
	s, _ := standHook(t, func(c *Config) { c.WebhookHosts = []string{"hooks.example.com", "*.example.org"} })
	for endpoint, listed := range map[string]bool{
		"https://hooks.example.com/x": true, "https://a.b.example.org/x": true, "https://example.com/x": false, "https://example.org/x": false,
		"https://evil.example/hooks.example.com": false, "https://fcm.googleapis.com/x": false,
	} {
		_, err := parseTarget(endpoint, hostPatterns{"hooks.example.com", "*.example.org"}, nil)
		if (err == nil) != listed {
			t.Errorf("%s: %v", endpoint, err)
		}
		if !listed {
			d := *s.device
			d.Endpoint = endpoint
			if err := s.Check(t.Context(), &d); !errors.Is(err, ErrBadDevice) {
				t.Errorf("%s is registered: %v", endpoint, err)
			}
			mean(t, s.Send(t.Context(), &d, note()), "rejected", "forbidden endpoint")
		}
	}
}

// signed gives the headers of a webhook sent at a time.
func signed(secret string, body []byte, at time.Time) http.Header {
	key, err := webhookKey(secret)
	if err != nil {
		panic(err)
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	h := http.Header{}
	h.Set("Webhook-Id", "msg_1")
	h.Set("Webhook-Timestamp", stamp)
	h.Set("Webhook-Signature", webhookSignature(key, "msg_1", stamp, body))
	return h
}

func TestVerifyWebhook(t *testing.T) {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	now := time.Unix(1_700_000_000, 0)
	body := []byte(`{"a":1}`)
	for name, c := range map[string]struct {
		change func(h http.Header) (secret string, body []byte, at time.Time)
		good   bool
	}{
		"as sent":         {func(http.Header) (string, []byte, time.Time) { return secret, body, now }, true},
		"5 minutes later": {func(http.Header) (string, []byte, time.Time) { return secret, body, now.Add(WebhookWindow) }, true},
		"replayed later": {func(http.Header) (string, []byte, time.Time) {
			return secret, body, now.Add(WebhookWindow + time.Second)
		}, false},
		"of the future": {func(http.Header) (string, []byte, time.Time) {
			return secret, body, now.Add(-WebhookWindow - time.Second)
		}, false},
		"another body":   {func(http.Header) (string, []byte, time.Time) { return secret, []byte(`{"a":2}`), now }, false},
		"another secret": {func(http.Header) (string, []byte, time.Time) { return NewWebhookSecret(), body, now }, false},
		"no secret":      {func(http.Header) (string, []byte, time.Time) { return "", body, now }, false},
		"another id": {func(h http.Header) (string, []byte, time.Time) {
			h.Set("Webhook-Id", "msg_2")
			return secret, body, now
		}, false},
		"another timestamp": {func(h http.Header) (string, []byte, time.Time) {
			h.Set("Webhook-Timestamp", "1700000001")
			return secret, body, now
		}, false},
		"no timestamp": {func(h http.Header) (string, []byte, time.Time) {
			h.Del("Webhook-Timestamp")
			return secret, body, now
		}, false},
		"no signature": {func(h http.Header) (string, []byte, time.Time) {
			h.Del("Webhook-Signature")
			return secret, body, now
		}, false},
		"a signature of another version": {func(h http.Header) (string, []byte, time.Time) {
			h.Set("Webhook-Signature", strings.Replace(h.Get("Webhook-Signature"), "v1,", "v1a,", 1))
			return secret, body, now
		}, false},
		"several signatures, while a secret changes": {func(h http.Header) (string, []byte, time.Time) {
			h.Set("Webhook-Signature", "v1,AAAA "+h.Get("Webhook-Signature"))
			return secret, body, now
		}, true},
	} {
		h := signed(secret, body, now)
		s, b, at := c.change(h)
		if err := VerifyWebhook(s, h, b, at); (err == nil) != c.good || err != nil && !errors.Is(err, ErrBadWebhook) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestVerifyWebhook_StandardVector is the example of the Standard Webhooks specification.
func TestVerifyWebhook_StandardVector(t *testing.T) {
	h := http.Header{}
	h.Set("Webhook-Id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	h.Set("Webhook-Timestamp", "1614265330")
	h.Set("Webhook-Signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	if err := VerifyWebhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", h, []byte(`{"test": 2432232314}`), time.Unix(1614265330, 0)); err != nil {
		t.Error(err)
	}
}

func FuzzVerifyWebhook(f *testing.F) {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	now := time.Unix(1_700_000_000, 0)
	h := signed(secret, []byte("{}"), now)
	f.Add(h.Get("Webhook-Id"), h.Get("Webhook-Timestamp"), "v1,AAAA", []byte("{}"))
	f.Add("", "-9223372036854775808", " ", []byte{})
	f.Fuzz(func(t *testing.T, id, stamp, signature string, body []byte) {
		header := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {signature}}
		if VerifyWebhook(secret, header, body, now) == nil {
			t.Fatalf("a webhook was forged: %q %q %q %q", id, stamp, signature, body)
		}
	})
}

func TestWebhook_EventsAreJSONWhateverTheNames(t *testing.T) {
	w := &webhook{}
	n := note()
	n.ChatName, n.Text = "\"\\\u2028\x00", "\xff</script>"
	var back map[string]any
	if err := json.Unmarshal(marshal(w.event(&Device{}, n, n.Text)), &back); err != nil {
		t.Error(err)
	}
}
