package push

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/delivery/push/pushtest"
)

func TestAPNS_AnIPhoneGetsIt(t *testing.T) {
	s, server := standAPNS(t)
	if err := s.Check(t.Context(), s.device); err != nil {
		t.Fatal(err)
	}
	if err := s.notify(t); err != nil {
		t.Fatalf("%v; %q", err, s.Faults())
	}
	got := s.Received()[0]
	n := note()
	if got.Device != s.device.Token || got.CollapseKey != n.CollapseKey || got.Title != n.ChatName || got.Body != n.Text {
		t.Errorf("received %+v", got)
	}
	for name, want := range map[string]string{"Apns-Topic": server.Topic, "Apns-Push-Type": "alert", "Apns-Priority": "10"} {
		if got.Header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Header.Get(name), want)
		}
	}
	expires, err := strconv.ParseInt(got.Header.Get("Apns-Expiration"), 10, 64)
	if left := time.Until(time.Unix(expires, 0)); err != nil || left > 72*time.Hour || left < 71*time.Hour {
		t.Errorf("it expires in %v, %v", left, err)
	}
	want := `{"aps":{"alert":{"title":"Tea & biscuits","body":"the kettle <is> on ✓"},"badge":4,"sound":"default","thread-id":"tea","mutable-content":1},` +
		`"chatId":"tea","senderId":"bob","messageId":"tea:7","sequenceNumber":7,"firstSequenceNumber":5,"count":3,"badge":4,` +
		`"collapseKey":"k_9-Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6","sentAt":"2026-11-29T12:00:00.005Z"}`
	if string(got.Payload) != want {
		t.Errorf("the payload is\n%s\nwant\n%s", got.Payload, want)
	}
}

func TestAPNS_LongTextIsCut(t *testing.T) {
	s, _ := standAPNS(t)
	n := note()
	n.Text = strings.Repeat("ñ", 8000)
	if err := s.Send(t.Context(), s.device, n); err != nil {
		t.Fatalf("%v; %q", err, s.Faults())
	}
	if got := s.Received()[0]; len(got.Payload) > 4096 || len(got.Payload) < 4080 || !strings.HasSuffix(got.Body, "ñ…") {
		t.Errorf("the payload has %d bytes", len(got.Payload))
	}
}

// apnsAnswers is what Apple documents, and what it might say beside that.
var apnsAnswers = []struct {
	status  int
	reason  string
	outcome string
	wait    time.Duration
}{
	{400, "BadCollapseId", "rejected", 0},
	{400, "BadDeviceToken", "gone", 0},
	{400, "BadExpirationDate", "rejected", 0},
	{400, "BadMessageId", "rejected", 0},
	{400, "BadPriority", "rejected", 0},
	{400, "BadTopic", "rejected", 0},
	{400, "DeviceTokenNotForTopic", "rejected", 0},
	{400, "DuplicateHeaders", "rejected", 0},
	{400, "IdleTimeout", "unavailable", 0},
	{400, "InvalidPushType", "rejected", 0},
	{400, "MissingDeviceToken", "rejected", 0},
	{400, "MissingTopic", "rejected", 0},
	{400, "PayloadEmpty", "rejected", 0},
	{400, "TopicDisallowed", "rejected", 0},
	{403, "BadCertificate", "unavailable", 0},
	{403, "BadCertificateEnvironment", "unavailable", 0},
	{403, "ExpiredProviderToken", "unavailable", 0},
	{403, "Forbidden", "unavailable", 0},
	{403, "InvalidProviderToken", "unavailable", 0},
	{403, "MissingProviderToken", "unavailable", 0},
	{403, "UnrelatedKeyIdInToken", "unavailable", 0},
	{403, "BadEnvironmentKeyIdInToken", "unavailable", 0},
	{404, "BadPath", "rejected", 0},
	{405, "MethodNotAllowed", "rejected", 0},
	{410, "ExpiredToken", "gone", 0},
	{410, "Unregistered", "gone", 0},
	{413, "PayloadTooLarge", "rejected", 0},
	{429, "TooManyProviderTokenUpdates", "retry", time.Minute},
	{429, "TooManyRequests", "retry", 30 * time.Second},
	{500, "InternalServerError", "unavailable", 0},
	{503, "ServiceUnavailable", "unavailable", 0},
	{503, "Shutdown", "unavailable", 0},
}

func TestAPNS_EveryReason(t *testing.T) {
	a := &apns{caller: caller{of: APNS}}
	for _, c := range apnsAnswers {
		err := a.meaning(&answer{status: c.status, body: []byte(`{"reason":"` + c.reason + `","timestamp":1}`)})
		mean(t, err, c.outcome, c.reason)
		if c.wait > 0 && retryOf(t, err).After != c.wait {
			t.Errorf("%s: %v", c.reason, err)
		}
	}
	if len(apnsAnswers) != len(apnsVerdicts) {
		t.Errorf("%d reasons are tested, %d are known", len(apnsAnswers), len(apnsVerdicts))
	}
}

