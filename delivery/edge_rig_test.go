package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/quorate/quorate/sequencer/wire"
)

// patience is how long a test waits for anything that must come.
const patience = 30 * time.Second

func testLogger() *slog.Logger {
	level := slog.LevelError
	if os.Getenv("QUORATE_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// edge is a Server for tests with users who need no tokens; it ends with the test.
type edge struct {
	*Server
	t    testing.TB
	http *http.Client
}

// openEdge opens an edge on a cluster and waits until it takes sessions.
func openEdge(t testing.TB, sequencers []string, change ...func(*Config)) *edge {
	t.Helper()
	cfg := Config{
		Addr: "127.0.0.1:0", Sequencers: sequencers, JWTSecret: testSecret, NoAuth: true, Logger: testLogger(),
		Limits: Limits{SendsPerSecond: 1e6, SendBurst: 1e6, ReceiptDelay: 10 * time.Millisecond},
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{Server: s, t: t, http: &http.Client{Transport: &http.Transport{}, Timeout: patience}}
	t.Cleanup(func() {
		e.http.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("close the edge: %v", err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return e
}

// answer is what REST said.
type answer struct {
	status int
	header http.Header
	body   string
}

// json gives the body as an object.
func (a answer) json() (m map[string]any) {
	d := json.NewDecoder(strings.NewReader(a.body))
	d.UseNumber()
	_ = d.Decode(&m)
	return m
}

func (a answer) code() string { c, _ := a.json()["code"].(string); return c }

// call makes a REST request as user; headers come in pairs.
func (e *edge) call(user, method, path, body string, headers ...string) answer {
	e.t.Helper()
	r, err := http.NewRequest(method, "http://"+e.Addr()+path, bytes.NewBufferString(body))
	if err != nil {
		e.t.Fatal(err)
	}
	if user != "" {
		r.Header.Set("Authorization", "Bearer user:"+user)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := e.http.Do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	return answerOf(e.t, resp)
}

// answerOf reads a response to its end.
func answerOf(t testing.TB, resp *http.Response) answer {
	t.Helper()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// must is call that has to give one of the statuses.
func (e *edge) must(user, method, path, body string, statuses ...int) answer {
	e.t.Helper()
	a := e.call(user, method, path, body)
	for _, status := range statuses {
		if a.status == status {
			return a
		}
	}
	e.t.Fatalf("%s %s %s: %d %s", method, path, body, a.status, a.body)
	return a
}

// group makes a group chat, with an id that no other test uses, and returns the id.
func (e *edge) group(members ...string) string {
	e.t.Helper()
	list, _ := json.Marshal(members)
	a := e.must(members[0], "POST", "/chats", `{"type":"group","members":`+string(list)+`}`, 201)
	return a.json()["chatId"].(string)
}

// listed is group that waits until the chat is in the lists of all, which their own groups have: what looks for a user's chats finds it.
func (e *edge) listed(members ...string) string {
	e.t.Helper()
	id := e.group(members...)
	for _, user := range members {
		eventually(e.t, "the chat to be in the list of "+user, func() bool {
			lines, _, err := e.seq.UserChats(context.Background(), user, "", 100)
			return err == nil && slices.ContainsFunc(lines, func(c wire.UserChat) bool { return c.ChatID == id })
		})
	}
	return id
}

var lastID atomic.Int64

// fresh gives an id that no other call gives.
func fresh(prefix string) string { return fmt.Sprintf("%s%d", prefix, lastID.Add(1)) }

// post sends a message over REST and returns its seq.
func (e *edge) post(user, chat, text string) int64 {
	e.t.Helper()
	body, _ := json.Marshal(map[string]any{"text": text, "clientMessageId": fresh("c")})
	return number(e.must(user, "POST", "/chats/"+chat+"/messages", string(body), 201).json()["sequenceNumber"])
}

func number(v any) int64 {
	n, ok := v.(json.Number)
	if !ok {
		return -1
	}
	i, err := n.Int64()
	if err != nil {
		return -1
	}
	return i
}

// device is one WebSocket client. It keeps every frame it got and has not been asked for.
type device struct {
	t      testing.TB
	ws     *websocket.Conn
	frames chan map[string]any
	closed chan struct{}
	err    error // of the read that ended it; valid when closed is closed
	kept   []map[string]any
	start  func() // begins to read; called at once but for slow clients
}

// dialPath opens a WebSocket as user on a path.
func (e *edge) dialPath(user, path string) *device {
	e.t.Helper()
	d, status := e.tryDial(path, http.Header{"Authorization": {"Bearer user:" + user}})
	if d == nil {
		e.t.Fatalf("dial %s: %d", path, status)
	}
	return d
}

// tryDial opens a WebSocket, or gives the status that refused it.
func (e *edge) tryDial(path string, header http.Header, protocols ...string) (*device, int) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ws, resp, err := websocket.Dial(ctx, "ws://"+e.Addr()+path, &websocket.DialOptions{
		HTTPClient: e.http, HTTPHeader: header, Subprotocols: protocols,
	})
	if err != nil {
		if resp == nil {
			e.t.Fatalf("dial %s: %v", path, err)
		}
		return nil, resp.StatusCode
	}
	ws.SetReadLimit(16 << 20)
	d := &device{t: e.t, ws: ws, frames: make(chan map[string]any, 1<<16), closed: make(chan struct{})}
	d.start = sync.OnceFunc(func() { go d.read() })
	if !strings.HasSuffix(path, "#slow") {
		d.start()
	}
	e.t.Cleanup(func() {
		_ = ws.CloseNow()
		d.start()
		<-d.closed
	})
	return d, 0
}

// slowDial says hello as user and then reads nothing until start is called.
func (e *edge) slowDial(user string) *device {
	e.t.Helper()
	d := e.dialPath(user, "/stream#slow")
	d.send(`{"type":"hello","deviceId":"slow"}`)
	eventually(e.t, "the slow client's session", func() bool {
		list := e.registry.sessions(user)
		if len(list) != 1 {
			return false
		}
		list[0].mu.Lock()
		defer list[0].mu.Unlock()
		return list[0].state == stateLive
	})
	return d
}

func (d *device) read() {
	defer close(d.closed)
	for {
		_, data, err := d.ws.Read(context.Background())
		if err != nil {
			d.err = err
			return
		}
		var m map[string]any
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		if err := dec.Decode(&m); err != nil {
			d.err = fmt.Errorf("frame %q: %w", data, err)
			return
		}
		d.frames <- m
	}
}

// send sends a frame.
func (d *device) send(text string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := d.ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		d.t.Fatalf("send %.100s: %v", text, err)
	}
}

// await returns the next frame that fits, and keeps the others for later calls.
func (d *device) await(what string, fits func(map[string]any) bool) map[string]any {
	d.t.Helper()
	for i, m := range d.kept {
		if fits(m) {
			d.kept = append(d.kept[:i:i], d.kept[i+1:]...)
			return m
		}
	}
	timeout := time.After(patience)
	for {
		select {
		case m := <-d.frames:
			if fits(m) {
				return m
			}
			d.kept = append(d.kept, m)
		case <-timeout:
			d.t.Fatalf("no %s; kept %v", what, d.kept)
		case <-d.closed:
			if len(d.frames) == 0 {
				d.t.Fatalf("no %s before the end, %v; kept %v", what, d.err, d.kept)
			}
		}
	}
}

// awaitType is await of a type.
func (d *device) awaitType(kind string) map[string]any {
	d.t.Helper()
	return d.await(kind, func(m map[string]any) bool { return m["type"] == kind })
}

// hello says hello with cursors, which is a JSON object or "", and waits for the welcome.
func (d *device) hello(deviceID, cursors string) map[string]any {
	d.t.Helper()
	if cursors != "" {
		cursors = `,"cursors":` + cursors
	}
	d.send(`{"type":"hello","deviceId":"` + deviceID + `"` + cursors + `}`)
	return d.awaitType("welcome")
}

// dial opens /stream as user, says hello and waits for caughtUp.
func (e *edge) dial(user string) *device {
	e.t.Helper()
	d := e.dialPath(user, "/stream")
	d.hello(fresh("dev"), "")
	d.awaitType("caughtUp")
	return d
}

// awaitSeqs waits for the chat's messages first to last, and fails when they do not come in order, once each. type is not
// looked at, so it is for both kinds of stream.
func (d *device) awaitSeqs(chat string, first, last int64) {
	d.t.Helper()
	for want := first; want <= last; want++ {
		m := d.await(fmt.Sprintf("message %d of %s", want, chat), func(m map[string]any) bool {
			return m["chatId"] == chat && m["messageId"] != nil && (m["type"] == nil || m["type"] == "message")
		})
		if got := number(m["sequenceNumber"]); got != want {
			d.t.Fatalf("got message %d of %s, want %d", got, chat, want)
		}
	}
}

// quiet fails when a frame that fits has come by the time the edge has answered a request sent now: what was on the way
// before it would be here.
func (d *device) quiet(what string, fits func(map[string]any) bool) {
	d.t.Helper()
	id := fresh("probe")
	d.send(`{"type":"probe","id":"` + id + `"}`)
	d.await("the answer to a probe", func(m map[string]any) bool {
		return m["id"] == id || m["type"] == "error" && m["id"] == nil // of a chat's stream, which takes no frames
	})
	for _, m := range d.kept {
		if fits(m) {
			d.t.Fatalf("%s: %v", what, m)
		}
	}
}

// awaitClose waits for the end and returns the close code.
func (d *device) awaitClose() int {
	d.t.Helper()
	select {
	case <-d.closed:
		return int(websocket.CloseStatus(d.err))
	case <-time.After(patience):
		d.t.Fatal("the connection does not end")
		return 0
	}
}

// eventually polls for what no event tells.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
