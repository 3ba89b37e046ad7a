package delivery

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/quorate/quorate/sequencer/wire"
)

// epoch is which cluster a node serves. A cluster keeps the epoch with which it was made; one that began with a backup has another than the one
// that was saved, as messages which came after the backup are gone and their numbers go to others. All that a node knows (places in feeds,
// members, the last messages, receipts that wait, where its sessions stand) is of one epoch, so a node serves one in its life: when the
// cluster behind it is another it takes nothing more, and its owner opens a new one in its place.
type epoch struct {
	now      atomic.Uint64 // 0 until it is known
	once     sync.Once
	outdated chan struct{} // closed when the cluster is another
}

func newEpoch() *epoch { return &epoch{outdated: make(chan struct{})} }

// errOutdated says that the cluster is another than the one that this node serves.
var errOutdated = errors.New("delivery: the cluster was restored from a backup since this node began to serve it")

// learn asks for the epoch. The first answer is the one that this node serves.
func (s *Server) learnEpoch(ctx context.Context) error {
	settings, err := s.seq.Settings(ctx)
	if err != nil {
		return err
	}
	return s.heedEpoch(settings)
}

// heedEpoch compares what the cluster's settings say with what they said first.
func (s *Server) heedEpoch(settings map[string]string) error {
	says := wire.EpochOf(settings)
	s.epoch.now.CompareAndSwap(0, says)
	if s.epoch.now.Load() == says {
		return nil
	}
	s.epoch.once.Do(func() {
		s.log.Warn("the cluster was restored from a backup: this node ends, and begins anew", "served", s.epoch.now.Load(), "epoch", says)
		s.drained.Store(true)
		s.receipts.forget()
		close(s.epoch.outdated)
	})
	return errOutdated
}

// Outdated is closed when the cluster is another than the one that this node serves. The node is to be closed then, and another one opened, for
// which the clients come back.
func (s *Server) Outdated() <-chan struct{} { return s.epoch.outdated }

// epochHeader tells the epoch in the answers of REST.
const epochHeader = "Quorate-Epoch"

func (e *epoch) text() string { return strconv.FormatUint(e.now.Load(), 10) }
