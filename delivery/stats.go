package delivery

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/delivery/follow"
	"github.com/quorate/quorate/meter"
	"github.com/quorate/quorate/sequencer/wire"
)

// stats counts what an edge does. Whoever does it calls the methods here; a scrape reads the counts.
type stats struct {
	pushedLive, pushedCaughtUp atomic.Uint64 // messages
	pullsUnderway              atomic.Int64  // pages of catch-up asked for
	pulls, pullFailures        atomic.Uint64

	feeds                 follow.Counts
	feedEvents, feedTrims atomic.Uint64
	feedDelay             *meter.Histogram // seconds from an event's time to its dispatch, of the oldest in a batch

	hubGaps, hubAlone                       atomic.Uint64 // feeds that had a gap, and that this node had to read by itself
	edgeDrops                               atomic.Uint64 // times that what waited for an edge was dropped
	relayBatches, relayEntries              atomic.Uint64 // sent to other edges
	batches                                 batchStats
	presenceTold, presenceDropped, seenLost atomic.Uint64

	archivePages, archiveFailures, archiveCorrupt atomic.Uint64
	archiveSeconds                                *meter.Histogram // for a page's messages from the archive

	marks, marksMerged, receiptCommands, marksLost atomic.Uint64

	sends    *meter.Histogram               // seconds from a send to the sequencer's answer
	sent     [2]atomic.Uint64               // stored anew, and stored before
	unsent   [len(codeNames)]atomic.Uint64  // by the index in codeNames
	refusals [len(codeNames)]atomic.Uint64  // of any request
	closes   [len(closeCodes)]atomic.Uint64 // by the index in closeCodes
}

// batchStats counts what the sizes of batches follow, and how.
type batchStats struct {
	latency             *meter.Histogram // seconds
	grown, shrunk, kept atomic.Uint64    // decisions
}

func newStats() *stats {
	return &stats{batches: batchStats{latency: meter.NewHistogram(meter.Latency)}, feedDelay: meter.NewHistogram(meter.Latency), sends: meter.NewHistogram(meter.Latency), archiveSeconds: meter.NewHistogram(meter.Latency)}
}

// codeNames are the codes that are counted one by one.
var codeNames = [...]code{
	codeBadRequest, codeUnauthenticated, codeNotFound, codeConflict, codeTooLarge, codeRateLimited, codeOverloaded,
	codeUnavailable, codeTimeoutUnknown, codeInternal,
}

// closeCodes are the close codes that are counted one by one; 0 stands for all others, which only clients send.
var closeCodes = [...]int{
	0, closeNormal, closeGoingAway, closeProtocol, closeUnsupported, closeNoStatus, closeAbnormal, closeInvalidData,
	closePolicy, closeTooBig, closeInternal, closeDraining, closeSlowConsumer, closeOverloaded, closeUnauthenticated,
	closeTokenExpired, closeBadFrame, closeReplaced,
}

// answered counts what came of a send that began at began.
func (t *stats) answered(began time.Time, a wire.AppendAck, err error) {
	t.sends.Took(began)
	switch {
	case err != nil:
		t.unsent[indexOf(codeNames[:], problemOf(err).code)].Add(1)
	case a.Replayed:
		t.sent[1].Add(1)
	default:
		t.sent[0].Add(1)
	}
}

// refused counts a refusal.
func (t *stats) refused(c code) { t.refusals[indexOf(codeNames[:], c)].Add(1) }

// pulled counts the answer to a page of catch-up.
func (t *stats) pulled(err error) {
	t.pullsUnderway.Add(-1)
	t.pulls.Add(1)
	if err != nil {
		t.pullFailures.Add(1)
	}
}

// archiveFailed counts a page that could not be read of the archive.
func (t *stats) archiveFailed(err error) {
	t.archiveFailures.Add(1)
	if errors.Is(err, archive.ErrCorrupt) || errors.Is(err, archive.ErrNotFound) {
		t.archiveCorrupt.Add(1)
	}
}

// closed counts the end of a connection.
func (t *stats) closed(code int) { t.closes[max(slices.Index(closeCodes[:], code), 0)].Add(1) }

// read counts a batch of events of a feed, and how late they are by this machine's clock.
func (t *stats) read(events []wire.Event) {
	if len(events) == 0 {
		return
	}
	t.feedEvents.Add(uint64(len(events)))
	late := time.Now().UnixMilli() - int64(events[0].At)
	t.feedDelay.Observe(float64(max(late, 0)) / 1000)
}

// indexOf gives the place of a code; what is not in the list counts as internal, the last.
func indexOf(codes []code, c code) int {
	if i := slices.Index(codes, c); i >= 0 {
		return i
	}
	return len(codes) - 1
}

// outboxes tells what waits for clients to take it: bytes in all outboxes, those in the fullest, and outboxes that are
// not empty. It looks at every connection.
func (e *engine) outboxes() (bytes, most, waiting int) {
	for _, c := range e.wheel.all() {
		if n := c.buffered(); n > 0 {
			bytes += n
			most = max(most, n)
			waiting++
		}
	}
	return bytes, most, waiting
}
