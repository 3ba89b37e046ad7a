package delivery

import (
	"testing"

	"github.com/quorate/quorate/sequencer/sequencertest"
)

// startCluster runs a cluster for a test and returns the addresses to reach it at.
func startCluster(t testing.TB, nodes int) []string {
	t.Helper()
	return sequencertest.Start(t, nodes, 2).Addrs()
}

// unreachable is an address where nobody answers.
func unreachable(t testing.TB) string {
	t.Helper()
	_, resp := sequencertest.LoopbackAddrs(t)
	return resp
}
