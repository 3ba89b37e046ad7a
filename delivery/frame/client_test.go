package frame

import "encoding/binary"

// clientFrame is a frame as a client sends it: masked, with the first header byte as given.
func clientFrame(first byte, payload []byte) []byte {
	var head []byte
	switch n := len(payload); {
	case n < 126:
		head = []byte{first, 0x80 | byte(n)}
	case n <= 0xFFFF:
		head = binary.BigEndian.AppendUint16([]byte{first, 0x80 | 126}, uint16(n))
	default:
		head = binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, uint64(n))
	}
	mask := [4]byte{0x9A, 0x00, 0xFF, 0x37}
	out := append(head, mask[:]...)
	for i, b := range payload {
		out = append(out, b^mask[i&3])
	}
	return out
}

const (
	fin  = 0x80
	rsv1 = 0x40
	rsv2 = 0x20
	rsv3 = 0x10
)

func text(s string) []byte      { return clientFrame(fin|byte(OpText), []byte(s)) }
func textStart(s string) []byte { return clientFrame(byte(OpText), []byte(s)) }
func more(s string) []byte      { return clientFrame(byte(OpContinuation), []byte(s)) }
func end(s string) []byte       { return clientFrame(fin|byte(OpContinuation), []byte(s)) }
func ping(s string) []byte      { return clientFrame(fin|byte(OpPing), []byte(s)) }
func pong(s string) []byte      { return clientFrame(fin|byte(OpPong), []byte(s)) }
func closing(b ...byte) []byte  { return clientFrame(fin|byte(OpClose), b) }

func closeCode(code int, reason string) []byte {
	return closing(append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)...)
}

func join(frames ...[]byte) []byte {
	var all []byte
	for _, f := range frames {
		all = append(all, f...)
	}
	return all
}
