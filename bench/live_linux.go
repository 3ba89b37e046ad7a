package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Live measures how long messages take to members who are online. One goroutine is all clients: it is as cheap as a client can be, for it
// shares the machine with the servers.
func Live(ctx context.Context, cfg LiveConfig) (*LiveResult, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	a := &audience{cfg: &cfg, buf: make([]byte, 256<<10), run: strconv.FormatInt(time.Now().UnixNano(), 36)}
	defer a.close()
	a.reads = openReads()
	defer a.reads.close()
	if err := a.gather(ctx); err != nil {
		return nil, err
	}
	return a.perform(ctx)
}

// audience is all clients of a run.
type audience struct {
	cfg   *LiveConfig
	run   string // part of all ids, so that runs do not meet
	epoll int
	seats map[int32]*seat
	chats []*stage
	buf   []byte
	reads *reads

	sent    int
	counts  time.Time // the begin of what counts; zero before
	ends    time.Time // its end
	times   []time.Duration
	result  LiveResult
	slept   time.Duration // in epoll, while it counts
	pending int           // deliveries of messages that count
}

// stage is one chat.
type stage struct {
	number  int
	id      string
	seats   []*seat
	sends   []time.Time // planned, by number
	counted []bool
	done    int // messages that all members have
	judge   judge
}

// seat is one member's connection.
type seat struct {
	fd      int
	chat    *stage
	member  int
	user    string
	partial []byte
	told    time.Time
}

func (a *audience) close() {
	for _, s := range a.seats {
		_ = unix.Close(s.fd)
	}
	if a.epoll > 0 {
		_ = unix.Close(a.epoll)
	}
}

// gather makes the chats and connects the members.
func (a *audience) gather(ctx context.Context) (err error) {
	if err := raiseFiles(a.cfg.Chats*a.cfg.Members + 256); err != nil {
		return err
	}
	if a.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("bench: epoll: %w", err)
	}
	a.seats = map[int32]*seat{}
	client := &http.Client{Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	for c := range a.cfg.Chats {
		st := &stage{number: c, id: fmt.Sprintf("bench-%s-%d", a.run, c)}
		var users []string
		for m := range a.cfg.Members {
			users = append(users, fmt.Sprintf("bench-%s-%d-%d", a.run, c, m))
			st.judge.next = append(st.judge.next, 1)
		}
		if err := a.makeChat(ctx, client, st, users); err != nil {
			return err
		}
		a.chats = append(a.chats, st)
		for m, user := range users {
			s, err := a.connect(st, m, user)
			if err != nil {
				return fmt.Errorf("bench: connect %s: %w", user, err)
			}
			st.seats = append(st.seats, s)
		}
	}
	return nil
}

func (a *audience) makeChat(ctx context.Context, client *http.Client, st *stage, users []string) error {
	token, err := a.cfg.Token(users[0])
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"type": "group", "chatId": st.id, "members": users})
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.cfg.Targets[0]+"/chats", bytes.NewReader(body))
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		status, text, err := do(client, r)
		switch {
		case err == nil && (status == http.StatusCreated || status == http.StatusOK):
			return nil
		case err == nil && status < 500 && status != http.StatusTooManyRequests, try == 20, ctx.Err() != nil:
			return fmt.Errorf("bench: make a chat: %d %s %w", status, text, err)
		}
		time.Sleep(time.Duration(try) * 50 * time.Millisecond)
	}
}

