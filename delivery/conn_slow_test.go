package delivery

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/delivery/frame"
)

// fill sends numbered frames until the connection refuses one, and says how many it took.
func fill(t *testing.T, c *conn, from int) (next int) {
	t.Helper()
	for i := from; ; i++ {
		if !c.send(numbered(i)) {
			return i
		}
		if i-from > 100_000 {
			t.Fatal("the outbox has no bound")
		}
	}
}

func numbered(i int) []byte {
	return frame.AppendText(nil, []byte(fmt.Sprintf("%d %s", i, strings.Repeat("s", 1000))))
}

func expectNumbered(t *testing.T, c *rawClient, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		_, payload, err := c.read()
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		var got int
		if _, err := fmt.Sscanf(string(payload), "%d", &got); err != nil || got != i {
			t.Fatalf("frame %d instead of %d", got, i)
		}
	}
}

func TestConn_SlowClientIsBoundedAndDrains(t *testing.T) {
	const bound = 256 << 10
	rig := newEngineRig(t, engineConfig{OutboxBytes: bound})
	c, p := rig.open()
	taken := 0
	for round := range 3 {
		n := fill(t, p.c, taken)
		if got := p.c.buffered(); got > bound || got < bound/2 {
			t.Fatalf("%d bytes buffered, the bound is %d", got, bound)
		}
		if p.c.send(numbered(n)) || p.c.sendLater(numbered(n)) {
			t.Fatal("taken over the bound")
		}
		select {
		case <-p.drained:
			t.Fatal("drained with a full outbox")
		default:
		}
		expectNumbered(t, c, taken, n)
		want(t, p.drained, fmt.Sprintf("onDrained in round %d", round))
		taken = n
	}
	select {
	case <-p.drained:
		t.Fatal("onDrained came twice")
	default:
	}
}

func TestConn_AskDrained(t *testing.T) {
	rig := newEngineRig(t, engineConfig{OutboxBytes: 256 << 10})
	c, p := rig.open()
	p.c.askDrained()
	want(t, p.drained, "onDrained of an empty outbox")
	huge := make([]byte, 300<<10)
	if p.c.send(huge) {
		t.Fatal("more than the whole bound was taken")
	}
	want(t, p.drained, "onDrained after a send that never fits")
	n := fill(t, p.c, 0)
	want := func() { t.Helper(); want(t, p.drained, "onDrained of an outbox that was read") }
	p.c.askDrained()
	expectNumbered(t, c, 0, n)
	want()
}

func TestConn_ClientThatNeverReads(t *testing.T) {
	const bound = 128 << 10
	rig := newEngineRig(t, engineConfig{OutboxBytes: bound, StallTimeout: time.Second, CloseTimeout: 200 * time.Millisecond})
	const clients = 40
	probes := make([]*probe, clients)
	for i := range probes {
		c, p := rig.open()
		_ = c.tcp.SetReadBuffer(4 << 10)
		probes[i] = p
	}
	before := heap()
	for _, p := range probes {
		fill(t, p.c, 0)
		if n := p.c.buffered(); n > bound {
			t.Fatalf("%d bytes buffered, the bound is %d", n, bound)
		}
	}
	// Each client holds frames of its own here, so the bound, one parked piece and the connection itself are all there may be.
	if grown, limit := heap()-before, int64(clients*(bound+4*parkBytes)); grown > limit {
		t.Errorf("%d clients that do not read hold %d bytes, at most %d are allowed", clients, grown, limit)
	}
	for _, p := range probes {
		if code := want(t, p.closed, "onClose of a stalled client"); code != closeSlowConsumer {
			t.Fatalf("onClose got %d", code)
		}
		if n := p.c.buffered(); n != 0 {
			t.Fatalf("%d bytes buffered after the end", n)
		}
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestConn_StalledClientThatWakesLearnsWhy(t *testing.T) {
	rig := newEngineRig(t, engineConfig{OutboxBytes: 128 << 10, StallTimeout: 100 * time.Millisecond, CloseTimeout: 10 * time.Second})
	c, p := rig.open()
	n := fill(t, p.c, 0)
	deadline := time.Now().Add(10 * time.Second)
	for p.c.buffered() > 16<<10 { // it gives what is queued up at once
		if time.Now().After(deadline) {
			t.Fatal("never stalled")
		}
		time.Sleep(time.Millisecond)
	}
	frames := 0
	for {
		op, payload, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		if op == frame.OpClose {
			if code := int(payload[0])<<8 | int(payload[1]); code != closeSlowConsumer {
				t.Fatalf("close code %d", code)
			}
			break
		}
		if !strings.HasPrefix(string(payload), fmt.Sprint(frames, " ")) {
			t.Fatalf("frame %d is %.10q", frames, payload)
		}
		frames++
	}
	if frames == 0 || frames >= n {
		t.Fatalf("%d of %d frames came", frames, n)
	}
	c.write(maskedClose(closeSlowConsumer, ""))
	if code := want(t, p.closed, "onClose"); code != closeSlowConsumer {
		t.Fatalf("onClose got %d", code)
	}
}

func TestConn_CloseBehindAFullOutboxIsBounded(t *testing.T) {
	rig := newEngineRig(t, engineConfig{OutboxBytes: 128 << 10, CloseTimeout: 150 * time.Millisecond})
	_, p := rig.open()
	fill(t, p.c, 0)
	p.c.close(closeTokenExpired, "")
	if code := want(t, p.closed, "onClose"); code != closeTokenExpired {
		t.Fatalf("onClose got %d", code)
	}
}

func TestConn_CloseComesBehindWhatIsQueued(t *testing.T) {
	rig := newEngineRig(t, engineConfig{OutboxBytes: 128 << 10})
	c, p := rig.open()
	n := fill(t, p.c, 0)
	p.c.close(closeTokenExpired, "time is up")
	expectNumbered(t, c, 0, n)
	if reason := c.expectClose(closeTokenExpired); reason != "time is up" {
		t.Fatalf("reason %q", reason)
	}
}

func TestConn_WaitingBeginsWhenTheSocketIsFull(t *testing.T) {
	rig := newEngineRig(t, engineConfig{OutboxBytes: 128 << 10})
	now := uint32(1 << 24)
	rig.e.wheel.current.Store(now) // the clock reaches this in years, so time stands still
	_, p := rig.open()
	n := fill(t, p.c, 0)
	stall := rig.e.wheel.ticks(rig.e.cfg.StallTimeout)
	if due := p.c.onTimer(now); due != now+stall {
		t.Fatalf("the next look is %d ticks ahead, want %d", due-now, stall)
	}
	if p.c.onTimer(now + stall - 1); p.c.buffered() < 64<<10 {
		t.Fatal("given up too early")
	}
	p.c.onTimer(now + stall)
	if p.c.send(numbered(n)) || p.c.buffered() > 2<<10 {
		t.Fatal("not given up in time")
	}
}
