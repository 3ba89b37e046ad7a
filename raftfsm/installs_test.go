package raftfsm

import (
	"errors"
	"testing"
)

// A snapshot that is installed again and again gives the replica up: the next start does not open it any more.
func TestGroup_RepeatedInstallGivesUp(t *testing.T) {
	dir := t.TempDir()
	var told []error
	g := &Group{cfg: Config{Dir: dir, Fatal: marking(dir, func(err error) { told = append(told, err) })}}
	for i := range maxSameInstalls - 1 {
		g.installed(7)
		g.installed(uint64(100 + i)) // progress
	}
	for range maxSameInstalls - 1 {
		g.installed(8)
	}
	if len(told) != 0 || g.installs.Load() != 3*(maxSameInstalls-1) {
		t.Fatalf("%d installs, told of %v", g.installs.Load(), told)
	}
	g.installed(8)
	if len(told) != 1 || !errors.Is(told[0], ErrCorrupt) || markedCorrupt(dir) == nil {
		t.Fatalf("told of %v, marked %v", told, markedCorrupt(dir))
	}
}
