package sequencer_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/quorate/quorate/sequencer"
)

// refused looks that a connection is told why it ends, and ends.
func refused(t *testing.T, c *raw, why string) {
	t.Helper()
	got := c.next()
	if err, ok := got.(replyError); !ok || string(err) != "ERR Protocol error: "+why {
		t.Errorf("answers %v, want the protocol error %q", got, why)
	}
	c.ended()
}

func TestServer_HostileInput(t *testing.T) {
	n := openNode(t, nil)
	for _, first := range []string{"", "PING\r\n", pipelined("PING")} {
		for _, tt := range []struct{ input, why string }{
			{"*1\r\n$9223372036854775800\r\nPING\r\n", "invalid bulk length"},
			{"*2147483647\r\n", "invalid multibulk length"},
			{"*9223372036854775807\r\n$1\r\na\r\n", "invalid multibulk length"},
			{"$-5\r\n", "expected '*', got '$'"},
			{"*-1\r\n", "invalid multibulk length"},
			{"*0\r\n", "invalid multibulk length"},
			{"*1\r\n:1\r\n", "expected '$', got ':'"},
			{"ECHO \"a\r\n", "unbalanced quotes in request"},
			{"\x00\r\n", `expected '*', got '\x00'`},
			{"*5\r\n" + strings.Repeat("$65536\r\n"+strings.Repeat("x", 65536)+"\r\n", 5), "invalid bulk length"},
			{strings.Repeat("x", 4<<20), "too big inline request"},
		} {
			c := dial(t, n.RESPAddr())
			c.send(first)
			if first != "" && c.next() != "PONG" {
				t.Fatal("no PONG")
			}
			go io.WriteString(c, tt.input) //nolint:errcheck // the server may end it first
			refused(t, c, tt.why)
		}
	}
	if c := dial(t, n.RESPAddr()); c.do("PING") != "PONG" {
		t.Error("the server has gone")
	}
}

func TestServer_HTTPIsClosedBeforeItsBodyRuns(t *testing.T) {
	n := openNode(t, nil)
	for _, first := range []string{"", "PING\r\n"} {
		c := dial(t, n.RESPAddr())
		c.send(first + "POST / HTTP/1.1\r\nHost: localhost\r\n\r\nCHAT.CREATE evil group eve\r\n")
		if first != "" && c.next() != "PONG" {
			t.Fatal("no PONG")
		}
		c.ended()
	}
	c := dial(t, n.RESPAddr())
	failsWith(t, c.do("CHAT.GET", "evil"), "NOCHAT")
}

func TestServer_InlineCommands(t *testing.T) {
	c := dial(t, openNode(t, nil).RESPAddr())
	c.send("\r\nPING\r\n  ping 'a b'\r\n\n\necho \"x\\ny\"\r\nnosuch\r\n")
	for _, want := range []any{"PONG", "a b", "x\ny"} {
		if got := c.next(); got != want {
			t.Errorf("answers %q, want %q", got, want)
		}
	}
	failsWith(t, c.next(), "ERR")
}

// TestServer_PipelineKeepsOrder sends ten thousand commands of all sorts before it reads one answer.
func TestServer_PipelineKeepsOrder(t *testing.T) {
	n := openNode(t, nil)
	c := dial(t, n.RESPAddr())
	works(t, c.do("CHAT.CREATE", "c", "group", "alice"))
	const rounds = 2500
	go func() {
		var b bytes.Buffer
		for i := range rounds {
			b.WriteString(pipelined("CHAT.APPEND", "c", "alice", fmt.Sprint("m", i), fmt.Sprint("text ", i)))
			b.WriteString(pipelined("ECHO", fmt.Sprint(i)))
			b.WriteString(pipelined("CHAT.HEAD", "c"))
			b.WriteString(pipelined("CHAT.APPEND", "nochat", "alice", "m", "x"))
		}
		if _, err := c.Write(b.Bytes()); err != nil {
			t.Error(err)
		}
	}()
	for i := range rounds {
		if seq := fields(t, works(t, c.next()))["seq"]; seq != int64(i+1) {
			t.Fatalf("append %d has seq %v", i, seq)
		}
		if got := c.next(); got != fmt.Sprint(i) {
			t.Fatalf("echo %d answers %v", i, got)
		}
		if last := fields(t, list(t, works(t, c.next()))[0])["lastSeq"].(int64); last < int64(i+1) {
			t.Fatalf("the head behind append %d is %d: it does not see what its connection wrote before", i, last)
		}
		failsWith(t, c.next(), "NOCHAT")
	}
}

