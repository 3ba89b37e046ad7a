package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// ErrorOf gives the error that an error reply stands for: a *MovedError, or one that wraps the sentinel of its first word.
// A word that is not known here is ErrBadRequest: whoever sent it refused the request.
func ErrorOf(text string) error {
	word, rest, _ := strings.Cut(text, " ")
	if word == "MOVED" {
		if moved := parseMoved(rest); moved != nil {
			return moved
		}
	}
	for _, sentinel := range sentinels {
		if sentinel.Error() == strings.TrimSuffix(word, ":") {
			return wrapWord(sentinel, rest)
		}
	}
	if word == "WRONGPASS" {
		return fmt.Errorf("%w: %s", ErrNoAuth, text)
	}
	return fmt.Errorf("%w: %s", ErrBadRequest, text)
}

func wrapWord(sentinel error, rest string) error {
	if rest == "" {
		return sentinel
	}
	return fmt.Errorf("%w: %s", sentinel, rest)
}

// parseMoved reads "3999 127.0.0.1:6381". It is nil where that is not what it is.
func parseMoved(rest string) *MovedError {
	number, addr, ok := strings.Cut(rest, " ")
	slot, err := strconv.ParseUint(number, 10, 16)
	if !ok || err != nil || slot >= Slots || addr == "" {
		return nil
	}
	return &MovedError{Slot: Slot(slot), Addr: addr}
}
