package delivery

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/quorate/quorate/delivery/relay"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// BenchmarkFanout sends to a chat of 256 members who are all online, with a number of messages in flight, over a quorum of three with
// real fsyncs. A message is done when all members have it. ns/op is per message; deliveries/s counts each member.
//
// The edge follows the settings of the cluster, so the variant is set there.
func BenchmarkFanout(b *testing.B) {
	const members = 256
	e := openEdge(b, sequencertest.Start(b, 3, 2).Addrs())
	users, chat, got, arrived := crowd(b, e, members)
	for _, row := range []struct {
		variant  variant
		inFlight int
	}{{inline, 1}, {spread, 1}, {inline, 16}, {spread, 16}} {
		inFlight := row.inFlight
		b.Run(fmt.Sprintf("variant=%s/inflight=%d", variantNames[row.variant], inFlight), func(b *testing.B) {
			useVariant(b, e, row.variant)
			base, sent := got.Load(), int64(0)
			for b.Loop() {
				for got.Load()-base < (sent-int64(inFlight)+1)*members {
					<-arrived
				}
				sent++
				q := wire.AppendRequest{ChatID: chat, SenderID: users[0], ClientMessageID: fresh("c"), Text: strings.Repeat("x", 100)}
				e.seq.AppendAsync(patience, q, func(_ wire.AppendAck, err error) {
					if err != nil {
						b.Error(err)
					}
				})
			}
			for got.Load()-base < sent*members {
				<-arrived
			}
			b.ReportMetric(float64(sent*members)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

// BenchmarkGiveAll hands 16 messages of a chat, as a hub sends them, to 256 sessions, together and each by itself, until all have them.
func BenchmarkGiveAll(b *testing.B) {
	const members, messages = 256, 16
	e := openEdge(b, sequencertest.Start(b, 1, 1).Addrs())
	users, chat, got, arrived := crowd(b, e, members)
	others := append(slices.Clone(users), "nobody") // so they join no message before them
	next, want := wire.Seq(1), int64(0)
	for _, together := range []bool{true, false} {
		b.Run(fmt.Sprintf("together=%t", together), func(b *testing.B) {
			out := local{srv: e.Server}
			for b.Loop() {
				entries := make([]relay.Entry, messages)
				for i := range entries {
					entries[i] = relay.Entry{Users: users, Item: relay.Item{Kind: relay.ItemMessage, ChatID: chat, Message: &wire.Message{
						ChatID: chat, Seq: next, SenderID: users[0], ClientMessageID: "c", Text: strings.Repeat("x", 100),
					}}}
					if next++; !together && i%2 == 1 {
						entries[i].Users = others
					}
				}
				out.giveAll(entries)
				out.flush()
				for want += members * messages; got.Load() < want; {
					<-arrived
				}
			}
			b.ReportMetric(float64(b.N*members*messages)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

// crowd makes a chat of so many members, who are all online. got counts what they have got; arrived is told when it rises.
func crowd(b *testing.B, e *edge, members int) (users []string, chat string, got *atomic.Int64, arrived chan struct{}) {
	b.Helper()
	for range members {
		users = append(users, fresh("member"))
	}
	got, arrived = new(atomic.Int64), make(chan struct{}, 1)
	chat = e.group(users...)
	for _, user := range users {
		countFrames(b, e, user, func(n int) {
			got.Add(int64(n))
			select {
			case arrived <- struct{}{}:
			default:
			}
		})
	}
	return users, chat, got, arrived
}

// countFrames opens a session that only counts the messages that it gets.
func countFrames(b *testing.B, e *edge, user string, count func(int)) {
	conn, err := net.Dial("tcp", e.Addr())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	in := bufio.NewReaderSize(conn, 64<<10)
	fmt.Fprintf(conn, "GET /stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer user:%s\r\n\r\n", user)
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 101 {
		b.Fatal(resp, err)
	}
	hello := `{"type":"hello","deviceId":"d"}`
	if _, err := conn.Write(append([]byte{0x81, 0x80 | byte(len(hello)), 0, 0, 0, 0}, hello...)); err != nil {
		b.Fatal(err)
	}
	ready := make(chan struct{})
	go func() {
		live := false
		for {
			n, err := skipFrames(in, func(payload []byte) {
				if !live && strings.Contains(string(payload), `"caughtUp"`) {
					live = true
					close(ready)
				}
			}, live)
			if err != nil {
				return
			}
			if live && n > 0 {
				count(n)
			}
		}
	}()
	select {
	case <-ready:
	case <-context.Background().Done():
	}
}

// skipFrames reads a frame, and all others that are there already, and returns how many are messages. look sees them while not live.
func skipFrames(in *bufio.Reader, look func([]byte), live bool) (n int, err error) {
	for first := true; first || in.Buffered() > 0; first = false {
		head, err := in.Peek(4)
		if err != nil {
			return n, err
		}
		size, skip := int(head[1]), 2
		if size == 126 {
			size, skip = int(binary.BigEndian.Uint16(head[2:4])), 4
		}
		if _, err := in.Discard(skip); err != nil {
			return n, err
		}
		if live {
			body, err := in.Peek(min(size, 20))
			if err != nil {
				return n, err
			}
			if strings.HasPrefix(string(body), `{"type":"message"`) {
				n++
			}
			if _, err := in.Discard(size); err != nil {
				return n, err
			}
			continue
		}
		payload := make([]byte, size)
		if _, err := io.ReadFull(in, payload); err != nil {
			return n, err
		}
		look(payload)
	}
	return n, nil
}

// useVariant has all slots use a variant.
func useVariant(t testing.TB, e *edge, v variant) {
	t.Helper()
	eventually(t, "the setting to be made", func() bool {
		_, err := e.seq.DoFollow(context.Background(), e.seq.LeaderOf(0), "CLUSTER", "SET", fanoutSetting, variantNames[v]+":100")
		return err == nil
	})
	eventually(t, "the setting to be followed", func() bool { return *e.rollout.now.Load() == choice{v, 100} })
}
