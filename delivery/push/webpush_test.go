package push

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/quorate/quorate/delivery/push/pushtest"
)

func TestWebPush_ABrowserGetsIt(t *testing.T) {
	s, _ := standWebPush(t)
	if err := s.Check(t.Context(), s.device); err != nil {
		t.Fatal(err)
	}
	if err := s.notify(t); err != nil {
		t.Fatalf("%v; %q", err, s.Faults())
	}
	got := s.Await(t, 1, patience)[0]
	n := note()
	if got.Device != s.device.Endpoint || got.CollapseKey != n.CollapseKey || got.Title != n.ChatName || got.Body != n.Text {
		t.Errorf("received %+v", got)
	}
	want := `{"title":"Tea & biscuits","body":"the kettle <is> on ✓","tag":"k_9-Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6","chatId":"tea","senderId":"bob",` +
		`"messageId":"tea:7","sequenceNumber":7,"firstSequenceNumber":5,"count":3,"badge":4,"collapseKey":"k_9-Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6",` +
		`"sentAt":"2026-11-29T12:00:00.005Z"}`
	if string(got.Payload) != want {
		t.Errorf("the payload is\n%s\nwant\n%s", got.Payload, want)
	}
	if got.Header.Get("TTL") != "259200" || got.Header.Get("Urgency") != "high" {
		t.Errorf("the headers are %v", got.Header)
	}
}

func TestWebPush_LongTextIsCut(t *testing.T) {
	s, _ := standWebPush(t)
	n := note()
	n.Text = strings.Repeat("\U0001f642", 4000)
	if err := s.Send(t.Context(), s.device, n); err != nil {
		t.Fatalf("%v; %q", err, s.Faults())
	}
	got := s.Received()[0]
	if len(got.Payload) > maxSealedPlain || len(got.Payload) < maxSealedPlain-10 || !strings.HasSuffix(got.Body, "\U0001f642…") {
		t.Errorf("the payload has %d bytes and ends in %q", len(got.Payload), got.Body[len(got.Body)-12:])
	}
}

func TestWebPush_NoTextLeavesWhereThereIsNone(t *testing.T) {
	s, _ := standWebPush(t)
	n := note()
	n.Text = ""
	if err := s.Send(t.Context(), s.device, n); err != nil {
		t.Fatal(err)
	}
	if got := s.Received()[0]; got.Body != "3 new messages" {
		t.Errorf("it says %q", got.Body)
	}
}

func TestWebPush_EveryAnswer(t *testing.T) {
	s, _ := standWebPush(t, func(c *Config) { c.Limits = ProviderLimits{Failures: 1 << 20} })
	for _, a := range statuses {
		if a.outcome == "retry" && a.reason == "server error" {
			continue // it holds the lane: see the guard's tests
		}
		s.Script(pushtest.Answer{Status: a.status, RetryAfter: a.after, Body: strings.Repeat("x", 10<<10)})
		mean(t, s.notify(t), a.outcome, a.reason)
	}
	if faults := s.Faults(); len(faults) > 0 {
		t.Errorf("requests were wrong: %q", faults)
	}
}

func TestWebPush_UnsubscribedAndUnknownAreGone(t *testing.T) {
	s, server := standWebPush(t)
	server.Unsubscribe(s.device.Endpoint)
	mean(t, s.notify(t), "gone", "gone")
	s.device.Endpoint = server.URL + "/push/nobody"
	mean(t, s.notify(t), "gone", "gone")
}

func TestWebPush_ASubscriptionOfAnotherKeyIsNotRemoved(t *testing.T) {
	s, server := standWebPush(t)
	_, public := vapidFileOf(t)
	sub := server.Subscribe(t, public)
	s.device.Endpoint, s.device.P256DH, s.device.Auth = sub.Endpoint, sub.P256DH, sub.Auth
	mean(t, s.notify(t), "rejected", "not authorized")
	if len(s.Faults()) != 1 {
		t.Error("the push service did not look at the key")
	}
}

