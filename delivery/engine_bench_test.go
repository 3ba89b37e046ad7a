package delivery

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sys/unix"

	"github.com/quorate/quorate/delivery/frame"
)

// rawSocket is a client that is a descriptor and nothing else, so that a benchmark measures the server.
func rawSocket(b *testing.B, rig *engineRig) int {
	b.Helper()
	return rawSocketTo(b, rig.addr)
}

func rawSocketTo(b *testing.B, target string) int {
	b.Helper()
	addr, err := net.ResolveTCPAddr("tcp", target)
	if err != nil {
		b.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		b.Fatal(err)
	}
	sa := &unix.SockaddrInet4{Port: addr.Port}
	copy(sa.Addr[:], addr.IP.To4())
	if err := unix.Connect(fd, sa); err != nil {
		b.Fatal(err)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if _, err := unix.Write(fd, []byte(strings.ReplaceAll(goodHandshake, "HOST", target))); err != nil {
		b.Fatal(err)
	}
	var answer [512]byte
	n, err := unix.Read(fd, answer[:])
	if err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 101") || !strings.HasSuffix(string(answer[:n]), "\r\n\r\n") {
		b.Fatalf("handshake: %q, %v", answer[:n], err)
	}
	return fd
}

// rss is the resident memory of this process in bytes.
func rss() int64 {
	var size, resident int64
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	_, _ = fmt.Sscan(string(text), &size, &resident)
	return resident * int64(os.Getpagesize())
}

// BenchmarkIdleConn opens as many connections as the descriptors of the process allow, 10,000 at most, and reports what one costs:
// heap-B/conn and rss-B/conn, goroutines/conn. An operation is then an echo through one of them.
func BenchmarkIdleConn(b *testing.B) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		b.Fatal(err)
	}
	conns := min(10_000, int(limit.Cur-300)/2)
	rig := newEngineRig(b, engineConfig{PingInterval: time.Hour})
	rig.bare = true
	fds := make([]int, 0, conns)
	defer func() { closeAll(fds) }()
	fds = append(fds, rawSocket(b, rig))
	debug.FreeOSMemory()
	heapBefore, rssBefore, goroutines := heap(), rss(), runtime.NumGoroutine()
	for len(fds) < conns {
		fds = append(fds, rawSocket(b, rig))
	}
	for settle := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > goroutines && time.Now().Before(settle); {
		time.Sleep(10 * time.Millisecond) // net/http's goroutines end a moment after the hijack
	}
	debug.FreeOSMemory()
	heapAfter, rssAfter := heap(), rss()
	added := float64(conns - 1)
	report := func() {
		b.ReportMetric(added+1, "conns")
		b.ReportMetric(float64(heapAfter-heapBefore)/added, "heap-B/conn")
		b.ReportMetric(float64(rssAfter-rssBefore)/added, "rss-B/conn")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/added, "goroutines/conn")
	}
	hello, answer := maskedText("hello"), make([]byte, 64)
	i := 0
	for b.Loop() {
		fd := fds[i%conns]
		i += 7919
		if _, err := unix.Write(fd, hello); err != nil {
			b.Fatal(err)
		}
		if n, err := unix.Read(fd, answer); n != 7 || err != nil {
			b.Fatalf("echo: %q, %v", answer[:n], err)
		}
	}
	report()
}

// BenchmarkIdleGoroutine is BenchmarkIdleConn of a plain server with a goroutine for each connection, on the same net/http: what the engine is
// measured against. A goroutine that reads is all that it has.
func BenchmarkIdleGoroutine(b *testing.B) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		b.Fatal(err)
	}
	conns := min(10_000, int(limit.Cur-300)/2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		for {
			kind, text, err := ws.Read(context.Background())
			if err != nil || ws.Write(context.Background(), kind, text) != nil {
				return
			}
		}
	}))
	defer server.Close()
	fds := make([]int, 0, conns)
	defer func() { closeAll(fds) }()
	target := strings.TrimPrefix(server.URL, "http://")
	fds = append(fds, rawSocketTo(b, target))
	debug.FreeOSMemory()
	rssBefore, goroutines := rss(), runtime.NumGoroutine()
	for len(fds) < conns {
		fds = append(fds, rawSocketTo(b, target))
	}
	debug.FreeOSMemory()
	added, rssAfter := float64(conns-1), rss()
	hello, answer := maskedText("hello"), make([]byte, 64)
	i := 0
	for b.Loop() {
		fd := fds[i%conns]
		i += 7919
		if _, err := unix.Write(fd, hello); err != nil {
			b.Fatal(err)
		}
		if n, err := unix.Read(fd, answer); n != 7 || err != nil {
			b.Fatalf("echo: %q, %v", answer[:n], err)
		}
	}
	b.ReportMetric(added+1, "conns")
	b.ReportMetric(float64(rssAfter-rssBefore)/added, "rss-B/conn")
	b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/added, "goroutines/conn")
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// fanReader reads the frames of many raw clients on one thread and notes when each came. All frames have the same length.
type fanReader struct {
	epfd     int
	fds      []int
	bytes    map[int]int // by descriptor: bytes that have come
	frameLen int
	sentAt   []time.Time
	delays   []time.Duration
	cpu      time.Duration // of the reading thread
}

