package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// What other people's clients see of an edge. Each peer plays the same part, in its own language under testdata/interop:
//
// It opens /stream with the subprotocols quorate.v1 and bearer.TOKEN and says hello. It sends a message; the other member of the chat
// reads it, and answers "reply to N". It reads that, and waits for the receipt of its own. It sends 16 KiB, a message in three fragments,
// and a ping. It closes with 1000. Then it comes again for each way to be closed: by what is no JSON, by a binary message, by a bad token.

// testimony is what a peer saw, as it tells it.
type testimony struct {
	Error          string
	Protocol       string
	Extensions     string
	User           string
	Sent           int64
	Reply          string
	Receipt        int64
	Large          int
	Fragments      string
	Pong           string
	Closes         struct{ Normal, BadFrame, Binary, BadToken int }
	OpensElsewhere bool
}

// scene is what a peer is given.
type scene struct {
	*edge
	url, user, chat, token string
}

// newScene has a chat of a new user with somebody who reads and answers.
func newScene(t *testing.T, change ...func(*Config)) *scene {
	t.Helper()
	e := openEdge(t, startCluster(t, 1), append(change, func(c *Config) { c.NoAuth = true })...)
	s := &scene{edge: e, url: "ws://" + e.Addr() + "/stream", user: fresh("peer")}
	friend := fresh("friend")
	s.chat = e.group(s.user, friend)
	var err error
	if s.token, err = SignToken(testSecret, s.user, time.Hour); err != nil {
		t.Fatal(err)
	}
	f := e.dial(friend)
	go s.answer(f)
	return s
}

// answer is the part of the other member, for as long as the connection lasts.
func (s *scene) answer(f *device) {
	for {
		var m map[string]any
		select {
		case m = <-f.frames:
		case <-f.closed:
			return
		}
		if m["type"] != "message" || m["senderId"] != s.user || m["clientMessageId"] != "n1" {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		seq := number(m["sequenceNumber"])
		for _, say := range []map[string]any{
			{"type": "read", "chatId": s.chat, "seq": seq},
			{"type": "send", "id": 1, "chatId": s.chat, "clientMessageId": "r1", "text": "reply to " + m["text"].(string)},
		} {
			if err := wsjson.Write(ctx, f.ws, say); err != nil {
				s.t.Error(err)
			}
		}
		cancel()
		return
	}
}

const interopText = "h\u00e9llo \u2713 \U0001f642"

// judge compares what a peer saw with its part. Browsers can neither fragment nor ping.
func (s *scene) judge(t *testing.T, saw testimony, browser bool) {
	t.Helper()
	want := testimony{
		Protocol: protocolV1, User: s.user, Sent: 1, Reply: "reply to " + interopText, Receipt: 1, Large: 16 << 10,
		Fragments: "in three \u2713 fragments", Pong: "are you there",
	}
	want.Closes.Normal, want.Closes.BadFrame, want.Closes.Binary, want.Closes.BadToken = closeNormal, closeBadFrame, closeUnsupported, closeUnauthenticated
	if browser {
		want.Fragments, want.Pong = "", ""
	}
	if saw != want {
		t.Errorf("the peer saw %+v\nwant %+v", saw, want)
	}
	stored := s.must(s.user, "GET", "/chats/"+s.chat+"/messages", "", 200).json()["messages"].([]any)
	texts := 3
	if !browser {
		texts++
	}
	if len(stored) != texts {
		t.Errorf("%d messages are stored, want %d", len(stored), texts)
	}
}

// run has a program play the part.
func (s *scene) run(t *testing.T, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "QUORATE_URL="+s.url, "QUORATE_TOKEN="+s.token, "QUORATE_CHAT="+s.chat, "NODE_PATH=/usr/share/nodejs")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = errors.New(err.Error() + ": " + string(exit.Stderr))
		}
		t.Fatal(err)
	}
	var saw testimony
	if err := json.Unmarshal(out, &saw); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.judge(t, saw, false)
}

// needs skips a test for what scripts/test-deps.sh could not install here.
func needs(t *testing.T, what string, probe ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), probe[0], probe[1:]...)
	cmd.Env = append(os.Environ(), "NODE_PATH=/usr/share/nodejs")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("SKIPPED for want of %s (scripts/test-deps.sh installs it): %v: %s", what, err, out)
	}
}

func TestInterop_NodeWS(t *testing.T) {
	needs(t, "node with ws", "node", "-e", "require('ws')")
	newScene(t).run(t, "node", filepath.Join("testdata", "interop", "peer.cjs"))
}

