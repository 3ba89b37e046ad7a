package wire

import (
	"fmt"
	"strconv"
)

// The bounds of a command that a client sends. They are the defaults of a sequencer, which ends the connection of one who
// goes beyond; here only that command is refused.
const (
	maxCommandArgs   = 1024
	maxArgumentBytes = 64 << 10
	maxCommandBytes  = 256 << 10
)

// checkCommand tells whether a sequencer would read the command, and how many bytes its arguments have. The error wraps
// ErrBadRequest or ErrTooLarge.
func checkCommand(args []string) (bytes int, err error) {
	if len(args) == 0 || args[0] == "" {
		return 0, fmt.Errorf("%w: empty command", ErrBadRequest)
	}
	if len(args) > maxCommandArgs {
		return 0, fmt.Errorf("%w: %s with %d arguments, at most %d are allowed", ErrTooLarge, args[0], len(args), maxCommandArgs)
	}
	for _, arg := range args {
		if len(arg) > maxArgumentBytes {
			return 0, fmt.Errorf("%w: argument of %d bytes, at most %d are allowed", ErrTooLarge, len(arg), maxArgumentBytes)
		}
		bytes += len(arg)
	}
	if bytes > maxCommandBytes {
		return 0, fmt.Errorf("%w: %s of %d bytes, at most %d are allowed", ErrTooLarge, args[0], bytes, maxCommandBytes)
	}
	return bytes, nil
}

// appendCommand appends a command as RESP has it: an array of bulk strings.
func appendCommand(dst []byte, args []string) []byte {
	dst = append(dst, '*')
	dst = strconv.AppendInt(dst, int64(len(args)), 10)
	dst = append(dst, '\r', '\n')
	for _, arg := range args {
		dst = append(dst, '$')
		dst = strconv.AppendInt(dst, int64(len(arg)), 10)
		dst = append(dst, '\r', '\n')
		dst = append(dst, arg...)
		dst = append(dst, '\r', '\n')
	}
	return dst
}
