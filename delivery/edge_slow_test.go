package delivery

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// deafClient says hello and never reads again. Its socket takes little.
func deafClient(t *testing.T, e *edge, user, device string) net.Conn {
	t.Helper()
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	conn, err := dialer.Dial("tcp", e.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	hello := `{"type":"hello","deviceId":"` + device + `"}`
	fmt.Fprintf(conn, "GET /stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer user:%s\r\n\r\n", user)
	if resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp, err)
	}
	if _, err := conn.Write(append([]byte{0x81, 0x80 | byte(len(hello)), 0, 0, 0, 0}, hello...)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestStream_AThousandWhoNeverRead has 1,008 connections that read nothing of a busy chat, beside a member who does. He gets everything, what is
// kept for the others stays within its bound, and they are closed with 4001.
func TestStream_AThousandWhoNeverRead(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand clients")
	}
	const slow, devices, messages, outbox = 63, 16, 600, 256 << 10
	e := openEdge(t, startCluster(t, 1), func(cfg *Config) {
		cfg.Limits.OutboxBytes = outbox
		cfg.Limits.StallTimeout = 4 * time.Second
		cfg.Limits.UserConnections = devices
	})
	reader := fresh("reader")
	users := []string{reader}
	for range slow {
		users = append(users, fresh("slow"))
	}
	chat := e.group(users...)
	for _, user := range users[1:] {
		for n := range devices {
			deafClient(t, e, user, fmt.Sprint("d", n))
		}
	}
	eventually(t, "all of them to be there", func() bool {
		live := 0
		for _, s := range e.registry.all() {
			s.mu.Lock()
			if s.state == stateLive {
				live++
			}
			s.mu.Unlock()
		}
		return live == slow*devices
	})
	d := e.dial(reader)
	before := heapBytes()
	text := strings.Repeat("x", 8<<10)
	for n := int64(1); n <= messages; n++ {
		e.post(reader, chat, text)
		d.awaitSeqs(chat, n, n)
	}
	bytes, most, _ := e.engine.outboxes()
	grown := heapBytes() - before
	t.Logf("%d MiB of frames wait for %d connections by their count, the heap grew by %d MiB", bytes>>20, slow*devices, grown>>20)
	if most > outbox {
		t.Errorf("%d bytes wait for one connection, %d may", most, outbox)
	}
	// The frames are shared: what is held is what was sent lately, and a few KiB for each connection.
	if limit := int64(recentBytesOf(e) + slow*devices*(16<<10) + 16<<20); grown > limit {
		t.Errorf("the heap grew by %d bytes, %d are explained", grown, limit)
	}
	eventually(t, "them to be closed", func() bool { return e.stats.closes[closeIndex(closeSlowConsumer)].Load() == slow*devices })
	e.post(reader, chat, "still here")
	d.awaitSeqs(chat, messages+1, messages+1)
}

func recentBytesOf(e *edge) int { return e.recent.size() }

// heapBytes is what is in use on the heap.
func heapBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func closeIndex(code int) int {
	for i, c := range closeCodes {
		if c == code {
			return i
		}
	}
	return 0
}
