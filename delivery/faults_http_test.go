package delivery

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// raw sends bytes as they are over a fresh connection, and gives the answers up to the end of the stream. The client ends its half
// unless it has asked the edge to close: a client that has gone is not waited for.
func (e *edge) raw(text string) (answers []answer) {
	e.t.Helper()
	c := e.dialFrom("127.0.0.1")
	c.deadline()
	go func() {
		_, _ = io.WriteString(c.tcp, text) // the edge may stop reading before the end, and says why
		if !strings.Contains(text, "Connection: close") {
			_ = c.tcp.CloseWrite()
		}
	}()
	for {
		resp, err := http.ReadResponse(c.r, nil)
		if err != nil {
			if ended := errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET); !ended {
				e.t.Errorf("%.60q: %v", text, err)
			}
			return answers
		}
		body, _ := io.ReadAll(resp.Body) // cut short by a reset where the edge did not read to the end
		answers = append(answers, answer{resp.StatusCode, resp.Header, string(body)})
	}
}

// TestFaults_HTTPHeads sends requests that are not written as RFC 9112 has it, or are too large. Each has a request behind it, which must
// not be answered: nobody knows where it begins.
func TestFaults_HTTPHeads(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	const next = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	const chunks = "5\r\nhello\r\n0\r\n\r\n"
	get := func(lines ...string) string {
		return "GET /healthz HTTP/1.1\r\nHost: x\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
	}
	post := func(body string, lines ...string) string {
		return "POST /chats HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer user:alice\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n" + body
	}
	many := strings.TrimSuffix(strings.Repeat("X-A: b\r\n", 20_000), "\r\n")
	for name, row := range map[string]struct {
		request  string
		statuses []int // the first of which is the one that is best; 0 is an end without an answer
	}{
		"length and chunked":            {post(chunks, "Content-Length: 5", "Transfer-Encoding: chunked"), []int{400}},
		"chunked and length":            {post(chunks, "transfer-encoding: chunked", "content-length: 0"), []int{400}},
		"two lengths":                   {post("hello!", "Content-Length: 5", "Content-Length: 6"), []int{400}},
		"the same length twice":         {post("hello", "Content-Length: 5", "Content-Length: 5"), []int{400}},
		"length with a sign":            {post("hello", "Content-Length: +5"), []int{400}},
		"length as a list":              {post("hello", "Content-Length: 5, 5"), []int{400}},
		"negative length":               {post("hello", "Content-Length: -1"), []int{400}},
		"length of 20 digits":           {post("hello", "Content-Length: 99999999999999999999"), []int{400}},
		"hexadecimal length":            {post("hello", "Content-Length: 0x5"), []int{400}},
		"empty length":                  {post("hello", "Content-Length:"), []int{400}},
		"length with an underscore":     {post("hello", "Content-Length: 1_0"), []int{400}},
		"length hidden by zeros":        {post("hello", "Content-Length: "+strings.Repeat("0", 100)+"5"), []int{400}},
		"two Hosts":                     {get("Host: y"), []int{400}},
		"no Host":                       {"GET /healthz HTTP/1.1\r\n\r\n", []int{400}},
		"Host with a path":              {"GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n", []int{400}},
		"space before the colon":        {post(chunks, "Transfer-Encoding : chunked"), []int{400}},
		"unknown encoding":              {post(chunks, "Transfer-Encoding: xchunked"), []int{501}},
		"encoding with a tab":           {post(chunks, "Transfer-Encoding: \vchunked"), []int{400, 501}},
		"two encodings":                 {post(chunks, "Transfer-Encoding: chunked", "Transfer-Encoding: identity"), []int{501, 400}},
		"list of encodings":             {post(chunks, "Transfer-Encoding: gzip, chunked"), []int{501}},
		"chunk size with a sign":        {post("+5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), []int{400}},
		"chunk size beyond 64 bits":     {post("fffffffffffffffff\r\nhello", "Transfer-Encoding: chunked"), []int{400}},
		"NUL in a name":                 {get("X-\x00: a"), []int{400}},
		"NUL in a value":                {get("X-A: a\x00b"), []int{400}},
		"CR in a value":                 {get("X-A: a\rb"), []int{400}},
		"space in a name":               {get("X A: b"), []int{400}},
		"line without a colon":          {get("nonsense"), []int{400}},
		"empty name":                    {get(": a"), []int{400}},
		"folded line":                   {get("X-A: a", " b"), []int{400}},
		"folded length":                 {post("hello", "Content-Length:", " 5"), []int{400}},
		"folded first line":             {"GET /healthz HTTP/1.1\r\n Host: x\r\n\r\n", []int{400}},
		"lines end with LF alone":       {"GET /healthz HTTP/1.1\nHost: x\n\n", []int{400}},
		"one line ends with LF alone":   {"GET /healthz HTTP/1.1\r\nHost: x\nX-A: b\r\n\r\n", []int{400}},
		"HTTP/9.9":                      {"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n", []int{505}},
		"HTTP/2 without asking":         {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{505, 400}},
		"no version":                    {"GET /healthz\r\n\r\n", []int{400}},
		"lower case version":            {"GET /healthz http/1.1\r\nHost: x\r\n\r\n", []int{400}},
		"two spaces":                    {"GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n", []int{400}},
		"space in the path":             {"GET /heal thz HTTP/1.1\r\nHost: x\r\n\r\n", []int{400}},
		"NUL in the path":               {"GET /heal\x00thz HTTP/1.1\r\nHost: x\r\n\r\n", []int{400}},
		"method that is no token":       {"G(T /healthz HTTP/1.1\r\nHost: x\r\n\r\n", []int{400}},
		"TLS":                           {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", []int{400}},
		"header of 2 MiB":               {get("X-A: " + strings.Repeat("a", 2<<20)), []int{431}},
		"20,000 headers":                {get(many), []int{431}},
		"URL of 64 KiB":                 {"GET /" + strings.Repeat("a", 64<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", []int{431, 414}},
		"head without an end":           {"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("b\r\nX-A: ", 10_000), []int{431}},
		"expectation nobody knows":      {post("hello", "Content-Length: 5", "Expect: 200-maybe"), []int{417}},
		"chunk extension of a megabyte": {post("5;"+strings.Repeat("a", 1<<20)+"\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), []int{400}},
	} {
		t.Run(name, func(t *testing.T) {
			e := &edge{Server: e.Server, t: t, http: e.http}
			got := e.raw(row.request + next)
			if len(got) != 1 {
				t.Fatalf("%d answers: %.300v", len(got), got)
			}
			if got[0].status != row.statuses[0] && (len(row.statuses) == 1 || got[0].status != row.statuses[1]) {
				t.Errorf("%d, want %v: %s", got[0].status, row.statuses, got[0].body)
			}
			tellsNothing(t, got[0])
		})
	}
	if got := e.raw(get("Connection: keep-alive") + next); len(got) != 2 || got[0].status != 200 || got[1].status != 200 {
		t.Errorf("two good ones: %v", got)
	}
	if got := e.raw(post(`{"type":"x"}`, "Content-Length: 12") + next); len(got) != 2 || got[1].status != 200 {
		t.Errorf("a body and a good one behind it: %v", got)
	}
	if got := e.raw(post("7\r\n{\"a\":1}\r\n0\r\n\r\n", "Transfer-Encoding: chunked") + next); len(got) != 1 || got[0].code() != "bad_request" || !strings.Contains(got[0].body, "type") {
		t.Errorf("a chunked body, which is read and ends the connection: %v", got)
	}
	if got := e.raw(get("Upgrade: websocket", "Connection: Upgrade") + next); len(got) != 1 || got[0].status != 200 {
		t.Errorf("an upgrade that is not taken, which ends the connection: %v", got)
	}
}

// tellsNothing fails when an answer shows more of the server than it has to.
func tellsNothing(t *testing.T, a answer) {
	t.Helper()
	for _, word := range []string{"goroutine", ".go:", "panic", "/root", "/home", "go1.", "127.0.0.1:", "runtime"} {
		if strings.Contains(a.body, word) {
			t.Errorf("the answer tells %q: %s", word, a.body)
		}
	}
	if a.header.Get("Server") != "" || a.header.Get("X-Powered-By") != "" {
		t.Errorf("the answer names the server: %v", a.header)
	}
}

// TestFaults_HTTPPaths asks for paths that are read one way here and another way elsewhere.
func TestFaults_HTTPPaths(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	alice := fresh("alice")
	id := e.group(alice)
	for path, status := range map[string]int{
		"/chats/../../x": 404, "/chats/..": 400, "/chats/.": 400, "/chats/%2e%2e": 400, "/chats/%2e%2e/messages": 400, "/chats/%2e": 400,
		"/chats/../healthz": 404, "/./healthz": 404, "//healthz": 404, "/healthz/": 404, "/healthz;a=b": 404, "/HEALTHZ": 404,
		"/chats/" + id + "%00": 400, "/chats/" + id + ";a=b": 400, "/chats/" + id + "%2fmessages": 400, "/chats/" + id + "%5c..": 400,
		"/chats/\u2025": 400, "/chats/%e2%80%a5": 400, "/chats/%c0%ae%c0%ae": 400, "/chats/%252e%252e": 400, "/chats/" + id + "%20": 400,
		"/chats/" + strings.Repeat("a", 10<<10): 400, "/chats/": 400, "/chats/" + id + "//messages": 404, "/chats/" + id + "%0d%0aX: y": 400,
		"/messages/" + id: 404, "/messages/" + id + ":0/receipts": 400, "/messages/" + id + ":-1/receipts": 400,
		"/messages/" + id + ":9223372036854775808/receipts": 400, "/messages/:1/receipts": 400, "/messages/" + id + ":1:1/receipts": 400,
		"/messages/" + id + "%3a1/receipts": 404, "http://elsewhere/chats/" + id: 200, "/chats/" + id + "#x": 400, "/chats/" + id: 200, "*": 404,
	} {
		got := e.raw("GET " + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer user:" + alice + "\r\nConnection: close\r\n\r\n")
		if len(got) != 1 || got[0].status != status {
			t.Errorf("%.80s: %.200v, want %d", path, got, status)
			continue
		}
		tellsNothing(t, got[0])
	}
}

// TestFaults_HTTPMethods asks for methods and origins that nobody is to have.
func TestFaults_HTTPMethods(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	alice := fresh("alice")
	id := e.group(alice)
	for _, path := range []string{"/chats", "/chats/" + id, "/chats/" + id + "/messages", "/chats/" + id + "/members", "/messages/" + id + ":1/read", "/stream", "/healthz"} {
		for _, method := range []string{"HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "CONNECT", "get", "PROPFIND"} {
			if method == "CONNECT" || method == "HEAD" && path == "/healthz" {
				continue
			}
			if a := e.call(alice, method, path, ""); a.status != 405 || a.header.Get("Allow") == "" {
				t.Errorf("%s %s: %d %s", method, path, a.status, a.body)
			}
		}
	}
	for _, header := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		if a := e.call(alice, "POST", "/chats/"+id, "{}", header, "GET"); a.status != 405 {
			t.Errorf("%s: %d %s", header, a.status, a.body)
		}
	}
	if a := e.call(alice, "POST", "/chats/"+id+"?_method=GET", "{}"); a.status != 405 {
		t.Errorf("_method: %d %s", a.status, a.body)
	}
	for _, origin := range []string{"https://evil.example", "null", "http://" + e.Addr(), "http://" + e.Addr() + ".evil.example"} {
		for _, method := range []string{"GET", "OPTIONS"} {
			a := e.call(alice, method, "/chats/"+id, "", "Origin", origin, "Access-Control-Request-Method", "GET")
			for name := range a.header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s from %s gets %s: %v", method, origin, name, a.header[name])
				}
			}
		}
	}
}

// TestFaults_HTTPMassAssignment sets what is not a client's to set. It is ignored.
func TestFaults_HTTPMassAssignment(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	alice, bob, eve := fresh("alice"), fresh("bob"), fresh("eve")
	chat := e.must(alice, "POST", "/chats", `{"type":"group","members":["`+bob+`"],"creator":"`+eve+`","role":"admin","lastSeq":99,"createdAt":"1970-01-01T00:00:00Z","version":7}`, 201).json()
	id := chat["chatId"].(string)
	if number(chat["lastSeq"]) != 0 || strings.HasPrefix(chat["createdAt"].(string), "1970") || len(chat["members"].([]any)) != 2 {
		t.Errorf("chat %v", chat)
	}
	m := e.must(alice, "POST", "/chats/"+id+"/messages", `{"text":"hi","clientMessageId":"c1","senderId":"`+bob+`","sender":"`+bob+
		`","sequenceNumber":7,"seq":7,"lamport":99,"sentAt":"1970-01-01T00:00:00Z","ts":0,"messageId":"x:7","status":"read","__proto__":{"senderId":"`+bob+`"}}`, 201).json()
	if m["senderId"] != alice || number(m["sequenceNumber"]) != 1 || number(m["lamport"]) != 1 || strings.HasPrefix(m["sentAt"].(string), "1970") || m["status"] != "sent" {
		t.Errorf("message %v", m)
	}
	e.must(bob, "POST", "/messages/"+id+":1/read", `{"userId":"`+alice+`","seq":99,"readAt":"1970-01-01T00:00:00Z"}`, 200)
	page := e.must(alice, "GET", "/messages/"+id+":1/receipts", "", 200).json()
	if list := page["receipts"].([]any); len(list) != 1 || list[0].(map[string]any)["userId"] != bob {
		t.Errorf("receipts %v", page)
	}
}

// TestFaults_HTTPForeign tries every route with the chat of others. There is no such chat.
func TestFaults_HTTPForeign(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	alice, eve := fresh("alice"), fresh("eve")
	id := e.group(alice)
	e.post(alice, id, "secret")
	answers := map[string]string{}
	for _, chat := range []string{id, "nochat"} {
		for _, row := range [][3]string{
			{"GET", "/chats/" + chat, ""},
			{"GET", "/chats/" + chat + "/messages", ""},
			{"POST", "/chats/" + chat + "/messages", `{"text":"x","clientMessageId":"c"}`},
			{"POST", "/chats/" + chat + "/members", `{"add":["` + eve + `"]}`},
			{"POST", "/messages/" + chat + ":1/read", ""},
			{"GET", "/messages/" + chat + ":1/receipts", ""},
		} {
			a := e.call(eve, row[0], row[1], row[2])
			if a.status != 404 || a.code() != "not_found" {
				t.Errorf("%s %s: %d %s", row[0], row[1], a.status, a.body)
			}
			answers[a.body] = row[1]
		}
		if d, status := e.tryDial("/chats/"+chat+"/stream", http.Header{"Authorization": {"Bearer user:" + eve}}); d != nil || status != 404 {
			t.Errorf("the stream of %s: %d", chat, status)
		}
	}
	if len(answers) != 1 {
		t.Errorf("the answers differ: %q", answers)
	}
}

// TestFaults_HTTPBodies sends bodies that are more than they seem.
func TestFaults_HTTPBodies(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	alice := fresh("alice")
	id := e.group(alice)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 4<<20))
	_ = z.Close()
	for _, encoding := range []string{"gzip", "deflate", "br", "gzip, identity", "zstd"} {
		if a := e.call(alice, "POST", "/chats/"+id+"/messages", bomb.String(), "Content-Encoding", encoding); a.status != 415 {
			t.Errorf("%s: %d %s", encoding, a.status, a.body)
		}
	}
	if a := e.call(alice, "POST", "/chats/"+id+"/messages", strings.Repeat(" ", 50<<20)); a.status != 413 {
		t.Errorf("50 MiB: %d %s", a.status, a.body)
	}
	// 200 goroutines send the same message: it is stored once.
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[string]int{}
	for range 200 {
		wg.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+e.Addr()+"/chats/"+id+"/messages", strings.NewReader(`{"text":"once","clientMessageId":"same"}`))
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("Authorization", "Bearer user:"+alice)
			resp, err := e.http.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			a := answerOf(t, resp)
			mu.Lock()
			defer mu.Unlock()
			got[fmt.Sprintf("%d %s", a.status, a.header.Get("Idempotency-Replayed"))]++
		})
	}
	wg.Wait()
	if got["201 "] != 1 || got["200 true"] != 199 {
		t.Errorf("the answers: %v", got)
	}
}

// drip writes a byte at a time until the connection ends, and returns when it has.
func drip(c *rawClient, text string) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		if _, err := c.tcp.Write([]byte{text[i%len(text)]}); err != nil {
			return
		}
		<-tick.C
	}
}

