package delivery

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// stubborn is a script that answers nothing but the basics until stop is closed.
func stubborn(t *testing.T, command string) (s *script, stop chan struct{}) {
	stop = make(chan struct{})
	s = newScript(t, func(args []string) any {
		if args[0] == command {
			<-stop
		}
		switch args[0] {
		case "USER.CHATS":
			return scriptList()
		case "CHAT.HEAD":
			return scriptHead(0, 0)
		case "CHAT.GET":
			return scriptChat(0, 1, "alice", "bob")
		case "CHAT.RANGE":
			return scriptPage(args, 0)
		}
		return fault("TRYAGAIN later")
	})
	t.Cleanup(func() {
		select {
		case <-stop:
		default:
			close(stop)
		}
	})
	return s, stop
}

func TestREST_NoAnswerInTime(t *testing.T) {
	s, _ := stubborn(t, "CHAT.APPEND")
	e := openEdge(t, []string{s.addr()}, quickFeed, func(c *Config) { c.Limits.RequestTimeout = 300 * time.Millisecond })
	a := e.call("alice", "POST", "/chats/c/messages", `{"text":"x","clientMessageId":"1"}`)
	if a.status != 504 || a.code() != "timeout_unknown" || a.json()["temporary"] != true || number(a.json()["retryAfterMs"]) <= 0 {
		t.Errorf("a send without an answer: %d %s", a.status, a.body)
	}
	s, _ = stubborn(t, "CHAT.RANGE")
	e = openEdge(t, []string{s.addr()}, quickFeed, func(c *Config) { c.Limits.RequestTimeout = 300 * time.Millisecond })
	a = e.call("alice", "GET", "/chats/c/messages", "")
	if a.status != 503 || a.code() != "unavailable" {
		t.Errorf("a read without an answer: %d %s", a.status, a.body)
	}
}

func TestREST_NoLeader(t *testing.T) {
	s, _ := stubborn(t, "none")
	e := openEdge(t, []string{s.addr()}, quickFeed, func(c *Config) { c.Limits.RequestTimeout = 300 * time.Millisecond })
	a := e.call("alice", "POST", "/chats/c/messages", `{"text":"x","clientMessageId":"1"}`)
	if a.status != 503 || a.code() != "unavailable" || number(a.json()["retryAfterMs"]) <= 0 || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestStream_RequestsInFlight(t *testing.T) {
	s, stop := stubborn(t, "CHAT.APPEND")
	e := openEdge(t, []string{s.addr()}, quickFeed, func(c *Config) { c.Limits.SessionRequests, c.Limits.RequestTimeout = 2, time.Second })
	d := e.dial("alice")
	for i := range 3 {
		d.send(fmt.Sprintf(`{"type":"send","id":%d,"chatId":"c","clientMessageId":"m%d","text":"x"}`, i, i))
	}
	m := d.awaitType("error")
	if number(m["id"]) != 2 || m["code"] != "overloaded" || m["temporary"] != true || number(m["retryAfterMs"]) <= 0 {
		t.Errorf("one too many: %v", m)
	}
	close(stop)
	for range 2 {
		if m := d.awaitType("error"); m["code"] != "unavailable" {
			t.Errorf("the others: %v", m)
		}
	}
}

func TestStream_RateLimit(t *testing.T) {
	now := time.Now()
	s, _ := stubborn(t, "none")
	e := openEdge(t, []string{s.addr()}, quickFeed, func(c *Config) {
		c.Limits.SendsPerSecond, c.Limits.SendBurst = 20, 1
		c.Clock = func() time.Time { return now }
		c.Limits.RequestTimeout = 300 * time.Millisecond
	})
	d := e.dial("alice")
	d.send(`{"type":"send","id":1,"chatId":"c","clientMessageId":"1","text":"x"}`)
	d.send(`{"type":"send","id":2,"chatId":"c","clientMessageId":"2","text":"x"}`)
	m := d.await("an error", func(m map[string]any) bool { return number(m["id"]) == 2 })
	if m["code"] != "rate_limited" || number(m["retryAfterMs"]) != 50 {
		t.Errorf("%v", m)
	}
}

// TestStream_HelloStorm has more hellos than may wait: those that are too many are told when to come back.
func TestStream_HelloStorm(t *testing.T) {
	s, stop := stubborn(t, "USER.CHATS")
	e := openEdge(t, []string{s.addr()}, quickFeed, func(c *Config) { c.Limits.Loading, c.Limits.LoadQueue = 1, 1 })
	var all []*device
	for i := range 4 {
		d := e.dialPath(fmt.Sprintf("user%d", i), "/stream")
		d.send(`{"type":"hello","deviceId":"d"}`)
		all = append(all, d)
	}
	turned := 0
	eventually(t, "two to be turned away", func() bool {
		turned = 0
		for _, d := range all {
			select {
			case <-d.closed:
				turned++
			default:
			}
		}
		return turned == 2
	})
	close(stop)
	for _, d := range all {
		select {
		case <-d.closed:
			reason := d.err.Error()
			if websocket.CloseStatus(d.err) != closeOverloaded || !strings.Contains(reason, "retryAfterMs=") {
				t.Errorf("turned away with %v", d.err)
			}
		default:
			d.awaitType("welcome")
		}
	}
}

func TestHTTP_HostileHeads(t *testing.T) {
	s, _ := stubborn(t, "none")
	e := openEdge(t, []string{s.addr()}, quickFeed, func(c *Config) { c.Limits.HeaderTimeout = 200 * time.Millisecond })
	head := "GET /healthz HTTP/1.1\r\nHost: x\r\n"
	for name, row := range map[string]struct{ request, status string }{
		"large header":      {head + "X: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "431"},
		"many headers":      {head + strings.Repeat("X: y\r\n", 3) + manyHeaders(200) + "\r\n", "431"},
		"no host":           {"GET /healthz HTTP/1.1\r\n\r\n", "400"},
		"two hosts":         {head + "Host: y\r\n\r\n", "400"},
		"two lengths":       {head + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "400"},
		"length with plus":  {head + "Content-Length: +5\r\n\r\n", "400"},
		"NUL in a header":   {head + "X: a\x00b\r\n\r\n", "400"},
		"space in a name":   {head + "X y: z\r\n\r\n", "400"},
		"HTTP/9.9":          {"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n", "505"},
		"a good one":        {head + "\r\n", "200"},
		"never ends (slow)": {head, ""},
	} {
		c, err := net.Dial("tcp", e.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		go func() { _, _ = io.WriteString(c, row.request) }() // refused while it is written, perhaps
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		switch {
		case row.status == "" && err == nil && resp.StatusCode != 408:
			t.Errorf("%s: %s", name, resp.Status)
		case row.status != "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case row.status != "" && !strings.HasPrefix(resp.Status, row.status):
			t.Errorf("%s: %s, want %s", name, resp.Status, row.status)
		}
		if err == nil {
			_ = resp.Body.Close()
		}
		_ = c.Close()
	}
}

func manyHeaders(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "X-%d: y\r\n", i)
	}
	return b.String()
}
