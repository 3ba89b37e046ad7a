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
// which must find what is planted. PLANTED_FAULT=KIND:N says which: drop leaves a piece with it out, swap sends that after
// the one behind it.
func planted(s *session, f []byte) []byte {
	messages := bytes.Count(f, []byte(`"type":"message"`)) // of a run
	if plant.every == 0 || messages == 0 {
		return f
	}
	plant.mu.Lock()
	defer plant.mu.Unlock()
	if held := plant.held[s]; held != nil {
		delete(plant.held, s)
		return slices.Concat(f, held)
	}
	before := plant.seen / plant.every
	if plant.seen += messages; plant.seen/plant.every == before {
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
