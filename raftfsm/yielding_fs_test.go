package raftfsm

import (
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestYieldingFS_LetsOthersGoFirst has one processor: what is ready before blocks of a table are written, or read as compactions read, has run by the
// time that they are.
func TestYieldingFS_LetsOthersGoFirst(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const few = 3 // the scheduler may take the one that yields out of turn, one time in 61
	fs := yieldingFS{vfs.NewMem()}
	block := make([]byte, 10)
	yields := func(what string, do func() (int, error)) {
		t.Helper()
		var others atomic.Int32
		for range few {
			go others.Add(1)
		}
		for range few {
			if _, err := do(); err != nil {
				t.Fatal(err)
			}
		}
		if got := others.Load(); got != few {
			t.Errorf("%s: %d of %d others went first", what, got, few)
		}
	}
	w, err := fs.Create("1"+tableSuffix, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	yields("a table is written", func() (int, error) { return w.Write(block) })
	r, err := fs.Open("1"+tableSuffix, vfs.SequentialReadsOption)
	if err != nil {
		t.Fatal(err)
	}
	yields("a table is read from end to end", func() (int, error) { return r.ReadAt(block, 0) })
}
