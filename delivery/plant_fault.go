//go:build quorate_planted

package delivery

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// planted breaks a promise once in so many messages. Only a build with the tag quorate_planted does: it is the control of the bench,
// which must find what is planted. PLANTED_FAULT=KIND:N says which: drop leaves a message out, swap sends it after the one behind it.
func planted(s *session, f []byte) []byte {
	if plant.every == 0 || !bytes.Contains(f, []byte(`"type":"message"`)) {
		return f
	}
	plant.mu.Lock()
	defer plant.mu.Unlock()
	if held := plant.held[s]; held != nil {
		delete(plant.held, s)
		return slices.Concat(f, held)
	}
	if plant.seen++; plant.seen%plant.every != 0 {
		return f
	}
	if plant.kind == "swap" {
		plant.held[s] = f
	}
	return nil
}

// breach is what is planted.
type breach struct {
	kind  string
	every int // 0 for nothing

	mu   sync.Mutex
	seen int
	held map[*session][]byte // what is sent after the one behind it
}

var plant = func() *breach {
	kind, number, _ := strings.Cut(os.Getenv("PLANTED_FAULT"), ":")
	p := &breach{kind: kind, held: map[*session][]byte{}}
	if kind == "drop" || kind == "swap" {
		p.every, _ = strconv.Atoi(number) // 0 plants nothing
	}
	return p
}()
