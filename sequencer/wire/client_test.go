package wire_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

func TestClient_FollowsMoved(t *testing.T) {
	old, leader := startNode(t), startNode(t)
	old.leads(func() string { return slotsOf([]string{old.addr}, old.addr, leader.addr) })
	leader.leads(old.Slots) // neither knows better: only MOVED tells
	old.script(func(_ *fakeConn, args []string) string {
		return fmt.Sprintf("-MOVED %d %s\r\n", wire.SlotOf(args[1]), leader.addr)
	})
	c := newClient(t, wire.ClientConfig{RefreshEvery: time.Hour}, old)
	if err := c.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	if o := await(t, submit(c, patience, "SET", "tea")); o.err != nil || o.r.Str() != "OK" {
		t.Fatalf("got %v, %v", o.r, o.err)
	}
	if o := await(t, submit(c, patience, "SET", "milk")); o.err != nil {
		t.Fatal(o.err)
	}
	if got := old.commands(); !slices.Equal(got, []string{"SET tea"}) {
		t.Errorf("the old leader was asked %q; the second request should know", got)
	}
	if got := c.LeaderOf(0); got != leader.addr {
		t.Errorf("leader is %s, want %s", got, leader.addr)
	}
	if got := c.ReplicasOf(0); !slices.Equal(got, []string{leader.addr, old.addr}) {
		t.Errorf("replicas are %v", got)
	}
}

// TestClient_MovedInACircle has two nodes each say that the other leads; then one of them does.
func TestClient_MovedInACircle(t *testing.T) {
	a, b := startNode(t), startNode(t)
	var asked atomic.Int32
	to := func(n *fakeNode) func(*fakeConn, []string) string {
		return func(_ *fakeConn, args []string) string {
			if asked.Add(1) > 12 {
				return "+OK\r\n"
			}
			return fmt.Sprintf("-MOVED %d %s\r\n", wire.SlotOf(args[1]), n.addr)
		}
	}
	a.script(to(b))
	b.script(to(a))
	c := newClient(t, wire.ClientConfig{}, a)
	if o := await(t, submit(c, patience, "SET", "tea")); o.err != nil {
		t.Fatal(o.err)
	}
}

func TestClient_RetriesWhatIsTemporary(t *testing.T) {
	for _, word := range []string{"TRYAGAIN", "CLUSTERDOWN", "UNKNOWN", "BUSY"} {
		t.Run(word, func(t *testing.T) {
			var calls atomic.Int32
			n, c := single(t, wire.ClientConfig{}, func(*fakeConn, []string) string {
				if calls.Add(1) <= 3 {
					return "-" + word + " not now\r\n"
				}
				return num(7)
			})
			o := await(t, submit(c, patience, "CHAT.APPEND", "tea", "ann", "id-1", "hi"))
			if got, err := o.r.Uint(); o.err != nil || err != nil || got != 7 {
				t.Fatalf("got %v, %v", o.r, o.err)
			}
			want := slices.Repeat([]string{"CHAT.APPEND tea ann id-1 hi"}, 4)
			if got := n.commands(); !slices.Equal(got, want) {
				t.Errorf("the node was asked %q", got)
			}
		})
	}
}

func TestClient_DoesNotRetryWhatIsNot(t *testing.T) {
	for word, want := range map[string]error{
		"ERR": wire.ErrBadRequest, "NOTMEMBER": wire.ErrNotMember, "NOCHAT": wire.ErrNoChat, "CONFLICT": wire.ErrConflict,
		"TOOLARGE": wire.ErrTooLarge, "TRIMMED": wire.ErrTrimmed, "NOAUTH": wire.ErrNoAuth, "WRONGTYPE": wire.ErrBadRequest,
	} {
		t.Run(word, func(t *testing.T) {
			n, c := single(t, wire.ClientConfig{}, func(*fakeConn, []string) string { return "-" + word + " because\r\n" })
			o := await(t, submit(c, patience, "X", "tea"))
			if !errors.Is(o.err, want) || !strings.Contains(o.err.Error(), "because") {
				t.Errorf("got %v, want %v", o.err, want)
			}
			if got := n.commands(); len(got) != 1 {
				t.Errorf("the node was asked %d times", len(got))
			}
		})
	}
}

