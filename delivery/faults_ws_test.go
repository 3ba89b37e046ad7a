package delivery

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// TestFaults_WebSocketHandshakes opens /stream of an edge, rightly and wrongly. TestUpgrade_Handshakes has more of the same at the engine.
func TestFaults_WebSocketHandshakes(t *testing.T) {
	e := openEdge(t, startCluster(t, 1), func(c *Config) {
		c.OriginAllow = []string{"https://good.example", "http://localhost:5173"}
		c.Limits.BodyTimeout = 500 * time.Millisecond // net/http waits for a body before it closes
	})
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	for name, row := range map[string]struct {
		old, with string // what is changed in a good one
		lines     string
		status    int
	}{
		"good":                            {"", "", asAlice, 101},
		"no token yet":                    {"", "", "", 101},
		"allowed origin":                  {"", "", asAlice + "Origin: https://good.example\r\n", 101},
		"allowed origin with a cookie":    {"", "", asAlice + "Origin: https://good.example\r\nCookie: a=b\r\n", 101},
		"origin elsewhere":                {"", "", asAlice + "Origin: https://evil\r\n", 403},
		"origin null":                     {"", "", asAlice + "Origin: null\r\n", 403},
		"origin is empty":                 {"", "", asAlice + "Origin: \r\n", 403},
		"origin that begins well":         {"", "", asAlice + "Origin: https://good.example.evil\r\n", 403},
		"origin that ends well":           {"", "", asAlice + "Origin: https://evil-good.example\r\n", 403},
		"origin below":                    {"", "", asAlice + "Origin: https://a.good.example\r\n", 403},
		"origin with another port":        {"", "", asAlice + "Origin: https://good.example:444\r\n", 403},
		"origin with another scheme":      {"", "", asAlice + "Origin: http://good.example\r\n", 403},
		"origin with a dot behind":        {"", "", asAlice + "Origin: https://good.example.\r\n", 403},
		"origin list":                     {"", "", asAlice + "Origin: https://good.example https://evil\r\n", 403},
		"two origins":                     {"", "", asAlice + "Origin: https://good.example\r\nOrigin: https://evil\r\n", 403},
		"the same origin twice":           {"", "", asAlice + "Origin: https://good.example\r\nOrigin: https://good.example\r\n", 403},
		"the host asked, not in the list": {"", "", asAlice + "Origin: http://" + e.Addr() + "\r\n", 403},
		"no origin, but a cookie":         {"", "", asAlice + "Cookie: a=b\r\n", 403},
		"key of 15 bytes":                 {key, "AAAAAAAAAAAAAAAAAAAA", asAlice, 400},
		"key of 17 bytes":                 {key, "AAAAAAAAAAAAAAAAAAAAAAA=", asAlice, 400},
		"key without padding":             {key, strings.TrimRight(key, "="), asAlice, 400},
		"key that is no base64":           {key, "dGhlIHNhbXBsZSBub25jZ!==", asAlice, 400},
		"two keys":                        {"", "", asAlice + "Sec-WebSocket-Key: " + key + "\r\n", 400},
		"version 12":                      {"Version: 13", "Version: 12", asAlice, 426},
		"version 8, 13":                   {"Version: 13", "Version: 8, 13", asAlice, 426},
		"version 0013":                    {"Version: 13", "Version: 0013", asAlice, 426},
		"method POST":                     {"GET", "POST", asAlice, 405},
		"HTTP/1.0":                        {"HTTP/1.1", "HTTP/1.0", asAlice, 400},
		"other subprotocols too":          {"", "", asAlice + "Sec-WebSocket-Protocol: mqtt, quorate.v1\r\n", 101},
		"other subprotocols alone":        {"", "", asAlice + "Sec-WebSocket-Protocol: mqtt\r\n", 101},
		"17 subprotocols":                 {"", "", asAlice + "Sec-WebSocket-Protocol: " + strings.Join(strings.Split("abcdefghijklmnopq", ""), ",") + "\r\n", 400},
		"token in the query":              {"/stream", "/stream?token=user:alice", asAlice, 401},
		"access_token in the query":       {"/stream", "/stream?access_token=user:alice", "", 401},
		"two tokens":                      {"", "", asAlice + asAlice, 401},
		"body":                            {"", "", asAlice + "Content-Length: 5\r\n", 400},
		"chunked body":                    {"", "", asAlice + "Transfer-Encoding: chunked\r\n", 400},
		"bare LF":                         {"", "", asAlice + "X-A: b\nX-B: c\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			e := &edge{Server: e.Server, t: t, http: e.http}
			c := e.dialFrom("127.0.0.1")
			text := strings.Replace(strings.ReplaceAll(goodHandshake, "HOST", e.Addr()), "\r\n\r\n", "\r\n"+row.lines+"\r\n", 1)
			if row.old != "" {
				text = strings.Replace(text, row.old, row.with, 1)
			}
			c.write([]byte(text))
			resp := c.response()
			if resp.StatusCode != row.status {
				t.Fatalf("%s, want %d", resp.Status, row.status)
			}
			if resp.StatusCode == http.StatusUpgradeRequired && resp.Header.Get("Sec-WebSocket-Version") != "13" {
				t.Errorf("426 with %v", resp.Header)
			}
			if resp.StatusCode != http.StatusSwitchingProtocols {
				tellsNothing(t, answerOf(t, resp))
				if b, err := c.r.ReadByte(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the connection goes on: byte %x, %v", b, err)
				}
			}
		})
	}
}