func TestServer_HalfClosedClientGetsItsAnswers(t *testing.T) {
	c := dial(t, openNode(t, nil).RESPAddr())
	c.send(pipelined("CHAT.CREATE", "c", "group", "alice") + pipelined("CHAT.APPEND", "c", "alice", "m", "x") +
		pipelined("CHAT.RANGE", "c", "1", "10"))
	if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		works(t, c.next())
	}
	c.ended()
}

func TestServer_PasswordIsWanted(t *testing.T) {
	n := openNode(t, func(cfg *sequencer.Config) { cfg.Password = "secret" })
	c := dial(t, n.RESPAddr())
	for _, command := range []string{"PING", "CHAT.GET c", "HELLO 3", "COMMAND", "NOSUCH"} {
		failsWith(t, c.do(strings.Fields(command)...), "NOAUTH")
	}
	failsWith(t, c.do("AUTH", "wrong"), "WRONGPASS")
	failsWith(t, c.do("AUTH", "root", "secret"), "WRONGPASS")
	failsWith(t, c.do("AUTH", "a", "b", "c"), "ERR")
	if got := c.do("AUTH", "secret"); got != "OK" {
		t.Fatalf("AUTH answers %v", got)
	}
	if got := c.do("PING"); got != "PONG" {
		t.Errorf("PING answers %v", got)
	}
	works(t, c.do("RESET"))
	failsWith(t, c.do("PING"), "NOAUTH")
	hello := fields(t, works(t, c.do("HELLO", "3", "AUTH", "default", "secret", "SETNAME", "me")))
	if hello["proto"] != int64(3) || hello["mode"] != "cluster" {
		t.Errorf("HELLO answers %v", hello)
	}
	if got := c.do("CLIENT", "GETNAME"); got != "me" {
		t.Errorf("the name is %v", got)
	}
}

func TestServer_PasswordAndCommandsInOnePiece(t *testing.T) {
	n := openNode(t, func(cfg *sequencer.Config) { cfg.Password = "secret" })
	c := dial(t, n.RESPAddr())
	big := strings.Repeat("x", 40<<10)
	c.send(pipelined("AUTH", "secret") + pipelined("ECHO", big) + pipelined("PING"))
	for _, want := range []any{"OK", big, "PONG"} {
		if got := c.next(); got != want {
			t.Fatalf("answers %.40q, want %.40q", got, want)
		}
	}
}

func TestServer_GuessingEnds(t *testing.T) {
	n := openNode(t, func(cfg *sequencer.Config) { cfg.Password = "secret" })
	c := dial(t, n.RESPAddr())
	for i := range 5 {
		failsWith(t, c.do("AUTH", fmt.Sprint("guess", i)), "WRONGPASS")
	}
	c.ended()
}

func TestServer_StrangersGetLittle(t *testing.T) {
	n := openNode(t, func(cfg *sequencer.Config) { cfg.Password = "secret" })
	for _, tt := range []struct{ input, why string }{
		{"*11\r\n", "unauthenticated multibulk length"},
		{"*2\r\n$4\r\nAUTH\r\n$16385\r\n", "unauthenticated bulk length"},
		{strings.Repeat("x", 17<<10), "too big inline request"},
	} {
		c := dial(t, n.RESPAddr())
		c.send(tt.input)
		refused(t, c, tt.why)
	}
}

func TestServer_ConnectionsAreBounded(t *testing.T) {
	n := openNode(t, func(cfg *sequencer.Config) { cfg.Limits.Connections = 8 })
	var open []*raw
	for {
		c := dial(t, n.RESPAddr())
		c.send(pipelined("PING"))
		if got := c.next(); got != "PONG" {
			if got != replyError("ERR max number of clients reached") || len(open) > 8 {
				t.Errorf("connection %d answers %v", len(open)+1, got)
			}
			c.ended()
			break
		}
		open = append(open, c)
	}
	open[0].send("QUIT\r\n")
	if got := open[0].next(); got != "OK" {
		t.Errorf("QUIT answers %v", got)
	}
	open[0].ended()
	eventually(t, "a connection to be taken again", func() bool {
		c := dial(t, n.RESPAddr())
		c.send(pipelined("PING"))
		v, err := c.read()
		return err == nil && v == "PONG"
	})
}

