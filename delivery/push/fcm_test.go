package push

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/delivery/push/pushtest"
)

func TestFCM_APhoneGetsIt(t *testing.T) {
	s, server := standFCM(t)
	if err := s.Check(t.Context(), s.device); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.notify(t); err != nil {
			t.Fatalf("%v; %q", err, s.Faults())
		}
	}
	got := s.Received()[0]
	n := note()
	if got.Device != s.device.Token || got.CollapseKey != n.CollapseKey || got.Title != n.ChatName || got.Body != n.Text {
		t.Errorf("received %+v", got)
	}
	if server.Exchanges() != 1 {
		t.Errorf("%d access tokens for three notifications", server.Exchanges())
	}
	var m struct {
		Message struct {
			Android struct {
				TTL          string
				Priority     string
				Notification struct{ Tag string }
			}
			APNS    struct{ Headers map[string]string }
			WebPush struct {
				Headers      map[string]string
				Notification map[string]string
			}
			Data map[string]string
		}
	}
	if err := json.Unmarshal(got.Payload, &m); err != nil {
		t.Fatal(err)
	}
	a := m.Message
	if a.Android.TTL != "259200s" || a.Android.Priority != "HIGH" || a.Android.Notification.Tag != n.CollapseKey ||
		a.APNS.Headers["apns-collapse-id"] != n.CollapseKey || a.WebPush.Headers["Topic"] != n.CollapseKey || a.WebPush.Notification["tag"] != n.CollapseKey {
		t.Errorf("the message is %+v", a)
	}
	if a.Data["chatId"] != "tea" || a.Data["sequenceNumber"] != "7" || a.Data["firstSequenceNumber"] != "5" || a.Data["badge"] != "4" || a.Data["count"] != "3" {
		t.Errorf("the data is %v", a.Data)
	}
}

func TestFCM_LongTextIsCut(t *testing.T) {
	s, _ := standFCM(t)
	n := note()
	n.Text = strings.Repeat("✓", 5000)
	if err := s.Send(t.Context(), s.device, n); err != nil {
		t.Fatalf("%v; %q", err, s.Faults())
	}
	if got := s.Received()[0]; !strings.HasSuffix(got.Body, "✓…") || len(got.Body) < 2000 {
		t.Errorf("%d bytes of text were sent", len(got.Body))
	}
}

// fcmAnswers is what Firebase documents, and what Google's APIs say beside that. A word is a status, or a status and an error code.
var fcmAnswers = []struct {
	status                int
	word, outcome, reason string
	wait                  time.Duration
}{
	{400, "INVALID_ARGUMENT/INVALID_ARGUMENT", "rejected", "INVALID_ARGUMENT", 0},
	{404, "NOT_FOUND/UNREGISTERED", "gone", "UNREGISTERED", 0},
	{403, "PERMISSION_DENIED/SENDER_ID_MISMATCH", "rejected", "SENDER_ID_MISMATCH", 0},
	{429, "RESOURCE_EXHAUSTED/QUOTA_EXCEEDED", "retry", "QUOTA_EXCEEDED", time.Minute},
	{503, "UNAVAILABLE/UNAVAILABLE", "unavailable", "UNAVAILABLE", 0},
	{500, "INTERNAL/INTERNAL", "unavailable", "INTERNAL", 0},
	{401, "UNAUTHENTICATED/THIRD_PARTY_AUTH_ERROR", "rejected", "THIRD_PARTY_AUTH_ERROR", 0},
	{500, "UNKNOWN/UNSPECIFIED_ERROR", "unavailable", "UNSPECIFIED_ERROR", 0},
	{400, "INVALID_ARGUMENT", "rejected", "INVALID_ARGUMENT", 0},
	{400, "FAILED_PRECONDITION", "unavailable", "FAILED_PRECONDITION", 0},
	{401, "UNAUTHENTICATED", "unavailable", "UNAUTHENTICATED", 0},
	{403, "PERMISSION_DENIED", "unavailable", "PERMISSION_DENIED", 0},
	{404, "NOT_FOUND", "unavailable", "NOT_FOUND", 0},
	{409, "ABORTED", "unavailable", "ABORTED", 0},
	{429, "RESOURCE_EXHAUSTED", "retry", "RESOURCE_EXHAUSTED", time.Minute},
	{500, "UNKNOWN", "unavailable", "UNKNOWN", 0},
	{504, "DEADLINE_EXCEEDED", "unavailable", "DEADLINE_EXCEEDED", 0},
	{400, "SOMETHING/NEW", "rejected", "refused", 0},
	{401, "SOMETHING/NEW", "unavailable", "not authorized", 0},
	{404, "SOMETHING/NEW", "unavailable", "not authorized", 0},
	{503, "SOMETHING/NEW", "unavailable", "server error", 0},
}

