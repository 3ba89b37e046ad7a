package wire

import (
	"fmt"
	"unicode/utf8"
)

// The limits of DESIGN.md section 8 that hold on every surface. What a deployment may lower lives in the Config of the
// part that enforces it; these are the bounds that the formats are built for.
const (
	MaxIDBytes              = 64
	MaxClientMessageIDBytes = 64
	MaxTextBytes            = 16 << 10
	MaxMembers              = 256
	MaxNameBytes            = 256
	MaxPage                 = 500
	MaxSeq                  = Seq(1<<53 - 1) // every seq is exact in a JSON number
	MaxTraceBytes           = 64             // a W3C traceparent is 55 bytes
)

// CheckID tells whether s is a chatId or userId: [A-Za-z0-9._-]{1,64}. what names it in the error, which wraps
// ErrBadRequest.
func CheckID(what, s string) error {
	if len(s) == 0 || len(s) > MaxIDBytes {
		return fmt.Errorf("%w: %s must have 1 to %d characters", ErrBadRequest, what, MaxIDBytes)
	}
	for i := 0; i < len(s); i++ {
		if !idByte[s[i]] {
			return fmt.Errorf("%w: %s may hold only letters, digits, '.', '_' and '-'", ErrBadRequest, what)
		}
	}
	return nil
}

var idByte = func() (t [256]bool) {
	for c := range t {
		b := byte(c)
		t[c] = b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '.' || b == '_' || b == '-'
	}
	return t
}()

// CheckClientMessageID tells whether s is 1 to 64 printable ASCII bytes. The error wraps ErrBadRequest.
func CheckClientMessageID(s string) error {
	if len(s) == 0 || len(s) > MaxClientMessageIDBytes {
		return fmt.Errorf("%w: clientMessageId must have 1 to %d bytes", ErrBadRequest, MaxClientMessageIDBytes)
	}
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e {
			return fmt.Errorf("%w: clientMessageId must be printable ASCII", ErrBadRequest)
		}
	}
	return nil
}

// CheckText tells whether s may be a message's text: valid UTF-8 without NUL, not empty, at most 16 KiB. The error wraps
// ErrBadRequest, or ErrTooLarge where only the size is wrong.
func CheckText(s string) error {
	if len(s) > MaxTextBytes {
		return fmt.Errorf("%w: text has %d bytes, at most %d are allowed", ErrTooLarge, len(s), MaxTextBytes)
	}
	if len(s) == 0 {
		return fmt.Errorf("%w: text must not be empty", ErrBadRequest)
	}
	return checkUTF8("text", s)
}

// CheckName tells whether s may be a chat's name: valid UTF-8 without NUL, at most MaxNameBytes, may be empty.
func CheckName(s string) error {
	if len(s) > MaxNameBytes {
		return fmt.Errorf("%w: name has %d bytes, at most %d are allowed", ErrTooLarge, len(s), MaxNameBytes)
	}
	return checkUTF8("name", s)
}

func checkUTF8(what, s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%w: %s is not valid UTF-8", ErrBadRequest, what)
	}
	for i := 0; i < len(s); i++ {
		if s[i] == 0 {
			return fmt.Errorf("%w: %s holds a NUL", ErrBadRequest, what)
		}
	}
	return nil
}