func TestAPNS_AnswersWithoutAKnownReason(t *testing.T) {
	a := &apns{caller: caller{of: APNS}}
	for _, c := range []struct {
		status                int
		body, outcome, reason string
	}{
		{200, "", "taken", ""},
		{204, "", "taken", ""},
		{400, "", "rejected", "refused"},
		{400, `{"reason":"SomethingNew"}`, "rejected", "refused"},
		{403, `{"reason":7}`, "unavailable", "not authorized"},
		{404, "<html>", "rejected", "not found"},
		{410, "", "gone", "gone"},
		{418, "{", "rejected", "refused"},
		{429, "", "retry", "too many requests"},
		{502, "<html>", "unavailable", "server error"},
	} {
		mean(t, a.meaning(&answer{status: c.status, body: []byte(c.body)}), c.outcome, c.reason)
	}
}

// TestAPNS_EveryReasonOverHTTP2 has them go the whole way once.
func TestAPNS_EveryReasonOverHTTP2(t *testing.T) {
	s, server := standAPNS(t, func(c *Config) { c.Limits = ProviderLimits{Failures: 1 << 20} })
	for _, c := range apnsAnswers {
		if c.reason == expiredProviderToken || c.reason == "TooManyProviderTokenUpdates" {
			continue // they have tests of their own
		}
		server.Script(pushtest.Answer{Status: c.status, Reason: c.reason})
		mean(t, s.notify(t), c.outcome, c.reason)
	}
	if faults := s.Faults(); len(faults) > 0 {
		t.Errorf("requests were wrong: %q", faults)
	}
}

func TestAPNS_TheAppIsGone(t *testing.T) {
	s, server := standAPNS(t)
	server.Uninstall(s.device.Token)
	mean(t, s.notify(t), "gone", "Unregistered")
	s.device.Token = strings.Repeat("0", 64)
	mean(t, s.notify(t), "gone", "BadDeviceToken")
}

func TestAPNS_AnExpiredTokenIsRenewedOnce(t *testing.T) {
	s, server := standAPNS(t)
	if err := s.notify(t); err != nil {
		t.Fatal(err)
	}
	first := server.Tokens()
	server.Expire()
	if err := s.notify(t); err != nil {
		t.Fatalf("%v; %q", err, s.Faults())
	}
	if server.Tokens() == first || server.Requests() != 3 {
		t.Errorf("%d requests were made, another token: %v", server.Requests(), server.Tokens() != first)
	}
	// Apple finds the next expired as well, as it does where our clock is wrong. It gets no third.
	second := server.Tokens()
	server.Script(pushtest.Answer{Status: 403, Reason: expiredProviderToken})
	mean(t, s.notify(t), "unavailable", expiredProviderToken)
	if server.Tokens() != second || server.Requests() != 4 {
		t.Errorf("%d requests were made, another token: %v", server.Requests(), server.Tokens() != second)
	}
}

func TestAPNS_OneTokenForAllAndForThreeQuartersOfAnHour(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	tokens := &apnsTokens{key: key, keyID: "A", teamID: "B", now: func() time.Time { return now }}
	next := func() string {
		s, err := tokens.token()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := next()
	now = now.Add(apnsReuse - time.Second)
	if next() != first {
		t.Error("a token is signed before its time")
	}
	now = now.Add(time.Second)
	second := next()
	if second == first {
		t.Error("a token is used for too long")
	}
	now = now.Add(-24 * time.Hour) // somebody set the clock right
	if next() == second {
		t.Error("a token of the future is used")
	}
	if got, err := tokens.renewed(first); err != nil || got == first {
		t.Errorf("renewed after another had it renewed: %v", err)
	}
}

func TestAPNS_DevicesThatAreNone(t *testing.T) {
	s, server := standAPNS(t)
	for name, d := range map[string]Device{
		"no token":        {},
		"a short token":   {Token: strings.Repeat("a", 62)},
		"a long token":    {Token: strings.Repeat("a", 258)},
		"half a byte":     {Token: strings.Repeat("a", 65)},
		"a path":          {Token: strings.Repeat("a", 61) + "/.."},
		"a line end":      {Token: strings.Repeat("a", 62) + "\r\n"},
		"another's topic": {Token: s.device.Token, Topic: "com.example.other"},
	} {
		d.Platform = APNS
		if err := s.Check(t.Context(), &d); !errors.Is(err, ErrBadDevice) {
			t.Errorf("%s is registered: %v", name, err)
		}
		mean(t, s.Send(t.Context(), &d, note()), "rejected", "bad device")
	}
	if s.Requests() > 0 {
		t.Errorf("%d requests were made", s.Requests())
	}
	d := Device{Platform: APNS, Token: s.device.Token, Topic: server.Topic}
	if err := errors.Join(s.Check(t.Context(), &d), s.Send(t.Context(), &d, note())); err != nil {
		t.Error(err)
	}
}

func FuzzAPNSAnswer(f *testing.F) {
	for _, c := range apnsAnswers {
		f.Add(c.status, []byte(`{"reason":"`+c.reason+`"}`))
	}
	f.Add(403, []byte(`{"reason":{}}`))
	a := &apns{caller: caller{of: APNS}}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		err := a.meaning(&answer{status: status, body: body})
		if err == nil && status/100 != 2 {
			t.Fatalf("%d was taken for a success", status)
		}
		if reason := apnsReason(body); errors.Is(err, ErrGone) && reason == "" && status != 410 {
			t.Fatalf("a device is removed for %d %q", status, body)
		}
		if _, err := json.Marshal(apnsReason(body)); err != nil {
			t.Fatal(err)
		}
	})
}
