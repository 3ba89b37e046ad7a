package delivery

import (
	"net/http"
	"strings"
	"testing"

	"github.com/quorate/quorate/delivery/frame"
)

func TestUpgrade_Handshakes(t *testing.T) {
	rig := newEngineRig(t, engineConfig{})
	replace := func(old, with string) string {
		if !strings.Contains(goodHandshake, old) {
			t.Fatalf("nothing to replace: %q", old)
		}
		return strings.Replace(goodHandshake, old, with, 1)
	}
	with := func(lines ...string) string {
		return strings.Replace(goodHandshake, "\r\n\r\n", "\r\n"+strings.Join(lines, "\r\n")+"\r\n\r\n", 1)
	}
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	for _, c := range []struct {
		name, handshake string
		status          int
	}{
		{"good", goodHandshake, 101},
		{"tokens in another case", replace("Upgrade: websocket", "Upgrade: h2c, WebSocket"), 101},
		{"method POST", replace("GET", "POST"), 405},
		{"HTTP/1.0", replace("HTTP/1.1", "HTTP/1.0"), 400},
		{"no Upgrade", replace("Upgrade: websocket\r\n", ""), 426},
		{"Upgrade to another protocol", replace("Upgrade: websocket", "Upgrade: websocket2"), 426},
		{"no Connection", replace("Connection: keep-alive, Upgrade\r\n", ""), 426},
		{"version 12", replace("Version: 13", "Version: 12"), 426},
		{"no version", replace("Sec-WebSocket-Version: 13\r\n", ""), 426},
		{"two versions", with("Sec-WebSocket-Version: 12"), 426},
		{"no key", replace("Sec-WebSocket-Key: "+key+"\r\n", ""), 400},
		{"empty key", replace(key, ""), 400},
		{"key of 15 bytes", replace(key, "AAAAAAAAAAAAAAAAAAAA"), 400},
		{"key of 17 bytes", replace(key, "AAAAAAAAAAAAAAAAAAAAAAA="), 400},
		{"key that is no base64", replace(key, "dGhlIHNhbXBsZSBub25jZ!=="), 400},
		{"key with bits left over", replace(key, "dGhlIHNhbXBsZSBub25jZR=="), 400},
		{"two keys", with("Sec-WebSocket-Key: " + key), 400},
		{"body", with("Content-Length: 5") + "hello", 400},
		{"no Host", replace("Host: HOST\r\n", ""), 400},
		{"origin of the same host", with("Origin: http://HOST"), 101},
		{"origin of the same host over TLS", with("Origin: https://HOST"), 101},
		{"origin elsewhere", with("Origin: https://evil"), 403},
		{"origin null", with("Origin: null"), 403},
		{"origin that begins well", with("Origin: http://HOST.evil"), 403},
		{"origin with another port", with("Origin: https://127.0.0.1:444"), 403},
		{"origin with a path", with("Origin: http://HOST/x"), 403},
		{"origin with another scheme", with("Origin: file://HOST"), 403},
		{"origin with a user", with("Origin: http://a@HOST"), 403},
		{"two origins", with("Origin: http://HOST", "Origin: http://HOST"), 403},
		{"cookie without origin", with("Cookie: a=b"), 403},
		{"subprotocol that is no token", with("Sec-WebSocket-Protocol: quorate.v1, a b"), 400},
		{"empty subprotocol", with("Sec-WebSocket-Protocol: quorate.v1,,"), 400},
		{"subprotocol twice", with("Sec-WebSocket-Protocol: quorate.v1, quorate.v1"), 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := rig.dial(c.handshake)
			resp := client.response()
			if resp.StatusCode != c.status {
				t.Fatalf("%s, want %d", resp.Status, c.status)
			}
			switch c.status {
			case http.StatusSwitchingProtocols:
				if resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455 section 1.3
					t.Fatalf("accept %q", resp.Header.Get("Sec-WebSocket-Accept"))
				}
				client.write(maskedText("hello"))
				client.expect(frame.OpText, "hello")
			case http.StatusUpgradeRequired:
				if resp.Header.Get("Sec-WebSocket-Version") != "13" || resp.Header.Get("Upgrade") != "websocket" {
					t.Fatalf("426 with %v", resp.Header)
				}
			}
		})
	}
}

func TestUpgrade_Subprotocol(t *testing.T) {
	rig := newEngineRig(t, engineConfig{})
	for _, c := range []struct {
		offered []string
		agreed  string
	}{
		{nil, ""},
		{[]string{"unknown"}, ""},
		{[]string{"quorate.v1, bearer.a.b-c_d"}, "quorate.v1"},
		{[]string{"bearer.x", "other, quorate.v1"}, "other"}, // the client's order counts
	} {
		lines := ""
		for _, o := range c.offered {
			lines += "Sec-WebSocket-Protocol: " + o + "\r\n"
		}
		resp := rig.dial(strings.Replace(goodHandshake, "\r\n\r\n", "\r\n"+lines+"\r\n", 1)).response()
		want(t, rig.probes, "the connection")
		if got := resp.Header.Values("Sec-WebSocket-Protocol"); strings.Join(got, "|") != c.agreed {
			t.Errorf("%q agreed on %q, want %q", c.offered, got, c.agreed)
		}
	}
}

func TestUpgrade_AllowedOrigins(t *testing.T) {
	rig := newEngineRig(t, engineConfig{AllowedOrigins: []string{"https://chat.example", "http://localhost:5173"}})
	for origin, status := range map[string]int{
		"https://chat.example": 101, "https://CHAT.example": 101, "http://localhost:5173": 101, "http://chat.example": 403,
		"https://chat.example:444": 403, "https://chat.example.evil": 403, "http://HOST": 403,
	} {
		resp := rig.dial(strings.Replace(goodHandshake, "\r\n\r\n", "\r\nOrigin: "+origin+"\r\n\r\n", 1)).response()
		if resp.StatusCode != status {
			t.Errorf("%s: %s, want %d", origin, resp.Status, status)
		}
	}
}

func TestUpgrade_MaxConns(t *testing.T) {
	rig := newEngineRig(t, engineConfig{MaxConns: 2})
	first, p := rig.open()
	rig.open()
	resp := rig.dial(goodHandshake).response()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Fatalf("third of two: %s, %v", resp.Status, resp.Header)
	}
	_ = first.tcp.Close()
	want(t, p.closed, "onClose")
	for rig.e.conns() > 1 { // the place is free just after onClose
		select {
		case <-t.Context().Done():
			t.Fatal("the place was never freed")
		default:
		}
	}
	rig.open()
}
