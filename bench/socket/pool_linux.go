package socket

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"golang.org/x/sys/unix"
)

// Pool is the clients. All but nothing of it may be used by one goroutine alone.
type Pool struct {
	cfg     Config
	handler Handler
	epoll   int
	timer   int
	conns   map[int32]*Conn // by descriptor
	begun   int             // connections, ever
	reads   *reads
	out     []byte
	events  []unix.EpollEvent
	ready   []*Conn // that have something to read, of one Wait
	rung    [8]byte // what the timer gives

	Slept    time.Duration // how long Wait had nothing to do
	Received int64         // bytes
	Pings    int           // that were answered
}

const (
	edges           = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET // told once of what comes: who is told reads until there is nothing
	portsPerAddress = 12_000                                        // connections that come from one loopback address: of 28,000 ports the kernel gives every other one quickly
	maxUnsent       = 1 << 20                                       // bytes that may wait for one connection to take them
	maxPartial      = 8 << 20                                       // bytes of one frame
)

// NewPool makes a pool without clients. The caller must Close it.
func NewPool(cfg Config, handler Handler) (*Pool, error) {
	p := &Pool{
		cfg: cfg, handler: handler, conns: map[int32]*Conn{}, reads: openReads(), events: make([]unix.EpollEvent, 1024),
	}
	var err error
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if p.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return nil, errors.Join(fmt.Errorf("timer: %w", err), unix.Close(p.epoll))
	}
	return p, p.watch(unix.EPOLL_CTL_ADD, p.timer, unix.EPOLLIN)
}

// Close closes all connections. The handler is not told.
func (p *Pool) Close() {
	for fd := range p.conns {
		_ = unix.Close(int(fd))
	}
	p.conns = nil
	p.reads.close()
	_ = unix.Close(p.timer)
	_ = unix.Close(p.epoll)
}

// Len is how many connections there are, or are under way.
func (p *Pool) Len() int { return len(p.conns) }

func (p *Pool) watch(op, fd int, events uint32) error {
	if err := unix.EpollCtl(p.epoll, op, fd, &unix.EpollEvent{Fd: int32(fd), Events: events}); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

// Connect begins a connection of a user to a target. number is the caller's; cursors is the object of what the client has, as JSON, or
// "". What becomes of it the handler is told.
func (p *Pool) Connect(target, user string, number int, cursors string) (*Conn, error) {
	addr, host, err := resolve(target)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("connection %d: %w", number, err)
	}
	c := &Conn{Number: number, User: user, pool: p, fd: fd, host: host, cursors: cursors, began: time.Now()}
	if err := p.dial(c, addr); err != nil {
		return nil, errors.Join(fmt.Errorf("connection %d: %w", number, err), unix.Close(fd))
	}
	p.conns[int32(fd)] = c
	p.begun++
	return c, nil
}

func (p *Pool) dial(c *Conn, addr *unix.SockaddrInet4) error {
	_ = unix.SetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if addr.Addr[0] == 127 {
		from := p.begun / portsPerAddress
		_ = unix.SetsockoptInt(c.fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(c.fd, &unix.SockaddrInet4{Addr: [4]byte{127, 77, byte(from >> 8), byte(1 + from&0xff)}}); err != nil {
			return err
		}
	}
	if err := unix.Connect(c.fd, addr); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return err
	}
	return p.watch(unix.EPOLL_CTL_ADD, c.fd, unix.EPOLLOUT)
}

// resolve gives the address of a target.
func resolve(target string) (*unix.SockaddrInet4, string, error) {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, "", fmt.Errorf("%w, not %q", ErrTarget, target)
	}
	tcp, err := net.ResolveTCPAddr("tcp4", u.Host)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrTarget, err)
	}
	at := tcp.AddrPort()
	return &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().Unmap().As4()}, u.Host, nil
}

// Wait handles what comes, once, until a time at the longest.
func (p *Pool) Wait(until time.Time) error {
	now := time.Now()
	timeout := 0
	if until.After(now) {
		spec := unix.ItimerSpec{Value: unix.NsecToTimespec(until.Sub(now).Nanoseconds())}
		if err := unix.TimerfdSettime(p.timer, 0, &spec, nil); err != nil {
			return fmt.Errorf("timer: %w", err)
		}
		timeout = -1
	}
	n, err := unix.EpollWait(p.epoll, p.events, timeout)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("epoll: %w", err)
	}
	woken := time.Now()
	p.Slept += woken.Sub(now)
	for _, ev := range p.events[:max(n, 0)] {
		if int(ev.Fd) == p.timer {
			_, _ = unix.Read(p.timer, p.rung[:])
			continue
		}
		c := p.conns[ev.Fd]
		switch {
		case c == nil || !c.handle(ev.Events):
		case ev.Events&^(unix.EPOLLIN|unix.EPOLLOUT) != 0: // the end may be there already, behind what a read gives
			c.readAll(p.reads.bufs[0])
		default:
			p.ready = append(p.ready, c)
		}
	}
	p.readAll()
	return nil
}

// RaiseFiles sees that this process may have so many descriptors.
func RaiseFiles(need int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Cur >= uint64(need) {
		return nil
	}
	limit.Cur, limit.Max = uint64(need), max(limit.Max, uint64(need))
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("%d open files are needed (ulimit -n, fs.nr_open): %w", need, err)
	}
	return nil
}
