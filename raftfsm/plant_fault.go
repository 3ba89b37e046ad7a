//go:build quorate_planted

package raftfsm

import (
	"os"
	"strconv"
	"strings"
)

// promiseBreaker breaks a promise once in so many times. Only a build with the tag quorate_planted has it: it is the control of the bench, which
// must find what is planted. PLANTED_FAULT=KIND:N says which: lose acknowledges a message and does not keep it, repeat keeps it twice,
// forget does not know a clientMessageId again.
type promiseBreaker struct {
	seen, appended, kept int
}

var plantKind, plantEvery = func() (kind string, every int) {
	kind, number, _ := strings.Cut(os.Getenv("PLANTED_FAULT"), ":")
	every, _ = strconv.Atoi(number) // 0 plants nothing
	return kind, every
}()

func (p *promiseBreaker) due(kind string, n *int) bool {
	if plantKind != kind || plantEvery == 0 {
		return false
	}
	*n++
	return *n%plantEvery == 0
}

func (p *promiseBreaker) forgets() bool { return p.due("forget", &p.seen) }
func (p *promiseBreaker) loses() bool   { return p.due("lose", &p.appended) }
func (p *promiseBreaker) repeats() bool { return p.due("repeat", &p.kept) }
