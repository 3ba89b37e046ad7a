package frametest

import "encoding/binary"

// The first byte of a frame: the bit of a final frame, the reserved bits, and the opcodes.
const (
	Fin  = 0x80
	RSV1 = 0x40
	RSV2 = 0x20
	RSV3 = 0x10

	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

// Frame is a frame as a client sends it: masked, its length in the shortest form, with the first byte as given.
func Frame(first byte, payload []byte) []byte {
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
	out := make([]byte, 0, len(head)+len(mask)+len(payload))
	out = append(append(out, head...), mask[:]...)
	for i, b := range payload {
		out = append(out, b^mask[i&3])
	}
	return out
}

// Text is a whole text message.
func Text(s string) []byte { return Frame(Fin|opText, []byte(s)) }

// Start is the first fragment of a text message.
func Start(s string) []byte { return Frame(opText, []byte(s)) }

// More is a fragment that is neither the first nor the last.
func More(s string) []byte { return Frame(opContinuation, []byte(s)) }

// End is the last fragment of a message.
func End(s string) []byte { return Frame(Fin|opContinuation, []byte(s)) }

// Ping is a ping.
func Ping(s string) []byte { return Frame(Fin|opPing, []byte(s)) }

// Pong is a pong.
func Pong(s string) []byte { return Frame(Fin|opPong, []byte(s)) }

// Closing is a close frame with any body.
func Closing(body ...byte) []byte { return Frame(Fin|opClose, body) }

// Close is a close frame with a code and a reason.
func Close(code int, reason string) []byte {
	return Closing(append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)...)
}

// Join puts frames behind each other.
func Join(frames ...[]byte) []byte {
	var all []byte
	for _, f := range frames {
		all = append(all, f...)
	}
	return all
}

// Fragments is a message in fragments of size bytes, the first with the opcode op.
func Fragments(op byte, payload []byte, size int) []byte {
	var out []byte
	for at := 0; at < len(payload); at += size {
		end := min(at+size, len(payload))
		first := byte(opContinuation)
		if at == 0 {
			first = op
		}
		if end == len(payload) {
			first |= Fin
		}
		out = append(out, Frame(first, payload[at:end])...)
	}
	return out
}