// eventually polls for what no event tells.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestServer_ClientThatDoesNotRead looks that it is read no further when too much waits for it, and then closed.
func TestServer_ClientThatDoesNotRead(t *testing.T) {
	n := openNode(t, func(cfg *sequencer.Config) {
		cfg.Limits.ConnReplyBytes = 1 << 20
		cfg.Limits.WriteWait = 200 * time.Millisecond
	})
	c := dial(t, n.RESPAddr())
	command := []byte(pipelined("ECHO", strings.Repeat("x", 60<<10)))
	for sent := 0; ; sent += len(command) {
		if _, err := c.Write(command); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection was not closed")
			}
			break
		}
		if sent > 512<<20 {
			t.Fatal("half a gigabyte was taken from a client that does not read")
		}
	}
	if other := dial(t, n.RESPAddr()); other.do("PING") != "PONG" {
		t.Error("others are not served")
	}
}

func TestServer_BlockedReadEndsWithTheConnection(t *testing.T) {
	n := openNode(t, func(cfg *sequencer.Config) { cfg.Limits.BlockedReads = 1 })
	c, other := dial(t, n.RESPAddr()), dial(t, n.RESPAddr())
	c.send(pipelined("FEED.READ", "0", "1000", "BLOCK", "30000"))
	blocked := func(n int) func() bool {
		return func() bool {
			return strings.Contains(fmt.Sprint(other.do("INFO", "clients")), fmt.Sprintf("blocked_clients:%d\r", n))
		}
	}
	eventually(t, "the read to block", blocked(1))
	failsWith(t, other.do("FEED.READ", "1", "1000", "BLOCK", "30000"), "BUSY")
	c.Close()
	eventually(t, "the read to end", blocked(0))
}

func TestServer_BlockedReadWakesWithTheEvent(t *testing.T) {
	n := openNode(t, func(cfg *sequencer.Config) { cfg.Groups = 1 })
	c, other := dial(t, n.RESPAddr()), dial(t, n.RESPAddr())
	c.send(pipelined("FEED.READ", "0", "1", "BLOCK", "30000") + pipelined("PING"))
	eventually(t, "the read to block", func() bool {
		return strings.Contains(fmt.Sprint(other.do("INFO")), "blocked_clients:1\r")
	})
	works(t, other.do("CHAT.CREATE", "c", "group", "alice"))
	answer := fields(t, works(t, c.next()))
	event := fields(t, list(t, answer["events"])[0])
	if answer["next"] != int64(2) || event["kind"] != "chat" || event["chatId"] != "c" || fmt.Sprint(event["added"]) != "[alice]" {
		t.Errorf("the feed answers %v", answer)
	}
	if got := c.next(); got != "PONG" {
		t.Errorf("behind the read: %v", got)
	}
}

func TestServer_CloseAnswersWhatIsUnderWay(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	n := openNode(t, nil)
	c, idle := dial(t, n.RESPAddr()), dial(t, n.RESPAddr())
	works(t, c.do("CHAT.CREATE", "c", "group", "alice"))
	const appends = 500
	for i := range appends {
		c.send(pipelined("CHAT.APPEND", "c", "alice", fmt.Sprint("m", i), "text"))
	}
	works(t, c.next())
	closed := make(chan error)
	go func() { closed <- n.Close() }()
	answers := 1
	for ; ; answers++ {
		v, err := c.read()
		if err != nil {
			break
		}
		if refusal, ok := v.(replyError); ok {
			failsWith(t, refusal, "TRYAGAIN") // came when the node had let go of the group
		}
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	idle.ended()
	goleak.VerifyNone(t, leaks)
	t.Logf("%d of %d were answered", answers, appends)
}

// TestServer_PanicEndsOneConnection looks that what is wrong with one command costs no more than its connection.
func TestServer_PanicEndsOneConnection(t *testing.T) {
	for _, onReader := range []bool{true, false} {
		remove := sequencer.AddCommand("TEST.PANIC", onReader, func() { panic("as the test wants") })
		t.Cleanup(remove)
		t.Run(fmt.Sprint("onReader=", onReader), func(t *testing.T) {
			n := openNodeThatPanics(t, 1, func(cfg *sequencer.Config) { cfg.Logger = slog.New(slog.DiscardHandler) })
			c, other := dial(t, n.RESPAddr()), dial(t, n.RESPAddr())
			if got := other.do("PING"); got != "PONG" {
				t.Fatalf("PING answers %v", got)
			}
			c.send(pipelined("TEST.PANIC") + pipelined("PING"))
			c.ended()
			if got := other.do("PING"); got != "PONG" {
				t.Errorf("another connection answers %v", got)
			}
		})
	}
}
