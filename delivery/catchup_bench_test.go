package delivery

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// BenchmarkCatchUp has a client that is 5,000 messages behind in one chat, and tells how long it is from its hello to caughtUp: where
// all of them are hot, and where 4,000 are archived, of which this node has read nothing yet, or has it here.
func BenchmarkCatchUp(b *testing.B) {
	const behind, archived = 5000, 4000
	store, err := archive.OpenStore("file://" + b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	c := sequencertest.Start(b, 3, 1, func(_ int, cfg *sequencer.Config) {
		cfg.Archive, cfg.ArchiveAfter, cfg.FeedRetention, cfg.ArchiveEvery = store, time.Millisecond, time.Millisecond, time.Hour
	})
	client := c.Client()
	sequencertest.MakeChats(b, client, []string{"ann", "old-reader"}, "old")
	sayMany(b, client, "old", archived+1) // of which the last stays hot
	time.Sleep(2 * time.Millisecond)
	c.Operate("ARCHIVE", "RUN", "0")
	sayMany(b, client, "old", behind-archived-1)
	sequencertest.MakeChats(b, client, []string{"ann", "hot-reader"}, "hot")
	sayMany(b, client, "hot", behind)
	node := func() *edge { return openEdge(b, c.Addrs(), func(cfg *Config) { cfg.Archive = store }) }
	warm := node()
	for _, row := range []struct {
		what, chat string
		node       func() *edge
	}{
		{"5000 hot", "hot", func() *edge { return warm }},
		{"4000 archived, nothing here", "old", node},
		{"4000 archived, here", "old", func() *edge { return warm }},
	} {
		b.Run(row.what, func(b *testing.B) {
			b.StopTimer()
			for range b.N {
				e := row.node()
				b.StartTimer()
				e.catchUp(b, row.chat+"-reader", row.chat, 1, behind)
				b.StopTimer()
			}
		})
	}
}

// sayMany appends n messages to a chat.
func sayMany(tb testing.TB, client *wire.Client, chat string, n int) {
	tb.Helper()
	failed := make(chan error, n)
	for i := range n {
		client.AppendAsync(time.Minute, wire.AppendRequest{
			ChatID: chat, SenderID: "ann", ClientMessageID: fresh("m"), Text: strings.Repeat("what people write ", 1+i%8),
		}, func(_ wire.AppendAck, err error) { failed <- err })
	}
	for range n {
		if err := <-failed; err != nil {
			tb.Fatal(err)
		}
	}
}

// catchUp says hello with a cursor at a message of a chat and reads until it has caught up, as a client does that acknowledges now and
// then. It makes sure that all messages come, in order.
func (e *edge) catchUp(tb testing.TB, user, chat string, from, last int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+e.Addr()+"/stream", &websocket.DialOptions{
		HTTPClient: e.http, HTTPHeader: http.Header{"Authorization": {"Bearer user:" + user}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	defer ws.CloseNow() //nolint:errcheck // it has caught up
	ws.SetReadLimit(16 << 20)
	say := func(text string) {
		if err := ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			tb.Fatal(err)
		}
	}
	say(fmt.Sprintf(`{"type":"hello","deviceId":"%s","cursors":{"%s":%d}}`, fresh("dev"), chat, from))
	for n := from - 1; ; {
		_, frame, err := ws.Read(ctx)
		if err != nil {
			tb.Fatal(err)
		}
		switch {
		case bytes.Contains(frame, []byte(`"type":"message"`)):
			_, after, _ := bytes.Cut(frame, []byte(`"sequenceNumber":`))
			seq, _, _ := bytes.Cut(after, []byte(`,`))
			if n++; string(seq) != strconv.Itoa(n) {
				tb.Fatalf("message %s where %d should be: %s", seq, n, frame)
			}
			if n%500 == 0 && n < last { // the last is not acknowledged, so that the next time is like this one
				say(fmt.Sprintf(`{"type":"ack","chatId":"%s","seq":%d}`, chat, n))
			}
		case bytes.Contains(frame, []byte(`"type":"caughtUp"`)):
			if n != last {
				tb.Fatalf("caught up at %d of %d", n, last)
			}
			return
		}
	}
}
