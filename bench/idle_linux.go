package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quorate/quorate/bench/socket"
)

// Idle opens connections that then do nothing but answer pings, and looks what they cost. Each is a descriptor and some bytes of one
// goroutine's, so that the clients of a million sessions fit on a machine beside the server. Clients of a loopback target come from
// as many loopback addresses as their ports need.
func Idle(ctx context.Context, cfg IdleConfig) (*IdleResult, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	h, err := newHerd(&cfg)
	if err != nil {
		return nil, err
	}
	defer h.close()
	res := &h.result
	began := time.Now()
	if cfg.Chats > 0 {
		if err := cfg.makeChats(ctx); err != nil {
			return nil, err
		}
	}
	res.Setup = time.Since(began)
	if cfg.Connections == 0 {
		return res, nil
	}
	if cfg.Metrics != "" {
		if res.BytesBefore, err = residentBytes(ctx, cfg.Metrics); err != nil {
			return nil, err
		}
	}
	began = time.Now()
	if err := h.run(ctx, func() bool { return h.begun == cfg.Connections && res.Connections+res.Failed >= cfg.Connections }); err != nil {
		return nil, err
	}
	res.Open = time.Since(began)
	if cfg.Progress != nil {
		_, _ = fmt.Fprintf(cfg.Progress, "all %d begun, %d welcomed, %d failed, %d times asked to come again\n", h.begun, res.Connections, res.Failed, res.Returned)
	}
	until := time.Now().Add(cfg.Hold)
	if err := h.run(ctx, func() bool { return time.Now().After(until) }); err != nil && ctx.Err() == nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx) // a signal ends only the holding
	slices.Sort(h.waits)
	if n := len(h.waits); n > 0 {
		res.WelcomeP50, res.WelcomeP99 = h.waits[n/2], h.waits[(n-1)*99/100]
	}
	if cfg.Metrics != "" {
		if res.BytesAfter, err = residentBytes(ctx, cfg.Metrics); err != nil {
			return nil, err
		}
		res.BytesPerConn = (res.BytesAfter - res.BytesBefore) / float64(max(res.Connections, 1))
	}
	return res, nil
}

// portsPerAddress is how many connections come from one loopback address. Of 28,000 ports the kernel gives every other one first; once these
// are used up, each connect tries all of them before it takes one of the rest, which costs milliseconds.
const portsPerAddress = 12_000

// beginsAtOnce is how many connections are begun between two looks at those that are.
const beginsAtOnce = 64

// idler is one connection.
type idler struct {
	number  int32
	state   idlerState
	partial []byte    // of an answer or a frame that has not come whole
	began   time.Time // of the connection, the first where the server asked to come again
}

// returner is an idler that the server asked to come again.
type returner struct {
	idler *idler
	at    time.Time
}

type idlerState byte

const (
	idlerConnecting idlerState = iota
	idlerShakes                // the handshake is sent
	idlerGreets                // hello is sent
	idlerIdle                  // welcomed
)

func (s idlerState) String() string {
	return [...]string{"connecting", "shaking hands", "greeting", "idle"}[s]
}

// herd is all connections, of one goroutine.
type herd struct {
	cfg    *IdleConfig
	addr   netip.AddrPort
	host   string
	device string // of all; clients of the same users beside this one have another
	epoll  int
	idlers map[int32]*idler // by descriptor
	begun  int
	result IdleResult
	waits  []time.Duration
	again  []returner // in no order; they are few
	buf    []byte
	why    error // of the first that failed
}

func newHerd(cfg *IdleConfig) (*herd, error) {
	target, err := url.Parse(cfg.Target)
	if err != nil || target.Scheme != "http" {
		return nil, fmt.Errorf("bench: the target must be http://host:port, not %q", cfg.Target)
	}
	tcp, err := net.ResolveTCPAddr("tcp4", target.Host)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	if err := raiseFiles(cfg.Connections + 256); err != nil {
		return nil, err
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("bench: epoll: %w", err)
	}
	return &herd{
		cfg: cfg, addr: tcp.AddrPort(), host: target.Host, device: "bench-" + strconv.Itoa(int(tcp.AddrPort().Port())), epoll: epoll, idlers: make(map[int32]*idler, cfg.Connections), buf: make([]byte, 64<<10),
	}, nil
}

