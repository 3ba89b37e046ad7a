package sequencer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/raftfsm/failpoint"
	"github.com/quorate/quorate/sequencer/wire"
)

const (
	coldLook     = 32      // chats that are looked at at one time
	coldMessages = 512     // cold messages that are chosen at one time, about
	coldRun      = 1 << 20 // messages of one chat in one object
	commitRuns   = 16      // runs in one entry: applying it holds up the appends behind it
	restEvery    = 4       // messages

	// smallObject is the size below which an object is left for later, until something in it is a day past the window.
	smallObject = 1 << 20
	smallWait   = wire.Millis(24 * time.Hour / time.Millisecond)
)

// building is an object that is being made, in a file of the node.
type building struct {
	*archiver
	term uint64
	file *os.File
	out  *bufio.Writer
	w    *archive.Writer

	runs           []raftfsm.ArchivedRun
	rows           uint64
	oldest, newest wire.Millis
	row            archive.Row
}

// begin opens an object.
func (a *archiver) begin(ctx context.Context, term uint64) (*building, error) {
	n := a.host.node
	if err := os.MkdirAll(n.archiveDir(), 0o700); err != nil {
		return nil, fmt.Errorf("make an object: %w", err)
	}
	file, err := os.Create(filepath.Join(n.archiveDir(), strconv.Itoa(int(a.host.id))))
	if err != nil {
		return nil, fmt.Errorf("make an object: %w", err)
	}
	b := &building{archiver: a, term: term, file: file, out: bufio.NewWriterSize(file, 256<<10)}
	info := archive.Info{Cluster: n.identity.get().ClusterID, Group: a.host.id, Term: term, CreatedAt: n.cfg.Clock()}
	if b.w, err = archive.NewWriter(b.out, info, archive.Options{Pause: func() error { return a.pace.rest(ctx) }}); err != nil {
		return nil, errors.Join(err, b.discard())
	}
	return b, nil
}

// discard removes the file.
func (b *building) discard() error {
	return errors.Join(b.file.Close(), os.Remove(b.file.Name()))
}

// fill writes what is cold of the chats behind one, until the object is full. next is the last chat whose cold messages are all in
// it; more says that there may be others.
func (b *building) fill(ctx context.Context, behind string, before wire.Millis) (next string, more bool, err error) {
	for {
		runs, last, err := b.host.store().ColdRuns(behind, before, coldRun, coldMessages, coldLook)
		if err != nil {
			return "", false, err
		}
		for _, run := range runs {
			whole, err := b.add(ctx, run)
			if err != nil {
				return "", false, err
			}
			if !whole {
				return behind, true, nil
			}
			behind = run.ChatID
			if b.full() {
				return behind, true, nil
			}
		}
		if behind = last; last == "" {
			return "", false, nil
		}
		if err := b.pace.rest(ctx); err != nil {
			return "", false, err
		}
	}
}

func (b *building) full() bool { return b.w.Size() >= b.host.node.cfg.ArchiveObjectBytes }

// add writes a run, or as much of it as there is room for: then it is false.
func (b *building) add(ctx context.Context, run raftfsm.ColdRun) (whole bool, err error) {
	first := b.rows
	to, reached, err := b.host.store().ColdRows(run, func(m *wire.Message, receipts []raftfsm.ReachedAt) (bool, error) {
		b.row.Message, b.row.Receipts = *m, b.row.Receipts[:0]
		for _, r := range receipts {
			b.row.Receipts = append(b.row.Receipts, archive.Receipt(r))
		}
		if err := b.write(ctx); err != nil {
			return false, err
		}
		return !b.full(), nil
	})
	if isTryAgain(err) {
		return true, nil // forgotten meanwhile
	}
	if err != nil {
		return false, fmt.Errorf("write %s: %w", run.ChatID, err)
	}
	b.runs = append(b.runs, raftfsm.ArchivedRun{ChatID: run.ChatID, From: run.From, To: to, Row: first, Reached: reached})
	return to == run.To, nil
}