func fcmBody(status int, word string) []byte {
	state, code, both := strings.Cut(word, "/")
	details := ""
	if both {
		details = `{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"` + code + `"}`
	}
	return []byte(`{"error":{"code":0,"message":"m","status":"` + state + `","details":[` + details + `]}}`)
}

func TestFCM_EveryErrorCode(t *testing.T) {
	f := &fcm{caller: caller{of: FCM}}
	tested := map[string]bool{badToken: true}
	for _, c := range fcmAnswers {
		err := f.meaning(&answer{status: c.status, body: fcmBody(c.status, c.word)})
		mean(t, err, c.outcome, c.reason)
		if c.wait > 0 && (retryOf(t, err).After != c.wait || !retryOf(t, err).All) {
			t.Errorf("%s: %v", c.word, err)
		}
		tested[c.reason] = true
	}
	for reason := range fcmVerdicts {
		if !tested[reason] {
			t.Errorf("%s is not tested", reason)
		}
	}
}

func TestFCM_EveryErrorCodeOverHTTP(t *testing.T) {
	for _, c := range fcmAnswers {
		if c.outcome == "retry" || c.reason == unauthenticated {
			continue // they hold the lane, and renew the token: they have tests of their own
		}
		s, server := standFCM(t)
		server.Script(pushtest.Answer{Status: c.status, Reason: c.word})
		mean(t, s.notify(t), c.outcome, c.reason)
	}
}

func TestFCM_RetryAfterIsKeptAndHoldsAll(t *testing.T) {
	s, server := standFCM(t)
	server.Script(pushtest.Answer{Status: 429, Reason: "RESOURCE_EXHAUSTED/QUOTA_EXCEEDED", RetryAfter: "90"})
	err := s.notify(t)
	mean(t, err, "retry", "QUOTA_EXCEEDED")
	if got := retryOf(t, err); got.After != 90*time.Second || !got.All {
		t.Errorf("%+v", got)
	}
	err = s.notify(t)
	mean(t, err, "retry", reasonHeld)
	if got := retryOf(t, err).After; got > 90*time.Second || got < 60*time.Second {
		t.Errorf("the next is told to wait %v", got)
	}
	if server.Requests() != 2 { // the token's, and one
		t.Errorf("%d requests were made", server.Requests())
	}
}

func TestFCM_WhatItSaysOfATokenRemovesTheDevice(t *testing.T) {
	f := &fcm{caller: caller{of: FCM}}
	for _, body := range []string{
		`{"error":{"code":400,"message":"The registration token is not a valid FCM registration token","status":"INVALID_ARGUMENT",` +
			`"details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"INVALID_ARGUMENT"}]}}`,
		`{"error":{"code":400,"message":"Request contains an invalid argument.","status":"INVALID_ARGUMENT","details":[` +
			`{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"INVALID_ARGUMENT"},` +
			`{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"message.token","description":"Invalid registration token"}]}]}}`,
	} {
		mean(t, f.meaning(&answer{status: 400, body: []byte(body)}), "gone", badToken)
	}
	other := `{"error":{"code":400,"message":"Invalid value","status":"INVALID_ARGUMENT","details":[` +
		`{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"message.data[0].value"}]}]}}`
	mean(t, f.meaning(&answer{status: 400, body: []byte(other)}), "rejected", "INVALID_ARGUMENT")
}

func TestFCM_TheAppIsGone(t *testing.T) {
	s, server := standFCM(t)
	server.Uninstall(s.device.Token)
	mean(t, s.notify(t), "gone", "UNREGISTERED")
	s.device.Token = "nobodys:token"
	mean(t, s.notify(t), "gone", badToken)
}

func TestFCM_AnEndedTokenIsRenewedOnce(t *testing.T) {
	s, server := standFCM(t)
	if err := s.notify(t); err != nil {
		t.Fatal(err)
	}
	server.EndTokens()
	if err := s.notify(t); err != nil {
		t.Fatalf("%v; %q", err, s.Faults())
	}
	if server.Exchanges() != 2 {
		t.Errorf("%d access tokens were given", server.Exchanges())
	}
	server.Script(pushtest.Answer{Status: 401, Reason: unauthenticated}, pushtest.Answer{Status: 401, Reason: unauthenticated})
	mean(t, s.notify(t), "unavailable", unauthenticated)
	if server.Exchanges() != 3 {
		t.Errorf("%d access tokens were given", server.Exchanges())
	}
}