// TestFaults_HTTPSlow has clients that take their time. Each is cut, whatever it goes on to do.
func TestFaults_HTTPSlow(t *testing.T) {
	slow := func(change func(*Limits)) func(*Config) { return func(c *Config) { change(&c.Limits) } }
	gone := func(e *edge) {
		e.t.Helper()
		eventually(e.t, "the end of the connection", func() bool { return e.addresses.requests.Load() == 0 })
	}
	head := "GET /stream HTTP/1.1\r\nHost: x\r\nX-A: "
	t.Run("head", func(t *testing.T) {
		e := openEdge(t, startCluster(t, 1), slow(func(l *Limits) { l.HeaderTimeout = 200 * time.Millisecond }))
		c := e.dialFrom("127.0.0.1")
		c.write([]byte(head))
		drip(c, "a")
		gone(e)
	})
	t.Run("head behind a good request", func(t *testing.T) {
		e := openEdge(t, startCluster(t, 1), slow(func(l *Limits) { l.HeaderTimeout = 200 * time.Millisecond }))
		c := e.dialFrom("127.0.0.1")
		c.write([]byte("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))
		if resp := c.response(); resp.StatusCode != 200 {
			t.Fatal(resp.Status)
		}
		c.write([]byte(head))
		drip(c, "a")
		gone(e)
	})
	t.Run("nothing at all", func(t *testing.T) {
		e := openEdge(t, startCluster(t, 1), slow(func(l *Limits) { l.HeaderTimeout = 200 * time.Millisecond }))
		c := e.dialFrom("127.0.0.1")
		c.deadline()
		if b, err := c.r.ReadByte(); err == nil {
			t.Errorf("got byte %x", b)
		}
		gone(e)
	})
	t.Run("nothing more", func(t *testing.T) {
		e := openEdge(t, startCluster(t, 1), slow(func(l *Limits) { l.IdleTimeout = 100 * time.Millisecond }))
		c := e.dialFrom("127.0.0.1")
		c.write([]byte("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))
		_ = answerOf(t, c.response())
		if b, err := c.r.ReadByte(); err == nil {
			t.Errorf("got byte %x", b)
		}
		gone(e)
	})
	t.Run("body", func(t *testing.T) {
		e := openEdge(t, startCluster(t, 1), slow(func(l *Limits) { l.BodyTimeout = 300 * time.Millisecond }))
		c := e.dialFrom("127.0.0.1")
		c.write([]byte("POST /chats HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer user:alice\r\nContent-Length: 100000\r\n\r\n"))
		drip(c, "a")
		gone(e)
	})
	t.Run("reader", func(t *testing.T) {
		e := openEdge(t, startCluster(t, 1), slow(func(l *Limits) { l.WriteTimeout = 300 * time.Millisecond }))
		alice := fresh("alice")
		id := e.group(alice)
		for range 10 {
			e.post(alice, id, strings.Repeat("x", 16<<10))
		}
		e.http.CloseIdleConnections()
		gone(e)
		d := net.Dialer{Control: func(_, _ string, rc syscall.RawConn) error {
			return rc.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) })
		}}
		nc, err := d.DialContext(t.Context(), "tcp", e.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		c := &rawClient{t: t, tcp: nc.(*net.TCPConn), r: bufio.NewReader(nc)}
		ask := "GET /chats/" + id + "/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer user:" + alice + "\r\n\r\n"
		c.write([]byte(strings.Repeat(ask, 100))) // 16 MB of answers, which fill every buffer on the way
		eventually(t, "the connection", func() bool { return e.addresses.requests.Load() == 1 })
		gone(e)
	})
	t.Run("ranges", func(t *testing.T) {
		e := openEdge(t, startCluster(t, 1))
		a := e.call("alice", "GET", "/chats", "", "Range", "bytes=0-"+strings.Repeat(",5-", 2000)+"9")
		if a.status != 200 || a.header.Get("Content-Range") != "" {
			t.Errorf("%d %v", a.status, a.header)
		}
	})
}
