package push

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// browser is a Chromium that is driven by the DevTools protocol over a pair of pipes.
type browser struct {
	t      *testing.T
	in     *os.File
	said   chan message
	last   int       // id of the last call
	events []message // that nobody has awaited yet
}

// message is an answer or an event of the protocol.
type message struct {
	ID     int
	Method string
	Params json.RawMessage
	Result json.RawMessage
	Error  struct{ Message string }
}

// findChromium skips the test where there is none. The headless shell will not do: it has no push.
func findChromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("SKIPPED for want of chromium (scripts/test-deps.sh installs it)")
	return ""
}

// startBrowser starts a browser with a profile of its own; it ends with the test.
func startBrowser(t *testing.T, chromium string) *browser {
	t.Helper()
	theirIn, in := pipe(t)
	out, theirOut := pipe(t)
	profile, err := os.MkdirTemp("", "quorate-push-")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server", "--remote-debugging-pipe",
		"--user-data-dir="+profile, "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}        // 3 and 4
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it has many children, which end with it
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	b := &browser{t: t, in: in, said: make(chan message)}
	go b.listen(out)
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait() // it was killed
		out.Close()
		for range b.said { // until listen is done
		}
		if t.Failed() {
			t.Logf("the browser said: %s", said.String())
		}
		remove(t, profile)
	})
	return b
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// remove removes a profile, into which the browser's last children write a moment longer.
func remove(t *testing.T, profile string) {
	for deadline := time.Now().Add(patience); os.RemoveAll(profile) != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("%s cannot be removed", profile)
			return
		}
	}
}

// listen hands on what the browser says until it ends.
func (b *browser) listen(from *os.File) {
	defer close(b.said)
	for in := bufio.NewReader(from); ; {
		text, err := in.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(text[:len(text)-1], &m) == nil {
			b.said <- m
		}
	}
}

// call asks the browser, or the page of a session, for something; the answer's result goes into into, unless that is nil.
func (b *browser) call(session, method string, params map[string]any, into any) {
	b.t.Helper()
	b.last++
	ask := map[string]any{"id": b.last, "method": method, "params": params}
	if session != "" {
		ask["sessionId"] = session
	}
	text, err := json.Marshal(ask)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		b.t.Fatal(err)
	}
	m := b.read("an answer to "+method, func(m *message) bool { return m.ID == b.last })
	if m.Error.Message != "" {
		b.t.Fatalf("%s: %s", method, m.Error.Message)
	}
	if into != nil {
		b.decode(m.Result, into)
	}
}

// await waits for an event whose parameters, decoded into into, suit; it may have come before.
func (b *browser) await(method string, into any, suits func() bool) {
	b.t.Helper()
	fits := func(m *message) bool {
		if m.Method != method {
			return false
		}
		b.decode(m.Params, into)
		return suits()
	}
	for i := range b.events {
		if fits(&b.events[i]) {
			b.events = slices.Delete(b.events, i, i+1)
			return
		}
	}
	b.read("the event "+method, fits)
}

// read takes what the browser says until one suits, and keeps the events before it.
func (b *browser) read(what string, suits func(m *message) bool) message {
	b.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case m, open := <-b.said:
			if !open {
				b.t.Fatalf("the browser ended before %s", what)
			}
			if suits(&m) {
				return m
			}
			if m.ID == 0 && len(b.events) < 1000 {
				b.events = append(b.events, m)
			}
		case <-timeout:
			b.t.Fatalf("%s did not come", what)
		}
	}
}

func (b *browser) decode(text json.RawMessage, into any) {
	b.t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		b.t.Fatalf("%s: %v", text, err)
	}
}

// open opens a page that may show notifications, and gives its session once it is loaded.
func (b *browser) open(origin string) (page string) {
	b.t.Helper()
	b.call("", "Browser.grantPermissions", map[string]any{"origin": origin, "permissions": []string{"notifications"}}, nil)
	var target struct{ TargetID string }
	b.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct{ SessionID string }
	b.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	page = session.SessionID
	for _, domain := range []string{"Page", "Runtime", "ServiceWorker"} {
		b.call(page, domain+".enable", map[string]any{}, nil)
	}
	b.call(page, "Page.navigate", map[string]any{"url": origin + "/"}, nil)
	b.await("Page.loadEventFired", &struct{}{}, func() bool { return true })
	return page
}

// evaluate gives the text that an expression, or the promise that it is, comes to in a page.
func (b *browser) evaluate(page, expression string) string {
	b.t.Helper()
	var got struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	b.call(page, "Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &got)
	if got.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, got.ExceptionDetails)
	}
	text, _ := got.Result.Value.(string)
	return text
}