func TestFCM_NoAccessToken(t *testing.T) {
	for _, a := range []pushtest.Answer{
		{Status: 400, Body: `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`},
		{Status: 401, Body: `{"error":"invalid_client"}`},
		{Status: 404},
		{Status: 500},
		{Status: 302, Location: "https://127.0.0.1/"},
		{Status: 200, Body: "no JSON"},
		{Status: 200, Body: `{"access_token":"","expires_in":3599,"token_type":"Bearer"}`},
		{Status: 200, Body: `{"access_token":"a b","expires_in":3599,"token_type":"Bearer"}`},
		{Status: 200, Body: `{"access_token":"a\r\nb","expires_in":3599,"token_type":"Bearer"}`},
		{Status: 200, Body: `{"access_token":"a","expires_in":-1,"token_type":"Bearer"}`},
		{Status: 200, Body: `{"access_token":"a","expires_in":3599,"token_type":"mac"}`},
		{Status: 200, Body: `{"access_token":"` + strings.Repeat("a", 20<<10) + `","expires_in":3599,"token_type":"Bearer"}`},
	} {
		s, server := standFCM(t)
		server.RefuseTokens(&a)
		mean(t, s.notify(t), "unavailable", "no access token")
		server.RefuseTokens(nil)
		if err := s.notify(t); err != nil {
			t.Errorf("after %+v: %v", a, err)
		}
	}
	s, server := standFCM(t)
	server.RefuseTokens(&pushtest.Answer{Status: 503, RetryAfter: "20"})
	if got := retryOf(t, s.notify(t)); got.After != 20*time.Second || !got.All {
		t.Errorf("%+v", got)
	}
}

func TestFCM_ATokenIsRenewedBeforeItEnds(t *testing.T) {
	server := pushtest.NewFCM(t)
	account, err := loadAccount(server.AccountFile)
	if err != nil {
		t.Fatal(err)
	}
	roots, err := trusted(server.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	tokens := newFCMTokens(caller{FCM, newClient(newTransport(ProviderLimits{}.withDefaults(), roots)), patience}, account)
	tokens.now = func() time.Time { return now }
	defer tokens.client.CloseIdleConnections()
	next := func() string {
		access, err := tokens.token(within(t))
		if err != nil {
			t.Fatal(err)
		}
		return access
	}
	first := next()
	now = now.Add(50 * time.Minute)
	if next() != first {
		t.Error("a token is dropped before its time")
	}
	now = now.Add(6 * time.Minute)
	tokens.now = func() time.Time { return now.Add(-56 * time.Minute) } // what is signed is judged by the real clock
	tokens.until = tokens.until.Add(-56 * time.Minute)
	if next() == first || server.Exchanges() != 2 {
		t.Error("a token is used until it ends")
	}
}

func TestFCM_DevicesThatAreNone(t *testing.T) {
	s, _ := standFCM(t)
	for name, token := range map[string]string{
		"no token": "", "a space": "a b", "a quote": `a"`, "a line end": "a\n", "a long one": strings.Repeat("a", maxFCMToken+1), "a slash": "a/b", "ñ": "ñ",
	} {
		d := Device{Platform: FCM, Token: token}
		if err := s.Check(t.Context(), &d); !errors.Is(err, ErrBadDevice) {
			t.Errorf("%s is registered: %v", name, err)
		}
		mean(t, s.Send(t.Context(), &d, note()), "rejected", "bad device")
	}
	if s.Requests() > 0 {
		t.Errorf("%d requests were made", s.Requests())
	}
}

func FuzzFCMAnswer(f *testing.F) {
	for _, c := range fcmAnswers {
		f.Add(c.status, fcmBody(c.status, c.word))
	}
	courier := &fcm{caller: caller{of: FCM}}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		err := courier.meaning(&answer{status: status, body: body})
		if err == nil && status/100 != 2 {
			t.Fatalf("%d was taken for a success", status)
		}
		if reason := fcmReason(body); errors.Is(err, ErrGone) && reason != "UNREGISTERED" && reason != badToken {
			t.Fatalf("a device is removed for %d %q", status, body)
		}
	})
}

func FuzzFCMAccess(f *testing.F) {
	f.Add([]byte(`{"access_token":"ya29.x","expires_in":3599,"token_type":"Bearer"}`))
	f.Add([]byte(`{"access_token":"a\nb","expires_in":99999999999,"token_type":"bearer"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		access, life, good := parseAccess(body)
		if good && (!isHeaderToken(access) || life <= 0 || life > maxTokenLife) {
			t.Fatalf("%q gives %q for %v", body, access, life)
		}
	})
}