func TestInterop_PythonWebsockets(t *testing.T) {
	python := "/usr/bin/python3" // Debian's, which has Debian's packages
	needs(t, "python3-websockets", python, "-c", "import websockets")
	newScene(t).run(t, python, filepath.Join("testdata", "interop", "peer.py"))
}

// TestInterop_Chromium has a page of another origin play the part.
func TestInterop_Chromium(t *testing.T) {
	browser := ""
	for _, name := range []string{"chromium", "chromium-headless-shell", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil && browser == "" {
			browser = path
		}
	}
	if browser == "" {
		t.Skip("SKIPPED for want of chromium (scripts/test-deps.sh installs it)")
	}
	reports := make(chan testimony, 1)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/report" {
			http.ServeFile(w, r, filepath.Join("testdata", "interop", "page.html"))
			return
		}
		var saw testimony
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&saw); err != nil {
			saw.Error = err.Error()
		}
		reports <- saw
	}))
	defer site.Close()
	s := newScene(t, func(c *Config) { c.OriginAllow = []string{site.URL} })
	elsewhere := newScene(t)
	query := url.Values{"url": {s.url}, "token": {s.token}, "chat": {s.chat}, "elsewhere": {elsewhere.url}}
	defer startBrowser(t, browser, site.URL+"/page.html?"+query.Encode())()
	s.judge(t, want(t, reports, "the page's report"), true)
}

// startBrowser opens a page in a browser with a profile of its own, and gives what ends it.
func startBrowser(t *testing.T, browser, page string) (end func()) {
	t.Helper()
	profile, err := os.MkdirTemp("", "quorate-interop-")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server", "--user-data-dir="+profile, page)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it has many children, which end with it
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("the browser said: %s", said.String())
		}
		eventually(t, "the profile to be gone", func() bool { return os.RemoveAll(profile) == nil })
	}
}

// TestInterop_Coder plays the part by github.com/coder/websocket, as the other tests of this package do for a while each.
func TestInterop_Coder(t *testing.T) {
	s := newScene(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dial := func(protocols ...string) *device {
		d, status := s.tryDial("/stream", http.Header{}, protocols...)
		if d == nil {
			t.Fatal(status)
		}
		return d
	}
	var saw testimony
	d := dial(protocolV1, bearerProtocol+s.token)
	saw.Protocol = d.ws.Subprotocol()
	saw.User, _ = d.hello("go", "")["userId"].(string)
	d.awaitType("caughtUp")
	say := func(n string, text string) string {
		body, _ := json.Marshal(map[string]any{"type": "send", "id": n, "chatId": s.chat, "clientMessageId": n, "text": text})
		return string(body)
	}
	got := func(n string) string {
		m := d.await("message "+n, func(m map[string]any) bool { return m["type"] == "message" && m["clientMessageId"] == n })
		return m["text"].(string)
	}
	d.send(say("n1", interopText))
	saw.Sent = number(d.awaitType("sent")["sequenceNumber"])
	saw.Reply = got("r1")
	receipt := d.await("the receipt", func(m map[string]any) bool {
		return m["type"] == "receipt" && m["userId"] != s.user && number(m["readUpTo"]) == 1
	})
	saw.Receipt = number(receipt["readUpTo"])
	d.send(say("n2", strings.Repeat("x", 16<<10)))
	saw.Large = len(got("n2"))
	w, err := d.ws.Writer(ctx, websocket.MessageText)
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitAfterSeq(say("n3", "in three \u2713 fragments"), ":") {
		if _, err := io.WriteString(w, part+strings.Repeat(" ", 2000)); err != nil { // larger than the writer's buffer together
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	saw.Fragments = got("n3")
	if err := d.ws.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	saw.Pong = "are you there" // the library compares
	if err := d.ws.Close(websocket.StatusNormalClosure, "bye"); err != nil {
		t.Error(err)
	}
	saw.Closes.Normal = closeNormal // the library compares
	d = dial(protocolV1)
	d.send("not JSON")
	saw.Closes.BadFrame = d.awaitClose()
	d = dial(protocolV1)
	if err := d.ws.Write(ctx, websocket.MessageBinary, []byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	saw.Closes.Binary = d.awaitClose()
	d = dial(protocolV1)
	d.send(`{"type":"hello","deviceId":"go","token":"guess"}`)
	saw.Closes.BadToken = d.awaitClose()
	s.judge(t, saw, false)
}
