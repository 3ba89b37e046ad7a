package sequencer_test

import (
	"bufio"
	"fmt"
	"strings"
	"testing"
)

// BenchmarkRESP measures what a command costs on its way through a connection, with 512 under way on each of four
// connections: PING the front alone, CHAT.APPEND of 200 bytes the whole of a quorum of one, fsyncs and the client's own
// work included.
func BenchmarkRESP(b *testing.B) {
	for _, bench := range []struct {
		name    string
		command func(i int) string
	}{
		{"PING", func(int) string { return pipelined("PING") }},
		{"CHAT.APPEND", func(i int) string {
			return pipelined("CHAT.APPEND", fmt.Sprint("chat", i%64), "alice", fmt.Sprint("m", i), strings.Repeat("x", 200))
		}},
		{"CHAT.HEAD", func(i int) string { return pipelined("CHAT.HEAD", fmt.Sprint("chat", i%64)) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			n := openNode(b, nil)
			c := dial(b, n.RESPAddr())
			for i := range 64 {
				works(b, c.do("CHAT.CREATE", fmt.Sprint("chat", i), "group", "alice"))
			}
			const conns = 4
			var inputs [conns]strings.Builder
			for i := range b.N {
				inputs[i%conns].WriteString(bench.command(i))
			}
			b.ReportAllocs()
			cpu := cpuTime(b)
			b.ResetTimer()
			ended := make(chan error, conns)
			for i := range conns {
				go pump(dial(b, n.RESPAddr()), inputs[i].String(), (b.N+conns-1-i)/conns, ended)
			}
			for range conns {
				if err := <-ended; err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64((cpuTime(b)-cpu).Nanoseconds())/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
		})
	}
}

// pump sends commands and reads as many replies.
func pump(c *raw, input string, replies int, ended chan<- error) {
	go c.Write([]byte(input)) //nolint:errcheck // the replies tell
	c.r = bufio.NewReaderSize(c.Conn, 256<<10)
	for range replies {
		v, err := c.read()
		if refusal, ok := v.(replyError); ok {
			err = refusal
		}
		if err != nil {
			ended <- err
			return
		}
	}
	ended <- nil
}
