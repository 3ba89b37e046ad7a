package delivery

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/delivery/frame"
	"github.com/quorate/quorate/delivery/frame/frametest"
)

// TestAutobahn runs the whole list over real connections of an engine that echoes. The parser runs the same list with every split.
func TestAutobahn(t *testing.T) {
	rig := newEngineRig(t, engineConfig{})
	rig.bare = true
	for _, c := range frametest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			handshake := goodHandshake
			if c.Offer != "" {
				handshake = strings.Replace(handshake, "\r\n\r\n", "\r\nSec-WebSocket-Extensions: "+c.Offer+"\r\n\r\n", 1)
			}
			client := rig.dial(handshake)
			client.t = t
			if resp := client.response(); resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Extensions") != "" {
				t.Fatalf("%s: the handshake gave %s with extensions %q", c.Title, resp.Status, resp.Header.Get("Sec-WebSocket-Extensions"))
			}
			want := expectedOf(c.Want)
			sent := make(chan error, 1)
			go func() { sent <- client.pour(c.Send(), c.Chop, want.ends) }()
			got := client.collect()
			if err := <-sent; err != nil {
				t.Errorf("%s: write: %v", c.Title, err)
			}
			if !slices.Equal(got.texts, want.texts) || !slices.Equal(got.pongs, want.pongs) || got.code != want.code {
				t.Errorf("%s: the server said %.300s, want %.300s", c.Title, fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want))
			}
			_ = client.tcp.Close()
		})
	}
}

// said is what a server sends over the life of a connection. How its pongs and its own messages mix is its own affair.
type said struct {
	texts, pongs []string
	code         int
	ends         bool // of itself, without a close frame behind the case
}

// expectedOf tells what comes of what the server reads.
func expectedOf(events []string) (s said) {
	s.code = closeNormal
	for _, event := range events {
		kind, rest, _ := strings.Cut(event, " ")
		switch kind {
		case "text":
			s.texts = append(s.texts, rest)
		case "ping":
			s.pongs = append(s.pongs, rest)
		case "fail", "close":
			_, _ = fmt.Sscan(rest, &s.code)
			s.ends = true
		}
	}
	return s
}

// pour writes bytes in pieces, and a close frame behind them unless the case ends by itself.
func (c *rawClient) pour(b []byte, chop int, ends bool) error {
	if chop == 0 {
		chop = max(len(b), 1)
	}
	for piece := range slices.Chunk(b, chop) {
		if _, err := c.tcp.Write(piece); err != nil {
			return err
		}
	}
	if ends {
		return nil
	}
	_, err := c.tcp.Write(maskedClose(closeNormal, ""))
	return err
}

// collect reads all that the server says up to its close frame and the end of the stream.
func (c *rawClient) collect() (s said) {
	c.t.Helper()
	for {
		op, payload, err := c.read()
		if err != nil {
			c.t.Fatalf("after %d texts and %d pongs: %v", len(s.texts), len(s.pongs), err)
		}
		switch op {
		case frame.OpText:
			s.texts = append(s.texts, string(payload))
		case frame.OpPong:
			s.pongs = append(s.pongs, string(payload))
		case frame.OpClose:
			s.code, s.ends = closeNoStatus, true
			if len(payload) >= 2 {
				s.code = int(binary.BigEndian.Uint16(payload))
			}
			if b, err := c.r.ReadByte(); !errors.Is(err, io.EOF) {
				c.t.Fatalf("after the close frame: byte %x, %v; want the end of the stream", b, err)
			}
			return s
		default:
			c.t.Fatalf("the server sent a frame %x", op)
		}
	}
}
