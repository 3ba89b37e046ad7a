package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/quorate/quorate/delivery/frame"
)

func dialOther(t *testing.T, rig *engineRig) (*websocket.Conn, *probe) {
	t.Helper()
	ws, resp, err := websocket.Dial(t.Context(), "ws://"+rig.addr+"/stream", &websocket.DialOptions{
		Subprotocols: []string{"unknown", "quorate.v1"}, CompressionMode: websocket.CompressionContextTakeover,
	})
	if err != nil {
		t.Fatal(err)
	}
	if ws.Subprotocol() != "quorate.v1" || resp.Header.Get("Sec-WebSocket-Extensions") != "" {
		t.Fatalf("agreed on %q and extensions %q", ws.Subprotocol(), resp.Header.Get("Sec-WebSocket-Extensions"))
	}
	ws.SetReadLimit(1 << 20)
	t.Cleanup(func() { _ = ws.CloseNow() })
	return ws, want(t, rig.probes, "the connection")
}

func TestEngine_EchoesAnotherLibrary(t *testing.T) {
	rig := newEngineRig(t, engineConfig{})
	ws, p := dialOther(t, rig)
	for _, n := range []int{0, 1, 125, 126, 127, 4096, 65535, 65536} {
		text := strings.Repeat("ü", n/2) + strings.Repeat("x", n%2)
		if err := ws.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
		kind, got, err := ws.Read(t.Context())
		if err != nil || kind != websocket.MessageText || string(got) != text {
			t.Fatalf("echo of %d bytes: %v, %d bytes, %v", n, kind, len(got), err)
		}
	}
	w, err := ws.Writer(t.Context(), websocket.MessageText) // a writer sends one fragment for each full buffer
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Repeat("part ", 6000)
	for at := 0; at < len(parts); at += 500 {
		if _, err := w.Write([]byte(parts[at : at+500])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, got, err := ws.Read(t.Context()); err != nil || string(got) != parts {
		t.Fatalf("echo of fragments: %d bytes, %v", len(got), err)
	}
	ctx := ws.CloseRead(t.Context())
	if err := ws.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	if err := ws.Close(4999, "enough"); err != nil {
		t.Fatal(err)
	}
	if code := want(t, p.closed, "onClose"); code != 4999 {
		t.Fatalf("onClose got %d", code)
	}
}

func TestEngine_ClosesAnotherLibrary(t *testing.T) {
	rig := newEngineRig(t, engineConfig{})
	ws, p := dialOther(t, rig)
	p.c.send(frame.AppendText(nil, []byte("last")))
	p.c.close(closeDraining, retryReason(3*time.Second))
	p.c.close(closeNormal, "too late to count")
	if p.c.send(frame.AppendText(nil, []byte("late"))) {
		t.Error("send after close was taken")
	}
	if _, got, err := ws.Read(t.Context()); err != nil || string(got) != "last" {
		t.Fatalf("what was queued before close: %q, %v", got, err)
	}
	_, _, err := ws.Read(t.Context())
	var ce websocket.CloseError
	if !errors.As(err, &ce) || ce.Code != 4000 || ce.Reason != "retryAfterMs=3000" {
		t.Fatalf("close came as %v", err)
	}
	if code := want(t, p.closed, "onClose"); code != closeDraining {
		t.Fatalf("onClose got %d", code)
	}
}

func TestEngine_FramesRightBehindTheHandshake(t *testing.T) {
	rig := newEngineRig(t, engineConfig{})
	long := strings.Repeat("z", 3000)
	c, _ := rig.open(maskedText("one"), maskedText(long), maskedText("half")[:7])
	c.expect(frame.OpText, "one")
	c.expect(frame.OpText, long)
	c.write(maskedText("half")[7:])
	c.expect(frame.OpText, "half")
}

// TestEngine_BreachesAreAnsweredByTheirCode has what the list of TestAutobahn has not.
func TestEngine_BreachesAreAnsweredByTheirCode(t *testing.T) {
	rig := newEngineRig(t, engineConfig{})
	header := func(b ...byte) []byte { return append(b, 1, 2, 3, 4) }
	for _, c := range []struct {
		name string
		in   []byte
		code int
	}{
		{"unmasked", frame.AppendText(nil, []byte("x")), closeProtocol},
		{"length not in its shortest form", header(0x81, 0xFE, 0, 5), closeProtocol},
		{"2^40 bytes announced", header(0x81, 0xFF, 0, 0, 1, 0, 0, 0, 0, 0), closeTooBig},
		{"2^63 bytes announced", header(0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0), closeTooBig},
		{"pings without end", bytes.Repeat(maskedFrame(0x89, []byte("p")), 2000), closePolicy},
		{"empty fragments without end", append(maskedFrame(0x01, nil), bytes.Repeat(maskedFrame(0x00, nil), 2000)...), closePolicy},
		{"a message in fragments of a byte", append(maskedFrame(0x01, nil), bytes.Repeat(maskedFrame(0x00, []byte("x")), 2000)...), closePolicy},
		{"close with a code", maskedClose(4321, "bye"), 4321},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, p := rig.open(maskedText("before"), c.in, maskedText("after"))
			client.expect(frame.OpText, "before")
			client.expectClose(c.code)
			_ = client.tcp.Close()
			if code := want(t, p.closed, "onClose"); code != c.code {
				t.Fatalf("onClose got %d, the client %d", code, c.code)
			}
		})
	}
}

