package wire_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

// BenchmarkClientPipeline appends through one connection to a node in the same process that answers at once, from so many
// callers that each wait for their answer. Half of the time is the node's.
func BenchmarkClientPipeline(b *testing.B) {
	for _, senders := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("senders=%d", senders), func(b *testing.B) {
			ack := maps("seq", num(12345), "sentAt", num(1700000000123), "lamport", num(99999), "replayed", num(0))
			n, c := single(b, wire.ClientConfig{}, nil)
			n.raw(func(_ *fakeConn, args []string) (string, bool) { return ack, args[0] == "CHAT.APPEND" })
			n.forget()
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for s := range senders {
				share := b.N / senders
				if s < b.N%senders {
					share++
				}
				wg.Add(1)
				next(b, c, s, share, &wg)
			}
			wg.Wait()
		})
	}
}

// next sends a message, and the one after it from the answer, left times; then it is done.
func next(b *testing.B, c *wire.Client, sender, left int, wg *sync.WaitGroup) {
	if left == 0 {
		wg.Done()
		return
	}
	q := wire.AppendRequest{ChatID: "tea", SenderID: "ann", ClientMessageID: "id-1", Text: "a message of no great length, as most of them are"}
	c.AppendAsync(patience, q, func(_ wire.AppendAck, err error) {
		if err != nil {
			b.Error(err)
		}
		next(b, c, sender, left-1, wg)
	})
}