func TestWebPush_TokensAreKeptByPushService(t *testing.T) {
	key, err := GenerateVAPID("mailto:push@example.com")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	tokens := vapidTokens{vapid: key, limit: 2, now: func() time.Time { return now }, all: map[string]vapidToken{}}
	header := func(audience string) string {
		h, err := tokens.header(audience)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	first := header("https://a.example")
	if header("https://a.example") != first || header("https://b.example") == first {
		t.Error("a token is signed again, or is the same for two")
	}
	now = now.Add(vapidReuse)
	if header("https://a.example") == first {
		t.Error("a token is used for longer than it should be")
	}
	header("https://b.example")
	header("https://c.example")
	if len(tokens.all) > 2 {
		t.Errorf("%d tokens are kept", len(tokens.all))
	}
}

func TestWebPush_DevicesThatNoBrowserGives(t *testing.T) {
	s, _ := standWebPush(t)
	good := *s.device
	for name, bad := range badKeys {
		d := good
		d.P256DH, d.Auth = bad.P256DH, bad.Auth
		if err := s.Check(t.Context(), &d); !errors.Is(err, ErrBadDevice) {
			t.Errorf("%s is registered: %v", name, err)
		}
		mean(t, s.Send(t.Context(), &d, note()), "rejected", "bad keys")
	}
	for name, endpoint := range hostileURLs {
		d := good
		d.Endpoint = endpoint
		if err := s.Check(t.Context(), &d); !errors.Is(err, ErrBadDevice) {
			t.Errorf("%s is registered: %v", name, err)
		}
		mean(t, s.Send(t.Context(), &d, note()), "rejected", "forbidden endpoint")
	}
	if s.Requests() > 0 {
		t.Errorf("%d requests were made", s.Requests())
	}
}

func TestVAPID_KeysSurviveTheFile(t *testing.T) {
	path, public := vapidFileOf(t)
	key, err := LoadVAPID(path)
	if err != nil || key.PublicKey != public || key.Subject != "mailto:push@example.com" {
		t.Fatalf("%+v, %v", key, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	if err := key.Save(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("a key was written over: %v", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]string
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(map[string]string){
		"no private key":    func(f map[string]string) { delete(f, "privateKey") },
		"a private key cut": func(f map[string]string) { f["privateKey"] = f["privateKey"][:20] },
		"no base64":         func(f map[string]string) { f["privateKey"] = "!!" },
		"zero":              func(f map[string]string) { f["privateKey"] = strings.Repeat("A", 43) },
		"another public key": func(f map[string]string) {
			f["publicKey"] = vectorUAPoint
		},
		"no subject":  func(f map[string]string) { delete(f, "subject") },
		"bad subject": func(f map[string]string) { f["subject"] = "push@example.com" },
	} {
		bad := map[string]string{}
		for k, v := range file {
			bad[k] = v
		}
		change(bad)
		text, err := json.Marshal(bad)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := LoadVAPID(writeFile(t, string(text))); err == nil {
			t.Errorf("%s: taken", name)
		} else if strings.Contains(err.Error(), file["privateKey"][:20]) {
			t.Errorf("%s: the error has the key", name)
		}
	}
	if _, err := LoadVAPID(writeFile(t, `{"privateKey":"`+file["privateKey"])); err == nil || strings.Contains(err.Error(), file["privateKey"][:8]) {
		t.Errorf("broken JSON: %v", err)
	}
}

// TestVAPID_TokensAreThoseOfTheRFC reads a token by a library as a push service would.
func TestVAPID_TokensAreThoseOfTheRFC(t *testing.T) {
	key, err := GenerateVAPID("https://example.com/contact")
	if err != nil {
		t.Fatal(err)
	}
	tokens := vapidTokens{vapid: key, limit: 1, now: time.Now, all: map[string]vapidToken{}}
	header, err := tokens.header("https://push.example.net")
	if err != nil {
		t.Fatal(err)
	}
	token, k, found := strings.Cut(strings.TrimPrefix(header, "vapid t="), ", k=")
	if !found || k != key.PublicKey {
		t.Fatalf("the header is %q", header)
	}
	claims := jwt.MapClaims{}
	parsed, err := jwt.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return &key.key.PublicKey, nil })
	if err != nil || parsed.Header["alg"] != "ES256" || parsed.Header["typ"] != "JWT" {
		t.Fatalf("%v, %v", parsed, err)
	}
	end, err := claims.GetExpirationTime()
	if err != nil || time.Until(end.Time) > 24*time.Hour || time.Until(end.Time) < 11*time.Hour {
		t.Errorf("it ends at %v, %v", end, err)
	}
	if claims["aud"] != "https://push.example.net" || claims["sub"] != "https://example.com/contact" || len(claims) != 3 {
		t.Errorf("the claims are %v", claims)
	}
}
