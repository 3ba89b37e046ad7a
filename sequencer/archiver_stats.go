package sequencer

import (
	"strings"
	"sync/atomic"

	"github.com/quorate/quorate/sequencer/wire"
)

// archiveStats is what the archiver of a group has done since the node began to serve it.
type archiveStats struct {
	objects, messages, bytes, merged, removed, failures atomic.Int64

	trouble   atomic.Pointer[string] // why the last round failed; nil where it did not
	completed atomic.Int64           // milliseconds: when the last round began that left nothing undone; 0 for none
	swept     wire.Millis            // when orphans were last looked for; the archiver's goroutine's alone
}

func (s *archiveStats) complete(began wire.Millis) { s.completed.Store(int64(began)) }

// maxTrouble bounds the text that is kept of an error, in bytes.
const maxTrouble = 256

func (s *archiveStats) fail(err error) {
	s.failures.Add(1)
	text := strings.ToValidUTF8(err.Error(), "?")
	text = strings.ToValidUTF8(text[:min(len(text), maxTrouble)], "")
	s.trouble.Store(&text)
}

// archiveLag is for how long, in seconds, what is cold has not been in the archive, on the node that leads the group.
func (h *host) archiveLag() float64 {
	a := h.archiver
	if a.store == nil || !h.raft.Serving() {
		return 0
	}
	since := max(wire.Millis(a.stats.completed.Load()), wire.Millis(a.host.servingSince.Load()))
	return max(0, float64(h.node.cfg.Clock()-since)/1000)
}