// write puts b.row into the object.
func (b *building) write(ctx context.Context) error {
	if err := b.w.Write(&b.row); err != nil {
		return err
	}
	if b.rows == 0 || b.row.SentAt < b.oldest {
		b.oldest = b.row.SentAt
	}
	b.newest = max(b.newest, b.row.SentAt)
	if b.rows++; b.rows%restEvery == 0 {
		return b.pace.rest(ctx)
	}
	return nil
}

// worth says whether the object is to be kept: a small one can wait.
func (b *building) worth(whole bool, before wire.Millis) bool {
	return b.rows > 0 && (whole || b.w.Size() >= smallObject || b.oldest < before-smallWait)
}

// commit puts the object where it is to be, makes sure that it is there as it was written, and lets the group know.
func (b *building) commit(ctx context.Context) error {
	sum, err := b.w.Close()
	if err == nil {
		err = b.out.Flush()
	}
	if err != nil {
		return fmt.Errorf("write an object: %w", err)
	}
	seg := sum.Segment
	seg.NewestAt = b.newest
	if failpoint.Planted("free before verify") {
		err = b.tellAll(ctx, seg)
	}
	if err := errors.Join(err, b.put(ctx, &seg)); err != nil {
		return err
	}
	if err := b.tellAll(ctx, seg); err != nil {
		return err
	}
	b.stats.objects.Add(1)
	b.stats.messages.Add(int64(b.rows))
	b.stats.bytes.Add(seg.Size)
	b.log.Info("archived", "object", seg.Key, "bytes", seg.Size, "messages", b.rows, "chats", len(b.runs))
	return nil
}

// put stores the object and reads it back.
func (b *building) put(ctx context.Context, seg *wire.Segment) error {
	if err := b.reach(pointBeforePut); err != nil {
		return err
	}
	if err := b.store.Put(ctx, seg.Key, b.file, seg.Size); err != nil {
		return fmt.Errorf("put %s: %w", seg.Key, err)
	}
	if err := b.reach(pointAfterPut); err != nil {
		return err
	}
	_, _, err := archive.Verify(ctx, b.store, *seg, func() error { return b.pace.rest(ctx) })
	if err != nil {
		return fmt.Errorf("verify %s: %w", seg.Key, err)
	}
	return b.reach(pointBeforeCommit)
}

// tellAll lets the group know of all runs, a few in each entry.
func (b *building) tellAll(ctx context.Context, seg wire.Segment) error {
	for runs := b.runs; len(runs) > 0; runs = runs[min(commitRuns, len(runs)):] {
		if err := b.tell(ctx, seg, runs[:min(commitRuns, len(runs))]); err != nil {
			return fmt.Errorf("commit %s: %w", seg.Key, err)
		}
		if err := b.reach(pointAfterCommit); err != nil {
			return err
		}
	}
	return nil
}

// tell proposes the entry that says where runs are.
func (b *building) tell(ctx context.Context, seg wire.Segment, runs []raftfsm.ArchivedRun) error {
	res, err := b.host.do(ctx, raftfsm.Archived{Term: b.term, Segment: seg, Runs: runs})
	if err != nil {
		return err
	}
	if passed := uint64(len(runs)) - res.Value; passed > 0 {
		b.log.Warn("runs had moved meanwhile", "object", seg.Key, "runs", passed)
	}
	return b.pace.rest(ctx)
}

// archivePoint is a step between which tests break the archiver.
type archivePoint string

const (
	pointBeforePut    archivePoint = "before put"
	pointAfterPut     archivePoint = "after put"
	pointBeforeCommit archivePoint = "before commit"
	pointAfterCommit  archivePoint = "after commit" // of each entry
)

// reach tells a test where the archiver is. An error ends the round there, as a crash would.
func (a *archiver) reach(p archivePoint) error {
	failpoint.Reach(string(p))
	if hook := a.host.node.cfg.archivePoint; hook != nil {
		return hook(p)
	}
	return nil
}
