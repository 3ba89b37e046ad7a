package sequencer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

const (
	orphanAge   = wire.Millis(24 * time.Hour / time.Millisecond) // before an object that no index refers to is removed
	segmentPage = 256                                            // objects read of the index at one time
	indexPage   = 1024                                           // lines
)

// tidy does what keeps the archive in order: what is past its time is deleted, small objects become large ones, and what no
// index refers to is removed.
func (a *archiver) tidy(ctx context.Context, term uint64) error {
	return errors.Join(a.retire(ctx), a.merge(ctx, term), a.sweep(ctx, term))
}

// segments gives all objects that the group's index refers to.
func (a *archiver) segments() (all []raftfsm.SegmentInfo, err error) {
	for behind := uint64(0); ; behind = all[len(all)-1].Number {
		page, err := a.host.store().Segments(behind, segmentPage)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < segmentPage {
			return all, nil
		}
	}
}

// eachLine visits the group's index in the order of chats and seqs. It rests for its work.
func (a *archiver) eachLine(ctx context.Context, visit func(raftfsm.IndexLine) error) error {
	var behind raftfsm.IndexLine
	for {
		lines, err := a.host.store().ArchiveIndex(behind, indexPage)
		if err != nil {
			return err
		}
		for _, line := range lines {
			if err := visit(line); err != nil {
				return err
			}
			behind = line
		}
		if len(lines) < indexPage {
			return nil
		}
		if err := a.pace.rest(ctx); err != nil {
			return err
		}
	}
}

// sweep removes the group's objects that no index refers to: those of rounds that came to nothing, and those whose messages stand
// in others now. It goes by what is committed, read as of now, and leaves alone what is younger than a day, what was made in a
// later term, and every name that is not one of the group's objects.
func (a *archiver) sweep(ctx context.Context, term uint64) error {
	now := a.host.node.cfg.Clock()
	if now < a.stats.swept+orphanAge/24 || a.host.saver.busy() {
		return nil
	}
	if err := a.host.readBarrier(ctx); err != nil {
		return err
	}
	segments, err := a.segments()
	if err != nil {
		return err
	}
	used := make(map[string]bool, len(segments))
	for _, s := range segments {
		used[s.Segment.Key] = true
	}
	removed := 0
	err = a.store.List(ctx, archive.GroupPrefix(a.cluster(), a.host.id), func(o archive.Object) error {
		made, ok := archive.ParseKey(o.Key)
		if !ok || made.Group != a.host.id || made.Term > term || used[o.Key] || o.ModifiedAt > now-orphanAge {
			return nil
		}
		removed++
		return a.store.Delete(ctx, o.Key)
	})
	if err != nil {
		return fmt.Errorf("remove what nothing refers to: %w", err)
	}
	a.stats.swept = now
	if removed > 0 {
		a.stats.removed.Add(int64(removed))
		a.log.Info("removed objects that no index refers to", "objects", removed)
	}
	return nil
}

func (a *archiver) cluster() string { return a.host.node.identity.get().ClusterID }

// retire deletes what is older than it is to be kept. An object's messages go when the newest of them is too old, so some are
// kept a little longer than they would have to be.
func (a *archiver) retire(ctx context.Context) error {
	now, kept := a.host.node.cfg.Clock(), millisOf(a.host.node.cfg.RetainFor)
	segments, err := a.segments()
	if err != nil {
		return err
	}
	newest := make(map[uint64]wire.Millis, len(segments))
	for _, s := range segments {
		newest[s.Number] = s.Segment.NewestAt
	}
	last := raftfsm.Forget{}
	flush := func() error {
		if last.Through == 0 {
			return nil
		}
		if _, err := a.host.do(ctx, last); err != nil {
			return fmt.Errorf("delete messages of %s: %w", last.ChatID, err)
		}
		return a.pace.rest(ctx)
	}
	var keep wire.Millis // of last.ChatID
	err = a.eachLine(ctx, func(line raftfsm.IndexLine) error {
		if line.ChatID != last.ChatID {
			if err := flush(); err != nil {
				return err
			}
			own, err := a.host.store().Retention(line.ChatID)
			if err != nil {
				return err
			}
			last, keep = raftfsm.Forget{ChatID: line.ChatID}, kept
			if own.Own {
				keep = own.For
			}
		}
		if at, ok := newest[line.Segment]; ok && keep > 0 && at < now-keep {
			last.Through = line.To
		}
		return nil
	})
	return errors.Join(err, flush())
}