// connect opens a member's stream and waits until he has caught up.
func (a *audience) connect(st *stage, member int, user string) (*seat, error) {
	target, err := url.Parse(a.cfg.Targets[member%len(a.cfg.Targets)])
	if err != nil {
		return nil, err
	}
	addr, err := netip.ParseAddrPort(target.Host)
	if err != nil || !addr.Addr().Is4() {
		return nil, fmt.Errorf("the target must be http://IPv4:port, not %q", target)
	}
	token, err := a.cfg.Token(user)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	s := &seat{fd: fd, chat: st, member: member, user: user}
	a.seats[int32(fd)] = s
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}); err != nil {
		return nil, err
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10})
	head := "GET /stream HTTP/1.1\r\nHost: " + target.Host + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: quorate.v1\r\n\r\n"
	hello := masked(opText, []byte(`{"type":"hello","deviceId":"bench","token":"`+token+`"}`))
	if _, err := unix.Write(fd, []byte(head)); err != nil {
		return nil, err
	}
	if err := a.await(s, []byte("\r\n\r\n")); err != nil {
		return nil, err
	}
	if _, err := unix.Write(fd, hello); err != nil {
		return nil, err
	}
	if err := a.await(s, []byte(`"type":"caughtUp"`)); err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	return s, unix.EpollCtl(a.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Fd: int32(fd), Events: unix.EPOLLIN})
}

