package sequencer

import (
	"context"
	"errors"
	"fmt"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// mergeAtLeast is how many small objects make it worth while to write them anew as one.
const mergeAtLeast = 8

// mergeAtMost is how many are read beside one another, each with a row group in memory. Others are merged in later rounds.
const mergeAtMost = 32

// merge makes one object of many small ones, and of those that are mostly no longer referred to. Each message is copied as it
// stands; the entry that commits it puts the new object in the place of the old ones.
func (a *archiver) merge(ctx context.Context, term uint64) error {
	segments, err := a.segments()
	if err != nil {
		return err
	}
	from := a.mergeable(segments)
	if len(from) == 0 {
		return nil
	}
	b, err := a.begin(ctx, term)
	if err != nil {
		return err
	}
	broken, err := b.copy(ctx, from)
	if isBroken(err) && a.broken.add(broken, from[broken].Key) {
		a.log.Error("an object of the archive is broken; it is left alone", "object", from[broken].Key, "err", err)
		return b.discard() // the others are merged in the next round
	}
	if err == nil {
		err = b.commit(ctx)
	}
	if err == nil {
		a.stats.merged.Add(int64(len(from)))
	}
	return errors.Join(err, b.discard())
}

// mergeable gives the objects to be merged, by number: as many as one object has room for, and mergeAtMost.
func (a *archiver) mergeable(segments []raftfsm.SegmentInfo) map[uint64]wire.Segment {
	limit := a.host.node.cfg.ArchiveObjectBytes
	from, room := map[uint64]wire.Segment{}, limit
	wasted := false
	for _, s := range segments {
		live := int64(float64(s.Segment.Size) * float64(s.Live) / float64(s.Segment.Rows))
		if len(from) == mergeAtMost {
			break
		}
		if live > limit/4 || room < live || a.broken.has(s.Number) {
			continue
		}
		wasted = wasted || s.Live < uint64(s.Segment.Rows)/2
		from[s.Number] = s.Segment
		room -= live
	}
	if len(from) < mergeAtLeast && !wasted {
		return nil
	}
	return from
}

// copy writes all messages that the index finds in the given objects. They lie there in the index's order, so each object is read once,
// from the front to the back. Where one cannot be read, broken says which.
func (b *building) copy(ctx context.Context, from map[uint64]wire.Segment) (broken uint64, err error) {
	open := make(map[uint64]*archive.Scanner, len(from))
	defer func() {
		for _, s := range open {
			err = errors.Join(err, s.Close())
		}
	}()
	err = b.eachLine(ctx, func(line raftfsm.IndexLine) error {
		seg, ok := from[line.Segment]
		if !ok {
			return nil
		}
		first := b.rows
		if err := b.copyRun(ctx, open, seg, line); err != nil {
			broken = line.Segment
			return fmt.Errorf("copy from %s: %w", seg.Key, err)
		}
		// What the hot store knows of receipts stays there: it is newer than what is copied.
		b.join(raftfsm.ArchivedRun{ChatID: line.ChatID, From: line.From, To: line.To, Row: first, Reached: neverReached})
		return nil
	})
	return broken, err
}

// copyRun writes the messages of a line of the index. open has the objects that were read before.
func (b *building) copyRun(ctx context.Context, open map[uint64]*archive.Scanner, seg wire.Segment, line raftfsm.IndexLine) error {
	scanner := open[line.Segment]
	if scanner == nil {
		var err error
		if scanner, err = archive.OpenScanner(ctx, b.store, seg); err != nil {
			return err
		}
		open[line.Segment] = scanner
	}
	run := archive.Range{ChatID: line.ChatID, From: line.From, To: line.To, Row: int64(line.Row)}
	return scanner.Scan(ctx, run, func(r *archive.Row) error {
		b.row = *r
		return b.write(ctx)
	})
}

// neverReached is no sum of watermarks.
const neverReached = 1<<64 - 1

// join adds a run, to the last one where it goes on from there.
func (b *building) join(run raftfsm.ArchivedRun) {
	if n := len(b.runs); n > 0 {
		if last := &b.runs[n-1]; last.ChatID == run.ChatID && last.To+1 == run.From {
			last.To = run.To
			return
		}
	}
	b.runs = append(b.runs, run)
}