func TestEngine_PingsSilentClientsAndGivesThemUp(t *testing.T) {
	rig := newEngineRig(t, engineConfig{PingInterval: 60 * time.Millisecond, PongTimeout: time.Second})
	c, p := rig.open()
	for range 2 { // as long as it answers it stays
		c.expect(frame.OpPing, "")
		c.write(maskedFrame(0x8A, nil))
	}
	c.expect(frame.OpPing, "")
	if code := want(t, p.closed, "onClose"); code != closeAbnormal {
		t.Fatalf("onClose got %d", code)
	}
}

func TestEngine_MessageThatNeverEnds(t *testing.T) {
	rig := newEngineRig(t, engineConfig{MessageTimeout: 150 * time.Millisecond})
	c, p := rig.open(maskedText("half a message")[:9])
	c.expectClose(closePolicy)
	_ = c.tcp.Close()
	if code := want(t, p.closed, "onClose"); code != closePolicy {
		t.Fatalf("onClose got %d", code)
	}
}

func TestEngine_ClientThatDoesNotAnswerClose(t *testing.T) {
	rig := newEngineRig(t, engineConfig{CloseTimeout: 100 * time.Millisecond})
	c, p := rig.open()
	p.c.close(closeReplaced, "")
	c.expectClose(closeReplaced)
	if code := want(t, p.closed, "onClose"); code != closeReplaced {
		t.Fatalf("onClose got %d", code)
	}
}

func TestEngine_LostTCP(t *testing.T) {
	rig := newEngineRig(t, engineConfig{})
	c, p := rig.open()
	_ = c.tcp.SetLinger(0)
	_ = c.tcp.Close()
	if code := want(t, p.closed, "onClose"); code != closeAbnormal {
		t.Fatalf("onClose got %d", code)
	}
	if p.c.send(frame.AppendText(nil, []byte("x"))) {
		t.Error("send to a lost connection was taken")
	}
	_, p = rig.open()
	p.c.abort()
	if code := want(t, p.closed, "onClose"); code != closeAbnormal {
		t.Fatalf("onClose after abort got %d", code)
	}
	select {
	case <-p.closed:
		t.Fatal("onClose came twice")
	default:
	}
}

func TestEngine_PanicEndsOneConnection(t *testing.T) {
	rig := newEngineRig(t, engineConfig{})
	rig.onText = func(c *conn, payload []byte) {
		if string(payload) == "boom" {
			panic("boom")
		}
		echo(c, payload)
	}
	other, _ := rig.open()
	c, p := rig.open()
	c.write(maskedText("boom"))
	c.expectClose(closeInternal)
	_ = c.tcp.Close()
	if code := want(t, p.closed, "onClose"); code != closeInternal {
		t.Fatalf("onClose got %d", code)
	}
	other.write(maskedText("still here"))
	other.expect(frame.OpText, "still here")
}

