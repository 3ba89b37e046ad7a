package socket

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

// serverFrame is a frame as a server sends it.
func serverFrame(n int) []byte {
	b := []byte{0x81}
	switch {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, bytes.Repeat([]byte("x"), n)...)
}

func TestNextFrame_WholeOnesOnly(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		f := serverFrame(n)
		for cut := range min(len(f), 20) {
			if _, _, _, whole := NextFrame(f[:cut]); whole {
				t.Errorf("%d bytes of a frame of %d are whole", cut, n)
			}
		}
		op, payload, rest, whole := NextFrame(append(f, "rest"...))
		if !whole || op != OpText || len(payload) != n || string(rest) != "rest" {
			t.Errorf("%d bytes: %v %d %d %q", n, whole, op, len(payload), rest)
		}
	}
}

func TestFields_FoundWhereTheyAre(t *testing.T) {
	payload := []byte(`{"type":"message","chatId":"c1","messageId":"c1:12","senderId":"al","text":"hi","sequenceNumber":12,"lamport":90}`)
	if Kind(payload) != "message" || Text(payload, `"senderId":"`) != "al" || Number(payload, `"sequenceNumber":`) != 12 || Number(payload, `"lamport":`) != 90 {
		t.Error("a field was not found")
	}
	for _, hostile := range []string{"", "{", `{"type":"`, `{"type":"x`, `{"type":"m","sequenceNumber":`, `[]`} {
		b := []byte(hostile)
		if Text(b, `"text":"`) != "" || Number(b, `"sequenceNumber":`) != 0 || len(Kind(b)) > 1 {
			t.Errorf("%q holds something", hostile)
		}
	}
}

func TestCloseError_RetryAfter(t *testing.T) {
	e := &CloseError{Code: 4002, Reason: "retryAfterMs=1500"}
	if e.RetryAfter() != 1500*time.Millisecond || e.Stops() {
		t.Errorf("%v %v", e.RetryAfter(), e.Stops())
	}
	if e = (&CloseError{Code: 4500, Reason: "unauthenticated"}); e.RetryAfter() != 0 || !e.Stops() {
		t.Errorf("%v %v", e.RetryAfter(), e.Stops())
	}
}