// TestFaults_WebSocketFrames says to /stream what nobody should. Each has an error with this code, or ends the connection with this one.
func TestFaults_WebSocketFrames(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	alice, bob := fresh("alice"), fresh("bob")
	id := e.group(alice, bob)
	e.post(alice, id, "the only one")
	send := func(members string) string {
		return `{"type":"send","id":"r","chatId":"` + id + `","clientMessageId":"CMID","text":"x"` + members + `}`
	}
	ack := func(seq string) string { return `{"type":"ack","id":"r","chatId":"` + id + `","seq":` + seq + `}` }
	history := func(cursor string) string {
		return `{"type":"history","id":"r","chatId":"` + id + `","cursor":` + cursor + `}`
	}
	rows := map[string]struct {
		frame string
		code  string
		close int
	}{
		"clientMessageId is empty":       {strings.Replace(send(""), "CMID", "", 1), "bad_request", 0},
		"clientMessageId of 65":          {strings.Replace(send(""), "CMID", strings.Repeat("c", 65), 1), "bad_request", 0},
		"clientMessageId with NUL":       {strings.Replace(send(""), "CMID", `\u0000`, 1), "bad_request", 0},
		"clientMessageId of 60 KB":       {strings.Replace(send(""), "CMID", strings.Repeat("c", 60_000), 1), "bad_request", 0},
		"clientMessageId of 1 MB":        {strings.Replace(send(""), "CMID", strings.Repeat("c", 1<<20), 1), "", closeTooBig},
		"50 MB of text":                  {send(`,"x":"` + strings.Repeat("x", 50<<20) + `"`), "", closeTooBig},
		"nesting of 10,000":              {send(`,"x":` + strings.Repeat("[", 10_000)), "bad_request", closeBadFrame},
		"nesting of 33":                  {send(`,"x":` + strings.Repeat("[", 33) + strings.Repeat("]", 33)), "bad_request", closeBadFrame},
		"chatId twice":                   {send(`,"chatId":"other"`), "bad_request", closeBadFrame},
		"lone surrogate":                 {send(`,"x":"\udc00"`), "bad_request", closeBadFrame},
		"number without an end":          {send(`,"x":1e`), "bad_request", closeBadFrame},
		"two objects":                    {`{"type":"ack"}{"type":"ack"}`, "bad_request", closeBadFrame},
		"nothing":                        {``, "bad_request", closeBadFrame},
		"5,000 members":                  {`{"type":"ack"` + strings.Repeat(`,"a":1`, 5000) + `}`, "bad_request", closeBadFrame},
		"type is an object":              {`{"id":"r","type":{}}`, "bad_request", 0},
		"id is an array":                 {`{"id":["r"],"type":"ack"}`, "bad_request", 0},
		"id of 129":                      {`{"id":"` + strings.Repeat("r", 129) + `","type":"ack"}`, "bad_request", 0},
		"ack 2^64-1":                     {ack("18446744073709551615"), "bad_request", 0},
		"ack 1e308":                      {ack("1e308"), "bad_request", 0},
		"ack 1e400":                      {ack("1e400"), "bad_request", 0},
		"ack 1.0":                        {ack("1.0"), "bad_request", 0},
		"ack \"1\"":                      {ack(`"1"`), "bad_request", 0},
		"ack null":                       {ack("null"), "bad_request", 0},
		"ack -9223372036854775808":       {ack("-9223372036854775808"), "bad_request", 0},
		"history -1":                     {history("-1"), "bad_request", 0},
		"history 1e308":                  {history("1e308"), "bad_request", 0},
		"history \"1\"":                  {history(`"1"`), "bad_request", 0},
		"history 2^63":                   {history("9223372036854775808"), "bad_request", 0},
		"history with limit 1e9":         {history(`1,"limit":1e9`), "bad_request", 0},
		"seen beyond":                    {send(`,"seen":18446744073709551616`), "bad_request", 0},
		"a second hello for another":     {`{"type":"hello","id":"r","deviceId":"d2","token":"user:` + bob + `"}`, "bad_request", 0},
		"a type in another case":         {strings.Replace(send(""), "send", "SEND", 1), "bad_request", 0},
		"a frame of the server's":        {`{"type":"message","id":"r","chatId":"` + id + `","senderId":"` + bob + `","text":"x","sequenceNumber":2}`, "bad_request", 0},
		"a receipt of the server's":      {`{"type":"receipt","id":"r","chatId":"` + id + `","userId":"` + bob + `","readUpTo":1}`, "bad_request", 0},
		"a chat id with a path":          {strings.Replace(send(""), id, "../"+id, 1), "bad_request", 0},
		"a chat id with a right-to-left": {strings.Replace(send(""), id, `\u202e`+id, 1), "bad_request", 0},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			e := &edge{Server: e.Server, t: t, http: e.http}
			d := e.dial(alice)
			go func() { _ = d.ws.Write(t.Context(), 1, []byte(row.frame)) }() // the edge may stop reading before the end
			if row.code != "" {
				if m := d.awaitType("error"); m["code"] != row.code {
					t.Errorf("%v", m)
				}
			}
			if row.close != 0 {
				if code := d.awaitClose(); code != row.close {
					t.Errorf("closed with %d", code)
				}
				return
			}
			d.quiet("it went on to a send", func(m map[string]any) bool { return m["type"] == "sent" })
		})
	}
	if list := e.must(alice, "GET", "/chats/"+id+"/messages", "", 200).json()["messages"].([]any); len(list) != 1 {
		t.Errorf("%d messages are stored", len(list))
	}
}