// raiseFiles sees that this process may have so many descriptors.
func raiseFiles(need int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if limit.Cur >= uint64(need) {
		return nil
	}
	limit.Cur, limit.Max = uint64(need), max(limit.Max, uint64(need))
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("bench: %d open files are needed (ulimit -n, fs.nr_open): %w", need, err)
	}
	return nil
}

func (h *herd) close() {
	for fd := range h.idlers {
		_ = unix.Close(int(fd))
	}
	_ = unix.Close(h.epoll)
}

// run begins connections at the rate and handles what comes, until done.
func (h *herd) run(ctx context.Context, done func() bool) error {
	events := make([]unix.EpollEvent, 1024)
	began, first, told := time.Now(), h.begun, time.Now()
	for !done() {
		if err := ctx.Err(); err != nil {
			return err
		}
		due := first + int(time.Since(began).Seconds()*float64(h.cfg.Rate))
		// Who is behind still reads now and then: a server waits for hello only so long.
		for most := h.begun + beginsAtOnce; h.begun < min(due, h.cfg.Connections, most); {
			h.begun++
			if err := h.begin(&idler{number: int32(h.begun - 1), began: time.Now()}); err != nil {
				return err
			}
		}
		if err := h.readmit(time.Now()); err != nil {
			return err
		}
		n, err := unix.EpollWait(h.epoll, events, h.patience(time.Since(began), first))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("bench: epoll: %w", err)
		}
		for _, ev := range events[:max(n, 0)] {
			h.handle(ev.Fd)
		}
		if h.cfg.Progress != nil && time.Since(told) > 2*time.Second {
			told = time.Now()
			_, _ = fmt.Fprintf(h.cfg.Progress, "%d begun, %d welcomed, %d failed\n", h.begun, h.result.Connections, h.result.Failed)
		}
	}
	if h.result.Connections == 0 && h.why != nil {
		return h.why
	}
	return nil
}

// patience is for how many milliseconds nothing but what comes is to be done, so that hundreds of benches may run on one machine.
func (h *herd) patience(since time.Duration, first int) int {
	const longest = 100
	if h.begun == h.cfg.Connections {
		return longest
	}
	due := time.Duration(float64(h.begun-first+1) / float64(h.cfg.Rate) * float64(time.Second))
	return int(min(max((due-since).Milliseconds(), 1), longest))
}

// readmit begins the connections again whose time it is.
func (h *herd) readmit(now time.Time) error {
	for k := len(h.again) - 1; k >= 0; k-- {
		r := h.again[k]
		if now.Before(r.at) {
			continue
		}
		h.again[k] = h.again[len(h.again)-1]
		h.again = h.again[:len(h.again)-1]
		r.idler.state = idlerConnecting
		if err := h.begin(r.idler); err != nil {
			return err
		}
	}
	return nil
}

// begin begins a connection.
func (h *herd) begin(i *idler) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bench: connection %d: %w", i.number, err)
	}
	if h.addr.Addr().IsLoopback() {
		from := int(i.number) / portsPerAddress
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 77, byte(from >> 8), byte(1 + from&0xff)}}); err != nil {
			_ = unix.Close(fd)
			return fmt.Errorf("bench: connection %d: %w", i.number, err)
		}
	}
	to := &unix.SockaddrInet4{Port: int(h.addr.Port()), Addr: h.addr.Addr().As4()}
	if err := unix.Connect(fd, to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		_ = unix.Close(fd)
		return fmt.Errorf("bench: connection %d: %w", i.number, err)
	}
	h.idlers[int32(fd)] = i
	return h.watch(unix.EPOLL_CTL_ADD, int32(fd), unix.EPOLLOUT)
}

func (h *herd) watch(op int, fd int32, events uint32) error {
	if err := unix.EpollCtl(h.epoll, op, int(fd), &unix.EpollEvent{Fd: fd, Events: events}); err != nil {
		return fmt.Errorf("bench: epoll: %w", err)
	}
	return nil
}