func TestClient_ConnectionCut(t *testing.T) {
	for name, first := range map[string]string{"before the reply": cut, "after the reply": cutAfter + ":1\r\n"} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			_, c := single(t, wire.ClientConfig{}, func(*fakeConn, []string) string {
				if calls.Add(1) == 1 {
					return first
				}
				return num(2)
			})
			for range 2 {
				if o := await(t, submit(c, patience, "X", "tea")); o.err != nil {
					t.Fatal(o.err)
				}
			}
		})
	}
}

// TestClient_CutLeavesTheOutcomeOpen: an attempt was lost, and after it every answer is a definite no until time is over.
func TestClient_CutLeavesTheOutcomeOpen(t *testing.T) {
	var calls atomic.Int32
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, c := single(t, wire.ClientConfig{}, func(*fakeConn, []string) string {
		switch calls.Add(1) {
		case 1:
			return cut
		case 3:
			cancel()
		}
		return "-TRYAGAIN later\r\n"
	})
	_, err := c.Do(ctx, "tea", "X", "tea")
	if !errors.Is(err, wire.ErrUnknown) || errors.Is(err, wire.ErrTryAgain) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want UNKNOWN and canceled", err)
	}
}

// TestClient_RefusalAfterALostAttempt: the message may be stored although its sender is no member any more.
func TestClient_RefusalAfterALostAttempt(t *testing.T) {
	for command, want := range map[string]error{"CHAT.APPEND": wire.ErrUnknown, "CHAT.GET": wire.ErrNotMember} {
		var calls atomic.Int32
		_, c := single(t, wire.ClientConfig{}, func(*fakeConn, []string) string {
			if calls.Add(1) == 1 {
				return cut
			}
			return "-NOTMEMBER since just now\r\n"
		})
		o := await(t, submit(c, patience, command, "tea"))
		if !errors.Is(o.err, want) || errors.Is(o.err, wire.ErrUnknown) == errors.Is(o.err, wire.ErrNotMember) {
			t.Errorf("%s: got %v, want %v alone", command, o.err, want)
		}
		if o := await(t, submit(c, patience, command, "tea")); !errors.Is(o.err, wire.ErrNotMember) {
			t.Errorf("%s again: got %v, want NOTMEMBER", command, o.err)
		}
	}
}

func TestClient_SilentServer(t *testing.T) {
	n, c := single(t, wire.ClientConfig{}, func(*fakeConn, []string) string { return noAnswer })
	ask := map[string]func(id string) error{
		"submit": func(id string) error { return await(t, submit(c, 50*time.Millisecond, "X", "tea", id)).err },
		"do": func(id string) error {
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			_, err := c.Do(ctx, "tea", "X", "tea", id)
			return err
		},
	}
	for how, ask := range ask {
		tries := 0
		eventually(t, "request that reaches the node in time", func() bool {
			tries++
			id := fmt.Sprintf("%s-%d", how, tries)
			err := ask(id)
			if slices.Contains(n.commands(), "X tea "+id) {
				if !errors.Is(err, wire.ErrUnknown) {
					t.Errorf("%s: got %v, want UNKNOWN", how, err)
				}
				return true
			}
			return false // time was over before it was sent, or before the node looked
		})
	}
}

// TestClient_NeverSent has no node, one that refuses connections, or one that never says hello: nothing was executed.
func TestClient_NeverSent(t *testing.T) {
	gone := startNode(t)
	gone.stop()
	mute := startNode(t)
	mute.raw(func(*fakeConn, []string) (string, bool) { return noAnswer, true })
	for name, seeds := range map[string][]*fakeNode{"no seeds": nil, "refused": {gone}, "mute": {mute}} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, wire.ClientConfig{}, seeds...)
			o := await(t, submit(c, 100*time.Millisecond, "X", "tea"))
			if !errors.Is(o.err, wire.ErrClusterDown) || errors.Is(o.err, wire.ErrUnknown) {
				t.Errorf("got %v, want CLUSTERDOWN", o.err)
			}
		})
	}
}

func TestClient_DefiniteErrorAtTheDeadline(t *testing.T) {
	_, c := single(t, wire.ClientConfig{RetryBase: 1e6 * time.Hour, RetryMax: 1e6 * time.Hour}, func(*fakeConn, []string) string {
		return "-TRYAGAIN later\r\n" // once: the next attempt would be long after the deadline
	})
	o := await(t, submit(c, 500*time.Millisecond, "X", "tea"))
	if !errors.Is(o.err, wire.ErrTryAgain) || errors.Is(o.err, wire.ErrUnknown) {
		t.Errorf("got %v, want TRYAGAIN", o.err)
	}
}

