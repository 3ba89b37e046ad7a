// Package bubble runs tests in virtual time, for the tests of every package.
package bubble

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

// Test is synctest.Test. Under the race detector the process has one processor while any of its bubbles runs: all timers of a bubble share one
// context of the detector, and timers that are due at once run where they are made or waited for (Go 1.26, runtime/time.go, timer.modify and
// maybeRunChan). On two processors that spoils the detector's memory: it ends the process with SIGSEGV, or reports what is not so.
func Test(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if raceEnabled {
		oneProcessor.begin()
		defer oneProcessor.end()
	}
	synctest.Test(t, f)
}

var oneProcessor narrowed

// narrowed has one processor from the first begin to the last end, as bubbles run side by side.
type narrowed struct {
	mu      sync.Mutex
	bubbles int
	before  int // processors to go back to
}

func (n *narrowed) begin() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.bubbles++; n.bubbles == 1 {
		n.before = runtime.GOMAXPROCS(1)
	}
}

func (n *narrowed) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.bubbles--; n.bubbles == 0 {
		runtime.GOMAXPROCS(n.before)
	}
}