// TestFaults_WebSocketIdentity names others in frames. Who speaks is the token's to say.
func TestFaults_WebSocketIdentity(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	alice, bob := fresh("alice"), fresh("bob")
	id := e.group(alice, bob)
	d := e.dial(alice)
	asBob := `,"userId":"` + bob + `","senderId":"` + bob + `","sender":"` + bob + `","from":"` + bob + `","token":"user:` + bob + `","__proto__":{"senderId":"` + bob + `"}`
	d.send(`{"type":"send","id":1,"chatId":"` + id + `","clientMessageId":"c1","text":"hi"` + asBob + `}`)
	if sent := d.awaitType("sent"); number(sent["sequenceNumber"]) != 1 {
		t.Errorf("sent %v", sent)
	}
	if m := d.awaitType("message"); m["senderId"] != alice {
		t.Errorf("message %v", m)
	}
	for _, kind := range []string{"ack", "read"} {
		d.send(`{"type":"` + kind + `","id":2,"chatId":"` + id + `","seq":1` + asBob + `}`)
		if r := d.awaitType("receipt"); r["userId"] == bob {
			t.Errorf("%s made the receipt %v", kind, r)
		}
	}
	b := e.dial(bob)
	d.send(`{"type":"typing","chatId":"` + id + `"` + asBob + `}`)
	if m := b.awaitType("typing"); m["userId"] != alice {
		t.Errorf("typing %v", m)
	}
}

// TestFaults_WebSocketTokenEnds has a token that expires while its user is connected, on both kinds of stream and by the real clock.
func TestFaults_WebSocketTokenEnds(t *testing.T) {
	e := openEdge(t, startCluster(t, 1), func(c *Config) {
		c.Limits.TokenSweepInterval = 10 * time.Millisecond
		c.NoAuth = false
	})
	user := fresh("alice")
	over := time.Now().Add(2*time.Second - tokenLeeway) // it is over already, but for the clocks' sake
	token := signed(t, jwt.SigningMethodHS256, testSecret, jwt.MapClaims{"sub": user, "exp": over.Unix()}, nil)
	header := http.Header{"Authorization": {"Bearer " + token}}
	d, status := e.tryDial("/stream", header)
	if d == nil {
		t.Fatal(status)
	}
	d.hello("phone", "")
	if code := d.awaitClose(); code != closeTokenExpired {
		t.Errorf("closed with %d", code)
	}
	if _, status := e.tryDial("/stream", header); status != http.StatusUnauthorized {
		t.Errorf("coming again with it: %d", status)
	}
}