// drain reads until each client has had all frames up to message number upTo.
func (r *fanReader) drain(b *testing.B, upTo int) {
	events := make([]unix.EpollEvent, 256)
	buf := make([]byte, 256<<10)
	for behind := len(r.fds); behind > 0; {
		n, err := unix.EpollWait(r.epfd, events, -1)
		if err != nil && err != unix.EINTR {
			b.Error(err)
			return
		}
		for _, ev := range events[:max(n, 0)] {
			fd := int(ev.Fd)
			got, err := unix.Read(fd, buf)
			if err != nil || got == 0 {
				b.Errorf("read: %d, %v", got, err)
				return
			}
			before := r.bytes[fd] / r.frameLen
			r.bytes[fd] += got
			now := time.Now()
			for i := before; i < r.bytes[fd]/r.frameLen; i++ {
				r.delays = append(r.delays, now.Sub(r.sentAt[i]))
			}
			if r.bytes[fd] == upTo*r.frameLen {
				behind--
			}
		}
	}
}

// cpuTime is the CPU time of the calling thread or of the process.
func cpuTime(who int) time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(who, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFanout256 sends each message, encoded once, to 256 connections; an operation is one message. inflight is how many
// messages a feed batch holds: all of them are queued on a connection before it is flushed. The latency of a delivery counts from the
// moment its batch begins to be sent. CPU is the server's: the reading thread is taken out.
func BenchmarkFanout256(b *testing.B) {
	for _, inflight := range []int{1, 16} {
		b.Run(fmt.Sprintf("inflight=%d", inflight), func(b *testing.B) { benchmarkFanout(b, 256, inflight) })
	}
}

func benchmarkFanout(b *testing.B, clients, inflight int) {
	rig := newEngineRig(b, engineConfig{})
	r := &fanReader{bytes: map[int]int{}}
	defer func() { closeAll(r.fds) }()
	var err error
	if r.epfd, err = unix.EpollCreate1(0); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = unix.Close(r.epfd) }()
	var conns []*conn
	for range clients {
		fd := rawSocket(b, rig)
		r.fds = append(r.fds, fd)
		if err := unix.EpollCtl(r.epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			b.Fatal(err)
		}
		conns = append(conns, (<-rig.probes).c)
	}
	payload := []byte(strings.Repeat("m", 300))
	r.frameLen = len(frame.AppendText(nil, payload))
	rounds, drained := make(chan int), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		start := cpuTime(unix.RUSAGE_THREAD)
		for upTo := range rounds {
			r.drain(b, upTo)
			r.cpu = cpuTime(unix.RUSAGE_THREAD) - start
			drained <- struct{}{}
		}
		close(drained)
	}()
	messages := 0
	cpu, began := cpuTime(unix.RUSAGE_SELF), time.Now()
	for b.Loop() {
		messages++
		r.sentAt = append(r.sentAt, time.Time{})
		if messages%inflight != 0 {
			continue // the batch is not full
		}
		now := time.Now()
		for i := messages - inflight; i < messages; i++ {
			r.sentAt[i] = now
		}
		rounds <- messages
		for i := range inflight {
			binary.BigEndian.PutUint32(payload, uint32(messages-inflight+i))
			f := frame.AppendText(nil, payload)
			for _, c := range conns {
				if !c.sendLater(f) {
					b.Fatal("refused")
				}
			}
		}
		rig.e.flush(conns)
		<-drained
	}
	took := time.Since(began)
	cpu = cpuTime(unix.RUSAGE_SELF) - cpu - r.cpu
	close(rounds)
	deliveries := float64(len(r.delays))
	if deliveries == 0 {
		return // a trial run shorter than a batch
	}
	slices.Sort(r.delays)
	b.ReportMetric(deliveries/took.Seconds(), "deliveries/s")
	b.ReportMetric(float64(cpu.Nanoseconds())/deliveries, "cpu-ns/delivery")
	b.ReportMetric(float64(r.delays[len(r.delays)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(r.delays[len(r.delays)*99/100].Microseconds()), "p99-µs")
	b.ReportAllocs()
}
