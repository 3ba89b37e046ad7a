package delivery

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

// admitAll takes every device but those of a bad endpoint, and gives webhooks a secret.
func admitAll(_ context.Context, _ string, d *wire.Device) error {
	if strings.Contains(d.Endpoint, "bad") {
		return fmt.Errorf("%w: the URL's host is not one that notifications may go to", wire.ErrBadRequest)
	}
	if d.Platform == wire.Webhook && d.Secret == "" {
		d.Secret = "s3cret-of-16-bytes"
	}
	return nil
}

func openDeviceEdge(t *testing.T) *edge {
	t.Helper()
	return openEdge(t, startCluster(t, 1), func(c *Config) { c.AdmitDevice = admitAll })
}

func TestDevices_PutListedAndRemoved(t *testing.T) {
	e := openDeviceEdge(t)
	body := `{"platform":"webpush","endpoint":"https://push.example/1","expirationTime":null,"keys":{"p256dh":"BKey","auth":"4uth"},"mutedUntil":"2100-01-01T01:00:00+01:00"}`
	a := e.must("ann", "PUT", "/me/devices/web", body, 200)
	if want := `{"deviceId":"web","platform":"webpush","mutedUntil":"2100-01-01T00:00:00.000Z"}` + "\n"; a.body != want {
		t.Errorf("got %s, want %s", a.body, want)
	}
	e.must("ann", "PUT", "/me/devices/phone", `{"platform":"apns","token":"00ff"}`, 200)
	e.must("ann", "PUT", "/me/devices/phone", `{"platform":"apns","token":"00fe"}`, 200)
	list := e.must("ann", "GET", "/me/devices", "", 200).body
	if want := `{"devices":[{"deviceId":"phone","platform":"apns","mutedUntil":null},{"deviceId":"web","platform":"webpush","mutedUntil":"2100-01-01T00:00:00.000Z"}],"mutedChats":[]}` + "\n"; list != want {
		t.Errorf("got %s, want %s", list, want)
	}
	kept, err := e.seq.PushSettings(t.Context(), "ann")
	if err != nil || len(kept.Devices) != 2 || kept.Devices[0].Token != "00fe" || kept.Devices[1].P256DH != "BKey" || kept.Devices[1].Auth != "4uth" {
		t.Errorf("kept %+v, %v", kept, err)
	}
	for range 2 {
		if a := e.must("ann", "DELETE", "/me/devices/web", "", 204); a.body != "" {
			t.Errorf("got %s", a.body)
		}
	}
	if list := e.must("ann", "GET", "/me/devices", "", 200).body; strings.Contains(list, "web") || strings.Contains(e.must("bob", "GET", "/me/devices", "", 200).body, "phone") {
		t.Errorf("got %s", list)
	}
}

// TestDevices_ASecretIsToldOnce: a webhook's secret is in the answer that made it, and nowhere else.
func TestDevices_ASecretIsToldOnce(t *testing.T) {
	e := openDeviceEdge(t)
	put := func(endpoint, more string) answer {
		return e.must("ann", "PUT", "/me/devices/hook", `{"platform":"webhook","endpoint":"`+endpoint+`"`+more+`}`, 200)
	}
	if a := put("https://a.example/", ""); a.json()["secret"] != "s3cret-of-16-bytes" {
		t.Errorf("got %s", a.body)
	}
	for _, a := range []answer{put("https://a.example/", ""), put("https://b.example/", `,"secret":"my-own-of-16-bytes"`), e.must("ann", "GET", "/me/devices", "", 200)} {
		if strings.Contains(a.body, "16-bytes") {
			t.Errorf("told again: %s", a.body)
		}
	}
	if kept, err := e.seq.PushSettings(t.Context(), "ann"); err != nil || kept.Devices[0].Secret != "my-own-of-16-bytes" {
		t.Errorf("kept %+v, %v", kept, err)
	}
}

func TestDevices_WrongOnesAreRefused(t *testing.T) {
	e := openDeviceEdge(t)
	for i := range wire.MaxDevices {
		e.must("ann", "PUT", fmt.Sprint("/me/devices/d", i), `{"platform":"fcm","token":"t"}`, 200)
	}
	for _, c := range []struct{ path, body, code, detail string }{
		{"one-more", `{"platform":"fcm","token":"t"}`, "bad_request", "at most 16 devices"},
		{"d0", `{"platform":"pigeon"}`, "bad_request", "platform must be"},
		{"d0", `{"token":"t"}`, "bad_request", "platform must be"},
		{"d0", `{"platform":"webpush","endpoint":"https://bad.example/"}`, "bad_request", "not one that notifications may go to"},
		{"d0", `{"platform":"fcm","token":"a\nb"}`, "bad_request", "printable ASCII"},
		{"d0", `{"platform":"fcm","token":7}`, "bad_request", "token must be"},
		{"d0", `{"platform":"fcm","keys":7}`, "bad_request", "keys must be"},
		{"d0", `{"platform":"fcm","mutedUntil":"tomorrow"}`, "bad_request", "mutedUntil must be a time"},
		{"d0", `{"platform":"fcm","token":"` + strings.Repeat("x", 5000) + `"}`, "too_large", "4096"},
		{"d@0", `{"platform":"fcm"}`, "bad_request", "deviceId"},
	} {
		a := e.call("ann", "PUT", "/me/devices/"+c.path, c.body)
		if a.code() != c.code || !strings.Contains(a.body, c.detail) {
			t.Errorf("%s %.60s: %d %s", c.path, c.body, a.status, a.body)
		}
	}
	if a := e.call("", "GET", "/me/devices", ""); a.status != 401 {
		t.Errorf("without a token: %d %s", a.status, a.body)
	}
	none := openEdge(t, e.cfg.Sequencers)
	if a := none.call("bob", "PUT", "/me/devices/d", `{"platform":"fcm","token":"t"}`); a.code() != "bad_request" || !strings.Contains(a.body, "no notifications") {
		t.Errorf("where nothing is sent: %d %s", a.status, a.body)
	}
}

func TestMutes_OfChatsOneIsIn(t *testing.T) {
	e := openDeviceEdge(t)
	chat := e.group("ann", "bob")
	want := `{"chatId":"` + chat + `","until":"2100-01-01T00:00:00.000Z"}`
	if a := e.must("ann", "PUT", "/chats/"+chat+"/mute", `{"until":"2100-01-01T00:00:00Z"}`, 200); a.body != want+"\n" {
		t.Errorf("got %s", a.body)
	}
	if list := e.must("ann", "GET", "/me/devices", "", 200).body; !strings.Contains(list, `"mutedChats":[`+want+`]`) {
		t.Errorf("got %s", list)
	}
	if a := e.call("eve", "PUT", "/chats/"+chat+"/mute", `{"until":"2100-01-01T00:00:00Z"}`); a.status != 404 {
		t.Errorf("a stranger: %d %s", a.status, a.body)
	}
	for _, body := range []string{`{}`, `{"until":7}`, `{"until":"1969-01-01T00:00:00Z"}`} {
		if a := e.call("ann", "PUT", "/chats/"+chat+"/mute", body); a.code() != "bad_request" {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	e.must("ann", "DELETE", "/chats/"+chat+"/mute", "", 204)
	if list := e.must("ann", "GET", "/me/devices", "", 200).body; strings.Contains(list, chat) {
		t.Errorf("got %s", list)
	}
}