func TestEngine_SendLaterWaitsForFlush(t *testing.T) {
	rig := newEngineRig(t, engineConfig{})
	c, p := rig.open()
	for i := range 100 {
		if !p.c.sendLater(frame.AppendText(nil, []byte(fmt.Sprint(i)))) {
			t.Fatal("refused")
		}
	}
	if p.c.buffered() == 0 {
		t.Fatal("nothing is waiting for flush")
	}
	before := rig.e.writes.Load()
	rig.e.flush([]*conn{p.c})
	if n := rig.e.writes.Load() - before; n != 2 { // 64 and 36
		t.Errorf("100 frames left in %d system calls", n)
	}
	for i := range 100 {
		c.expect(frame.OpText, fmt.Sprint(i))
	}
	if n := p.c.buffered(); n != 0 {
		t.Fatalf("%d buffered at the end", n)
	}
}

// TestEngine_ManySendersOneSlowReader drives the paths where the socket is full again and again, and looks for frames that are
// lost, doubled, torn or out of their sender's order.
func TestEngine_ManySendersOneSlowReader(t *testing.T) {
	const senders, each = 8, 600
	rig := newEngineRig(t, engineConfig{OutboxBytes: 64 << 20})
	c, p := rig.open()
	_ = c.tcp.SetReadBuffer(64 << 10) // with much less, TCP itself waits for timers
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(s), 1))
			for i := range each {
				text := fmt.Sprintf("%d %d %s", s, i, strings.Repeat("x", rng.IntN(6000)))
				if !p.c.send(frame.AppendText(nil, []byte(text))) {
					t.Error("refused")
				}
			}
		})
	}
	wg.Wait()
	if p.c.buffered() == 0 {
		t.Fatal("the socket was never full: this tests nothing")
	}
	next := [senders]int{}
	for range senders * each {
		_, payload, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		var s, i int
		if _, err := fmt.Sscanf(string(payload), "%d %d", &s, &i); err != nil || next[s] != i {
			t.Fatalf("sender %d: frame %d instead of %d, %v", s, i, next[s], err)
		}
		next[s]++
	}
	if n := p.c.buffered(); n != 0 {
		t.Fatalf("%d buffered at the end", n)
	}
}

func TestEngine_CloseTellsEveryoneAndLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("clients that answer", func(t *testing.T) {
		rig := newEngineRig(t, engineConfig{})
		var clients []*rawClient
		var probes []*probe
		for range 20 {
			c, p := rig.open()
			clients, probes = append(clients, c), append(probes, p)
		}
		done := make(chan error, 1)
		go func() { done <- rig.e.close(t.Context()) }()
		for _, c := range clients {
			if reason := c.expectClose(closeDraining); !strings.HasPrefix(reason, "retryAfterMs=") {
				t.Errorf("reason %q", reason)
			}
			c.write(maskedClose(closeDraining, ""))
		}
		if err := want(t, done, "close"); err != nil {
			t.Fatal(err)
		}
		for _, p := range probes {
			if code := want(t, p.closed, "onClose"); code != closeDraining {
				t.Fatalf("onClose got %d", code)
			}
		}
		if n := rig.e.conns(); n != 0 {
			t.Fatalf("%d connections counted after close", n)
		}
		if resp := rig.dial(goodHandshake).response(); resp.StatusCode != 503 {
			t.Fatalf("handshake after close: %s", resp.Status)
		}
	})
	t.Run("clients that do not", func(t *testing.T) {
		rig := newEngineRig(t, engineConfig{CloseTimeout: time.Hour})
		_, p := rig.open()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := rig.e.close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("close: %v", err)
		}
		want(t, p.closed, "onClose")
		if err := rig.e.close(t.Context()); err != nil {
			t.Fatalf("second close: %v", err)
		}
	})
}

// Clients of a server that stops come back to others one after the other, however many they are.
func TestDrainRetry(t *testing.T) {
	for n, longest := range map[int]time.Duration{0: drainRetryMin, 1: time.Second, 50_000: 11 * time.Second, 10_000_000: drainRetryMax} {
		buckets := map[time.Duration]int{}
		for range 1000 {
			d := drainRetry(n)
			if d < drainRetryMin || d > longest {
				t.Fatalf("%d clients: %s", n, d)
			}
			buckets[d.Truncate(time.Second)]++
		}
		if n == 50_000 && len(buckets) < 8 {
			t.Errorf("%d clients come back within %d seconds", n, len(buckets))
		}
	}
}