// await reads until a word has come. Nothing is sent in the chats yet, so nothing else is lost with it.
func (a *audience) await(s *seat, word []byte) error {
	var all []byte
	for !bytes.Contains(all, word) {
		n, err := unix.Read(s.fd, a.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 || len(all) > 1<<20 {
			return fmt.Errorf("no %s after %.200q: %w", bytes.TrimSpace(word), all, err)
		}
		all = append(all, a.buf[:n]...)
	}
	return nil
}

// perform sends and measures.
func (a *audience) perform(ctx context.Context) (*LiveResult, error) {
	began := time.Now()
	var server, client time.Duration
	events := make([]unix.EpollEvent, 1024)
	for {
		now := time.Now()
		switch {
		case ctx.Err() != nil && a.ends.IsZero():
			a.ends = now
		case a.counts.IsZero() && now.Sub(began) >= a.cfg.Warmup:
			a.counts = now
			server, client = cpuOf(a.cfg.Servers), cpuOf([]int{os.Getpid()})
		case !a.counts.IsZero() && a.ends.IsZero() && now.Sub(a.counts) >= a.cfg.For:
			a.ends = now
			a.result.Took = now.Sub(a.counts)
			a.result.ServerCPU, a.result.ClientCPU = cpuOf(a.cfg.Servers)-server, cpuOf([]int{os.Getpid()})-client
		}
		if !a.ends.IsZero() && (a.pending == 0 || now.Sub(a.ends) > 5*time.Second) {
			return a.report(), nil
		}
		if a.ends.IsZero() {
			if err := a.send(began, now); err != nil {
				return nil, err
			}
		}
		n, err := unix.EpollWait(a.epoll, events, 1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("bench: epoll: %w", err)
		}
		if !a.counts.IsZero() && a.ends.IsZero() {
			a.slept += time.Since(now)
		}
		if err := a.readAll(events[:max(n, 0)]); err != nil {
			return nil, err
		}
	}
}

// send sends what is due: in a closed loop as many as are missing, at a rate what was planned up to now.
func (a *audience) send(began, now time.Time) error {
	if a.cfg.InFlight > 0 {
		for _, st := range a.chats {
			for len(st.sends)-st.done < a.cfg.InFlight {
				if err := a.sendOne(st, now); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for {
		planned := began.Add(time.Duration(float64(a.sent) / a.cfg.Rate * float64(time.Second)))
		if planned.After(now) {
			return nil
		}
		if err := a.sendOne(a.chats[a.sent%len(a.chats)], planned); err != nil {
			return err
		}
	}
}

// sendOne sends a chat's next message, by one member after the other: each may send so many in a second.
func (a *audience) sendOne(st *stage, planned time.Time) error {
	n := len(st.sends)
	counts := !a.counts.IsZero() && !planned.Before(a.counts)
	st.sends, st.counted = append(st.sends, planned), append(st.counted, counts)
	a.sent++
	if counts {
		a.result.Sent++
		a.pending += a.cfg.Members
		if time.Since(planned) > 10*time.Millisecond {
			a.result.Late++
		}
	}
	s := st.seats[n%len(st.seats)]
	frame := masked(opText, fmt.Appendf(nil, `{"type":"send","id":%d,"chatId":%q,"clientMessageId":"m%d","text":%q}`, n, st.id, n, tag(st.number, n, a.cfg.Size)))
	for {
		w, err := unix.Write(s.fd, frame)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || w < len(frame) {
			return fmt.Errorf("bench: send: %d of %d bytes: %w", w, len(frame), err)
		}
		return nil
	}
}

// took takes what came to a member, and had come by then.
func (a *audience) took(s *seat, all []byte, now time.Time) error {
	if len(s.partial) > 0 {
		all = append(s.partial, all...)
	}
	for {
		op, payload, rest, whole := nextFrame(all)
		if !whole {
			break
		}
		all = rest
		if err := a.frame(s, op, payload, now); err != nil {
			return err
		}
	}
	if s.partial = nil; len(all) > 0 {
		s.partial = bytes.Clone(all)
	}
	return nil
}

func (a *audience) frame(s *seat, op byte, payload []byte, now time.Time) error {
	switch {
	case op == opPing:
		_, err := unix.Write(s.fd, masked(opPong, payload))
		return err
	case op == opClose:
		return fmt.Errorf("bench: %s was closed: %q", s.user, payload)
	case bytes.HasPrefix(payload, []byte(`{"type":"message"`)):
		a.message(s, payload, now)
	case bytes.HasPrefix(payload, []byte(`{"type":"error"`)):
		return fmt.Errorf("bench: %s got %s", s.user, payload)
	}
	return nil
}

// message takes one delivery.
func (a *audience) message(s *seat, payload []byte, now time.Time) {
	seq, number := numberAfter(payload, `"sequenceNumber":`), 0
	text := stringAfter(payload, `"text":"`)
	if parts := strings.SplitN(text, "/", 3); len(parts) == 3 {
		number, _ = strconv.Atoi(parts[1]) // of a text of ours
	}
	st := s.chat
	if fault := st.judge.shown(s.member, seq, text); fault != "" || number >= len(st.sends) {
		a.broken(fmt.Sprintf("%s: %s", st.id, fault))
		return
	}
	if st.counted[number] {
		a.pending--
		a.result.Delivered++
		a.times = append(a.times, now.Sub(st.sends[number]))
	}
	for st.judge.next[s.member] > st.done+1 && st.all() {
	}
	if a.cfg.Ack && now.Sub(s.told) > 250*time.Millisecond {
		s.told = now
		_, _ = unix.Write(s.fd, masked(opText, fmt.Appendf(nil, `{"type":"ack","chatId":%q,"seq":%d}`, st.id, seq))) // the next one covers it
	}
}

// all counts a message that all members have.
func (st *stage) all() bool {
	for _, next := range st.judge.next {
		if next <= st.done+1 {
			return false
		}
	}
	st.done++
	return true
}

func (a *audience) broken(what string) {
	a.result.BrokenAll++
	if len(a.result.Broken) < 10 {
		a.result.Broken = append(a.result.Broken, what)
	}
}

func (a *audience) report() *LiveResult {
	r := &a.result
	r.Version = LiveVersion
	r.Missing = a.pending
	r.PerSecond = float64(r.Delivered) / max(r.Took.Seconds(), 1e-9)
	r.Latency = spreadOf(a.times)
	r.PerDeliver = r.ServerCPU / time.Duration(max(r.Delivered, 1))
	r.Limit = r.Took > 0 && float64(a.slept) < 0.1*float64(r.Took)
	return r
}

func numberAfter(b []byte, key string) int {
	_, rest, _ := bytes.Cut(b, []byte(key))
	n := 0
	for _, c := range rest {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int(c-'0')
	}
	return n
}

func stringAfter(b []byte, key string) string {
	_, rest, _ := bytes.Cut(b, []byte(key))
	text, _, _ := bytes.Cut(rest, []byte(`"`)) // our texts hold none
	return string(text)
}

// cpuOf gives the processor time of processes of this machine. One that is not there counts for nothing.
func cpuOf(pids []int) (total time.Duration) {
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(fields) < 13 {
			continue
		}
		for _, text := range fields[11:13] {
			ticks, _ := strconv.ParseInt(text, 10, 64) // the kernel writes numbers
			total += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return total
}