// handle takes what came on a connection.
func (h *herd) handle(fd int32) {
	i := h.idlers[fd]
	if i == nil {
		return
	}
	var err error
	if i.state == idlerConnecting {
		if err = h.shake(fd); err == nil {
			i.state = idlerShakes
		}
	} else {
		err = h.read(fd, i)
	}
	if err == nil {
		return
	}
	var closed *socket.CloseError
	if wait := time.Duration(0); i.state != idlerIdle && errors.As(err, &closed) && !closed.Stops() && closed.RetryAfter() > 0 {
		wait = closed.RetryAfter()
		h.result.Returned++
		h.again = append(h.again, returner{idler: i, at: time.Now().Add(wait + rand.N(wait))}) //nolint:gosec // nothing depends on chance
		i.partial = nil
		delete(h.idlers, fd)
		_ = unix.Close(int(fd))
		return
	}
	if h.why == nil {
		h.why = fmt.Errorf("bench: connection %d, %s, after %v: %w", i.number, i.state, time.Since(i.began).Round(time.Millisecond), err)
		h.result.Why = h.why.Error()
	}
	if i.state == idlerIdle {
		h.result.Connections--
	}
	h.result.Failed++
	delete(h.idlers, fd)
	_ = unix.Close(int(fd))
}

func (h *herd) shake(fd int32) error {
	if code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
		return errors.Join(err, unix.Errno(code))
	}
	head := "GET /stream HTTP/1.1\r\nHost: " + h.host + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: quorate.v1\r\n\r\n"
	if err := h.write(fd, []byte(head)); err != nil {
		return err
	}
	return h.watch(unix.EPOLL_CTL_MOD, fd, unix.EPOLLIN)
}

// write writes what always fits into an empty socket.
func (h *herd) write(fd int32, b []byte) error {
	n, err := unix.Write(int(fd), b)
	if err == nil && n < len(b) {
		err = errors.New("the socket is full")
	}
	return err
}

func (h *herd) read(fd int32, i *idler) error {
	n, err := unix.Read(int(fd), h.buf)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return err
	case n == 0:
		return errors.New("the server closed the connection")
	}
	all := h.buf[:n]
	if len(i.partial) > 0 {
		all = append(i.partial, all...)
	}
	rest, err := h.take(fd, i, all)
	if i.partial = nil; len(rest) > 0 {
		i.partial = bytes.Clone(rest)
	}
	return err
}

// take handles what is whole of the bytes and gives the rest.
func (h *herd) take(fd int32, i *idler, b []byte) (rest []byte, err error) {
	if i.state == idlerShakes {
		head, rest, whole := bytes.Cut(b, []byte("\r\n\r\n"))
		if !whole {
			return b, nil
		}
		if status, _, _ := strings.Cut(string(head), "\r\n"); !strings.HasPrefix(status, "HTTP/1.1 101") {
			return nil, fmt.Errorf("the handshake was answered %q", status)
		}
		token, err := h.cfg.Token(h.cfg.userName(int(i.number)))
		if err != nil {
			return nil, err
		}
		i.state, b = idlerGreets, rest
		if err := h.write(fd, socket.AppendMasked(nil, socket.OpText, []byte(`{"type":"hello","deviceId":"`+h.device+`","token":"`+token+`"}`))); err != nil {
			return nil, err
		}
	}
	for {
		op, payload, rest, whole := socket.NextFrame(b)
		if !whole {
			return b, nil
		}
		b = rest
		switch op {
		case socket.OpPing:
			h.result.Pings++
			if err := h.write(fd, socket.AppendMasked(nil, socket.OpPong, payload)); err != nil {
				return nil, err
			}
		case socket.OpClose:
			return nil, socket.Closed(payload)
		case socket.OpText:
			if i.state == idlerGreets && bytes.HasPrefix(payload, []byte(`{"type":"welcome"`)) {
				i.state = idlerIdle
				h.result.Connections++
				if chats := bytes.Count(payload, []byte(`{"chatId":`)); h.result.Connections == 1 || chats < h.result.Chats {
					h.result.Chats = chats
				}
				h.waits = append(h.waits, time.Since(i.began))
			}
		}
	}
}
