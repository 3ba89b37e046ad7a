package socket

import "encoding/binary"

// Opcodes of frames.
const (
	OpText  = 1
	OpClose = 8
	OpPing  = 9
	OpPong  = 10
)

// NextFrame parts a server's frame from what follows it. Servers do not mask, and ours do not fragment.
func NextFrame(b []byte) (op byte, payload, rest []byte, whole bool) {
	if len(b) < 2 {
		return 0, nil, nil, false
	}
	n, head := uint64(b[1]&0x7f), 2
	switch n {
	case 126:
		if head = 4; len(b) >= head {
			n = uint64(binary.BigEndian.Uint16(b[2:]))
		}
	case 127:
		if head = 10; len(b) >= head {
			n = binary.BigEndian.Uint64(b[2:])
		}
	}
	if len(b) < head || uint64(len(b)-head) < n {
		return 0, nil, nil, false
	}
	return b[0] & 0x0f, b[head : head+int(n)], b[head+int(n):], true
}

// AppendMasked appends a client's frame. The mask is there for proxies, of which there are none here, so it is zero.
func AppendMasked(b []byte, op byte, payload []byte) []byte {
	b = append(b, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}