// TestClient_LateReply: the reply to a request that is over belongs to nobody, least of all to the next one.
func TestClient_LateReply(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	_, c := single(t, wire.ClientConfig{}, func(_ *fakeConn, args []string) string {
		if args[1] == "late" {
			cancel()
			return noAnswer
		}
		return bulk("late") + bulk(args[1])
	})
	if _, err := c.Do(ctx, "late", "X", "late"); !errors.Is(err, wire.ErrUnknown) {
		t.Fatalf("got %v", err)
	}
	if o := await(t, submit(c, patience, "X", "next")); o.err != nil || o.r.Str() != "next" {
		t.Errorf("got %q, %v, want next", o.r.Str(), o.err)
	}
}

func TestClient_BusyBeyondTheBounds(t *testing.T) {
	for name, cfg := range map[string]wire.ClientConfig{
		"requests of a node":     {MaxInFlight: 4},
		"bytes of a node":        {MaxInFlightBytes: 4 * len("Xtea")},
		"requests of the client": {MaxPending: 4},
		"bytes of the client":    {MaxPendingBytes: 4 * len("Xtea")},
	} {
		t.Run(name, func(t *testing.T) {
			free := make(chan struct{})
			_, c := single(t, cfg, func(*fakeConn, []string) string {
				<-free
				return "+OK\r\n"
			})
			var got []<-chan outcome
			for range 4 {
				got = append(got, submit(c, patience, "X", "tea"))
			}
			fifth := submit(c, patience, "X", "tea")
			select {
			case o := <-fifth:
				if !errors.Is(o.err, wire.ErrBusy) {
					t.Errorf("got %v, want BUSY", o.err)
				}
			default:
				t.Error("the fifth was not refused at once")
			}
			close(free)
			for _, g := range got {
				if o := await(t, g); o.err != nil {
					t.Error(o.err)
				}
			}
			if o := await(t, submit(c, patience, "X", "tea")); o.err != nil {
				t.Errorf("after that there should be room again: %v", o.err)
			}
		})
	}
}

