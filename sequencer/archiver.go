package sequencer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// archiver moves what is cold of a group into the archive, while this node leads the group. A round chooses, writes an object,
// puts it in the store, reads it back and verifies it; only then an entry says where the messages are, and that entry frees
// them, on all replicas alike. Each step may be done again: what a crash leaves is an object that no index refers to, which
// sweep removes after a day. The entry names the term that the object was made in, so one who led before can do no harm.
type archiver struct {
	host  *host
	store archive.Store // nil for no archive
	log   *slog.Logger
	asked chan *archiveRound
	stats archiveStats
	hot   hotAlarm

	broken brokenObjects
	pace   pace

	squeezed int // how often the window was halved because the hot store is over its size; the archiver's goroutine's alone
}

// archiveRound is what a round is to do.
type archiveRound struct {
	before wire.Millis // archive what was sent before; 0 is what the window says
	whole  bool        // also what makes only a small object
	done   chan error  // is told once where not nil, whether or not somebody still waits; has room
}

// errNotLeading ends a round on a node that does not lead the group any more.
var errNotLeading = fmt.Errorf("%w: this node does not lead the group", wire.ErrTryAgain)

func newArchiver(h *host) *archiver {
	return &archiver{
		host: h, store: h.node.cfg.Archive, log: h.node.log.With("group", h.id, "part", "archiver"), asked: make(chan *archiveRound, 1),
		pace: pace{appends: &h.node.appends},
	}
}

// ask starts a round now, or is wire.ErrBusy where one is asked for already.
func (a *archiver) ask(q *archiveRound) error {
	if a.store == nil {
		return fmt.Errorf("%w: this node has no archive", wire.ErrBadRequest)
	}
	select {
	case a.asked <- q:
		return nil
	default:
		return fmt.Errorf("%w: a round is asked for already", wire.ErrBusy)
	}
}

// run makes a round now and then, until the host stops.
func (a *archiver) run() {
	defer a.host.done.Done()
	if a.store == nil || a.host.id == wire.MetaGroup {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer context.AfterFunc(a.host.node.life, cancel)()
	go func() { // ends with ctx, which ends with the host
		select {
		case <-a.host.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	ticker := time.NewTicker(a.host.node.cfg.ArchiveEvery)
	defer ticker.Stop()
	for {
		q := &archiveRound{}
		select {
		case <-ticker.C:
		case q = <-a.asked:
		case <-ctx.Done():
			return
		}
		err := a.round(ctx, q)
		if q.done != nil {
			q.done <- err
		}
	}
}

// round does one round, when no other group of the node is at it.
func (a *archiver) round(ctx context.Context, q *archiveRound) error {
	term, ok := a.host.raft.ServingTerm()
	if !ok || a.host.node.format() < raftfsm.FormatOf(raftfsm.Archived{}) {
		return errNotLeading
	}
	select {
	case a.host.node.archiving <- struct{}{}:
		defer func() { <-a.host.node.archiving }()
	case <-ctx.Done():
		return ctx.Err()
	}
	began := a.host.node.cfg.Clock()
	a.pace.begin(time.Duration(a.host.archiveLag()*float64(time.Second)), a.host.node.cfg.ArchiveEvery)
	err := errors.Join(a.archive(ctx, term, q), a.tidy(ctx, term))
	switch {
	case err == nil:
		a.stats.complete(began)
		a.stats.trouble.Store(nil)
	case ctx.Err() != nil || isTryAgain(err):
		a.log.Info("a round was not finished", "err", err)
	default:
		a.stats.fail(err)
		a.log.Error("a round failed; it will be tried again", "err", err)
	}
	return err
}

// archive makes objects of all that is cold.
func (a *archiver) archive(ctx context.Context, term uint64, q *archiveRound) error {
	before := q.before
	if before == 0 {
		before = a.before()
	}
	for behind, more := "", true; more; {
		b, err := a.begin(ctx, term)
		if err != nil {
			return err
		}
		behind, more, err = b.fill(ctx, behind, before)
		if err == nil && b.worth(q.whole, before) {
			err = b.commit(ctx)
		}
		if err = errors.Join(err, b.discard()); err != nil {
			return err
		}
	}
	return nil
}

// before is the time before which messages are cold: those of the hot window stay. While the hot store is over its size the window
// is halved from round to round, down to what the feed refers to.
func (a *archiver) before() wire.Millis {
	cfg := &a.host.node.cfg
	if limit := cfg.HotBytes; limit > 0 && a.hotBytes() > limit {
		a.squeezed = min(a.squeezed+1, maxSqueezed)
	} else {
		a.squeezed = max(a.squeezed-1, 0)
	}
	return cfg.Clock() - millisOf(max(cfg.ArchiveAfter>>a.squeezed, cfg.FeedRetention))
}

// maxSqueezed is as often as the window is halved.
const maxSqueezed = 12

// archiveDir holds objects while they are written.
func (n *Node) archiveDir() string { return filepath.Join(n.cfg.Dir, "archive") }

// sweepArchiveDir removes what an earlier process left there.
func (n *Node) sweepArchiveDir() error {
	if err := os.RemoveAll(n.archiveDir()); err != nil {
		return fmt.Errorf("remove unfinished objects: %w", err)
	}
	return nil
}
