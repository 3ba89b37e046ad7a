// Package frame encodes and decodes WebSocket frames as RFC 6455 has them, strictly and without IO. It is the server's side:
// it writes unmasked frames and reads masked ones. It knows no extensions.
package frame

import (
	"encoding/binary"
	"unicode/utf8"
)

// Opcode is the kind of a frame, RFC 6455 section 5.2.
type Opcode byte

// The opcodes that RFC 6455 defines.
const (
	OpContinuation Opcode = 0x0
	OpText         Opcode = 0x1
	OpBinary       Opcode = 0x2
	OpClose        Opcode = 0x8
	OpPing         Opcode = 0x9
	OpPong         Opcode = 0xA
)

const (
	// MaxHeaderBytes is the length of the longest header that AppendHeader writes.
	MaxHeaderBytes = 10
	// MaxControlBytes is the longest payload of a ping, pong or close frame.
	MaxControlBytes = 125

	bitFin  = 0x80
	bitsRSV = 0x70
	bitMask = 0x80
	len16   = 126
	len64   = 127
)

// AppendHeader appends the header of a final, unmasked frame whose payload of n bytes the caller appends next.
func AppendHeader(dst []byte, op Opcode, n int) []byte {
	dst = append(dst, bitFin|byte(op))
	switch {
	case n < len16:
		return append(dst, byte(n))
	case n <= 0xFFFF:
		return binary.BigEndian.AppendUint16(append(dst, len16), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, len64), uint64(n))
	}
}

// AppendText appends one text message, unmasked and not fragmented. The payload must be UTF-8.
func AppendText(dst, payload []byte) []byte {
	return append(AppendHeader(dst, OpText, len(payload)), payload...)
}

// AppendPing appends a ping. A payload over MaxControlBytes is cut.
func AppendPing(dst, payload []byte) []byte { return appendControl(dst, OpPing, payload) }

// AppendPong appends a pong. A payload over MaxControlBytes is cut.
func AppendPong(dst, payload []byte) []byte { return appendControl(dst, OpPong, payload) }

func appendControl(dst []byte, op Opcode, payload []byte) []byte {
	payload = payload[:min(len(payload), MaxControlBytes)]
	return append(AppendHeader(dst, op, len(payload)), payload...)
}

// AppendClose appends a close frame. A code that may not travel (ValidCloseCode) gives a frame without code and reason. A
// reason that does not fit is cut at the end of a character.
func AppendClose(dst []byte, code int, reason string) []byte {
	if !ValidCloseCode(code) {
		return AppendHeader(dst, OpClose, 0)
	}
	if limit := MaxControlBytes - 2; len(reason) > limit {
		for limit > 0 && !utf8.RuneStart(reason[limit]) {
			limit--
		}
		reason = reason[:limit]
	}
	dst = AppendHeader(dst, OpClose, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

// ValidCloseCode tells whether a close frame may carry the code: those that RFC 6455 and its registry define for use on the
// wire, and 3000 to 4999 for libraries and applications.
func ValidCloseCode(code int) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
		return true
	default:
		return code >= 3000 && code <= 4999
	}
}