func TestClient_RefusesWhatNoNodeWouldRead(t *testing.T) {
	n, c := single(t, wire.ClientConfig{}, nil)
	for name, tc := range map[string]struct {
		args []string
		want error
	}{
		"nothing":       {nil, wire.ErrBadRequest},
		"many":          {make([]string, 1025), wire.ErrBadRequest}, // the first is empty
		"many named":    {append([]string{"X"}, make([]string, 1024)...), wire.ErrTooLarge},
		"long argument": {[]string{"X", strings.Repeat("x", 64<<10+1)}, wire.ErrTooLarge},
		"long command":  {slices.Repeat([]string{strings.Repeat("x", 64<<10)}, 5), wire.ErrTooLarge},
	} {
		if _, err := c.Do(context.Background(), "tea", tc.args...); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
	if got := n.commands(); len(got) != 0 {
		t.Errorf("%d commands were sent", len(got))
	}
}

func TestClient_KeepsTheOrder(t *testing.T) {
	n, c := single(t, wire.ClientConfig{}, nil)
	const count = 2000
	var want []string
	var got []<-chan outcome
	for i := range count {
		want = append(want, fmt.Sprintf("X tea %d", i))
		got = append(got, submit(c, patience, "X", "tea", fmt.Sprint(i)))
	}
	for _, g := range got {
		if o := await(t, g); o.err != nil {
			t.Fatal(o.err)
		}
	}
	if !slices.Equal(n.commands(), want) {
		t.Error("commands came in another order")
	}
	if n.dialled() != 1 {
		t.Errorf("%d connections", n.dialled())
	}
}

// TestClient_ManyAtOnce sends over connections that are cut again and again, and wants each answer at its own request,
// once.
func TestClient_ManyAtOnce(t *testing.T) {
	var calls atomic.Int64
	_, c := single(t, wire.ClientConfig{}, func(_ *fakeConn, args []string) string {
		if calls.Add(1)%997 == 0 {
			return cut
		}
		return bulk(args[2])
	})
	const senders, each = 100, 100
	var wg sync.WaitGroup
	var done [senders * each]atomic.Int32
	for s := range senders {
		for i := range each {
			wg.Add(1)
			id := s*each + i
			go c.Submit("tea", patience, func(r wire.Reply, err error) {
				if done[id].Add(1) != 1 {
					t.Errorf("done of %d was called again", id)
					return
				}
				if err != nil || r.Str() != fmt.Sprint(id) {
					t.Errorf("request %d got %q, %v", id, r.Str(), err)
				}
				wg.Done()
			}, "X", "tea", fmt.Sprint(id))
		}
	}
	wg.Wait()
}

// TestClient_CloseInFlight closes while requests are everywhere: queued, sent, answered, waiting for a retry.
func TestClient_CloseInFlight(t *testing.T) {
	var calls atomic.Int64
	reached := make(chan struct{})
	_, c := single(t, wire.ClientConfig{}, func(*fakeConn, []string) string {
		n := calls.Add(1)
		if n == 300 {
			close(reached)
		}
		if n > 300 {
			return noAnswer
		}
		return []string{"+OK\r\n", "-TRYAGAIN later\r\n", "-BUSY full\r\n"}[n%3]
	})
	const count = 5000
	var called [count]atomic.Int32
	var total atomic.Int32
	var wg sync.WaitGroup
	for s := range 10 {
		wg.Go(func() {
			for i := s; i < count; i += 10 {
				c.Submit("tea", time.Hour, func(_ wire.Reply, err error) {
					called[i].Add(1)
					total.Add(1)
					if err != nil && !errors.Is(err, wire.ErrClosed) {
						t.Errorf("got %v, want closed", err)
					}
				}, "X", "tea", fmt.Sprint(i))
			}
		})
	}
	awaitClosed(t, "300 commands", reached)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait() // what is submitted after Close is refused at once
	if total.Load() != count {
		t.Errorf("%d of %d were called", total.Load(), count)
	}
	for i := range called {
		if n := called[i].Load(); n != 1 {
			t.Fatalf("done of %d was called %d times", i, n)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Do(context.Background(), "tea", "X", "tea"); !errors.Is(err, wire.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := c.Refresh(context.Background()); !errors.Is(err, wire.ErrClosed) {
		t.Errorf("refresh after Close: %v", err)
	}
}

// TestClient_CloseTellsWhatIsKnown: what was sent may have happened, what was not has not.
func TestClient_CloseTellsWhatIsKnown(t *testing.T) {
	got := make(chan struct{}, 1)
	n, c := single(t, wire.ClientConfig{}, func(*fakeConn, []string) string {
		got <- struct{}{}
		return noAnswer
	})
	open := submit(c, time.Hour, "X", "tea")
	awaitClosed(t, "command", got)
	n.stop()
	_ = c.Close()
	if o := await(t, open); !errors.Is(o.err, wire.ErrUnknown) {
		t.Errorf("sent: got %v, want UNKNOWN", o.err)
	}
	idle := wire.NewClient(wire.ClientConfig{Seeds: []string{n.addr}, Dial: func(ctx context.Context, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	open = submit(idle, time.Hour, "X", "tea")
	_ = idle.Close()
	if o := await(t, open); errors.Is(o.err, wire.ErrUnknown) || !errors.Is(o.err, wire.ErrClosed) {
		t.Errorf("not sent: got %v, want closed", o.err)
	}
}

func TestClient_DoEndsWithItsContext(t *testing.T) {
	got := make(chan *fakeConn, 1)
	_, c := single(t, wire.ClientConfig{}, func(conn *fakeConn, args []string) string {
		if args[1] == "slow" {
			got <- conn
			return noAnswer
		}
		return bulk(args[1])
	})
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error, 1)
	go func() {
		_, err := c.Do(ctx, "slow", "X", "slow")
		failed <- err
	}()
	conn := <-got
	cancel()
	if err := <-failed; !errors.Is(err, wire.ErrUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want UNKNOWN and canceled", err)
	}
	if _, err := c.Do(ctx, "tea", "X", "tea"); !errors.Is(err, context.Canceled) || errors.Is(err, wire.ErrUnknown) {
		t.Errorf("got %v, want canceled", err)
	}
	conn.send(bulk("slow"))
	if r, err := c.Do(context.Background(), "tea", "X", "tea"); err != nil || r.Str() != "tea" {
		t.Errorf("got %q, %v", r.Str(), err)
	}
}

// TestClient_RefusedAndEndedAtOnce: a request that is refused while its context ends is over once, not twice.
func TestClient_RefusedAndEndedAtOnce(t *testing.T) {
	_, c := single(t, wire.ClientConfig{MaxPending: 1}, nil)
	for range 500 {
		ctx, cancel := context.WithCancel(context.Background())
		failed := make(chan error, 1)
		go func() {
			_, err := c.Do(ctx, "tea", strings.Repeat("x", 64<<10+1))
			failed <- err
		}()
		cancel()
		if err := <-failed; !errors.Is(err, wire.ErrTooLarge) && !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	}
	if o := await(t, submit(c, patience, "X", "tea")); o.err != nil {
		t.Errorf("there should be room: %v", o.err)
	}
}

// TestClient_SilentConnectionIsGivenUp: requests behind a connection that has died without a word get through on a new one.
func TestClient_SilentConnectionIsGivenUp(t *testing.T) {
	var first atomic.Pointer[fakeConn]
	n, c := single(t, wire.ClientConfig{StallTimeout: 400 * time.Millisecond}, func(conn *fakeConn, args []string) string {
		first.CompareAndSwap(nil, conn)
		if first.Load() == conn {
			return noAnswer
		}
		return bulk(args[1])
	})
	if o := await(t, submit(c, patience, "X", "tea")); o.err != nil || o.r.Str() != "tea" {
		t.Fatalf("got %v, %v", o.r, o.err)
	}
	if n.dialled() < 2 {
		t.Error("it was on the same connection")
	}
}

func TestClient_GarbageEndsTheConnection(t *testing.T) {
	for name, garbage := range map[string]string{
		"no RESP": "hello?\r\n", "two answers": "+OK\r\n+OK\r\n", "push first": ">1\r\n+news\r\n+OK\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			_, c := single(t, wire.ClientConfig{}, func(*fakeConn, []string) string {
				if calls.Add(1) == 1 {
					return garbage
				}
				return "+OK\r\n"
			})
			for range 2 {
				if o := await(t, submit(c, patience, "X", "tea")); o.err != nil || o.r.Str() != "OK" {
					t.Fatalf("got %v, %v", o.r, o.err)
				}
			}
		})
	}
}

func TestClient_SaysHello(t *testing.T) {
	n := startNode(t)
	hello := make(chan string, 8)
	n.raw(func(_ *fakeConn, args []string) (string, bool) {
		if args[0] != "HELLO" {
			return "", false
		}
		hello <- strings.Join(args, " ")
		if !slices.Contains(args, "secret") {
			return "-WRONGPASS no\r\n", true
		}
		return "", false
	})
	n.leads(func() string { return slotsOf([]string{n.addr}) })
	good := newClient(t, wire.ClientConfig{Password: "secret", Name: "edge-1"}, n)
	if _, err := good.DoNode(context.Background(), n.addr, "PING"); err != nil {
		t.Error(err)
	}
	if got, want := <-hello, "HELLO 3 AUTH default secret SETNAME edge-1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	bad := newClient(t, wire.ClientConfig{Username: "ann", Password: "guess"}, n)
	if o := await(t, submit(bad, patience, "X", "tea")); !errors.Is(o.err, wire.ErrNoAuth) {
		t.Errorf("got %v, want NOAUTH", o.err)
	}
	if got, want := <-hello, "HELLO 3 AUTH ann guess"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestClient_DoNodeGoesWhereItIsTold(t *testing.T) {
	leader, other := startNode(t), startNode(t)
	leader.leads(func() string { return slotsOf([]string{leader.addr}, leader.addr, other.addr) })
	other.script(func(_ *fakeConn, args []string) string {
		if args[0] == "PING" {
			return "+PONG\r\n"
		}
		return "-MOVED 1 " + leader.addr + "\r\n"
	})
	c := newClient(t, wire.ClientConfig{}, leader)
	if r, err := c.DoNode(context.Background(), other.addr, "PING"); err != nil || r.Str() != "PONG" {
		t.Errorf("got %v, %v", r, err)
	}
	var moved *wire.MovedError
	if _, err := c.DoNode(context.Background(), other.addr, "X", "tea"); !errors.As(err, &moved) || moved.Addr != leader.addr {
		t.Errorf("got %v, want MOVED", err)
	}
	other.script(func(*fakeConn, []string) string { return cut })
	if _, err := c.DoNode(context.Background(), other.addr, "X", "tea"); !errors.Is(err, wire.ErrUnknown) {
		t.Errorf("got %v, want UNKNOWN", err)
	}
	if got := other.commands(); len(got) != 3 {
		t.Errorf("the node was asked %q", got)
	}
}
