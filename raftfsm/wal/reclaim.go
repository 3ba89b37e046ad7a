package wal

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/raft"
)

// movedBytes is how much of a segment that is being emptied is written again with one frame, at least.
const movedBytes = 64 << 10

// slackSegments is how many segments the log may have beyond twice what is live in it.
const slackSegments = 4

// victim is the oldest segment, while its live entries are written again.
type victim struct {
	number uint64
	left   []entryRef // that were live when it was chosen
}

type entryRef struct {
	group uint32
	index uint64
}

// reclaim removes segments from the old end that no group needs, and chooses one to be emptied where a slow group keeps
// more alive than it should. Only the oldest may go: a record that deletes must outlive what it deletes.
func (l *Log) reclaim() error {
	for {
		l.state.Lock()
		oldest := l.segments[0]
		if oldest == l.head || oldest.live > 0 {
			l.chooseVictim()
			l.state.Unlock()
			return nil
		}
		l.segments = l.segments[1:]
		l.state.Unlock()
		if err := l.discard(oldest); err != nil {
			return err
		}
	}
}

// discard takes a segment's name from its file, and keeps the file for the next segment if it can.
func (l *Log) discard(seg *segment) error {
	seg.use.Lock() // whoever reads it is done; nobody finds it any more
	defer seg.use.Unlock()
	s := spare{name: l.spareName(), file: seg.file}
	err := l.fs.Rename(seg.name, s.name)
	if err == nil {
		err = l.fs.SyncDir()
	}
	if err == nil && (seg.size != l.segmentBytes || !l.offer(s)) {
		err = errors.Join(s.file.Close(), l.fs.Remove(s.name))
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", l.path(seg.name), err)
	}
	return nil
}

// chooseVictim is called under the lock of state.
func (l *Log) chooseVictim() {
	oldest := l.segments[0]
	if l.victim != nil && l.victim.number != oldest.header.number {
		l.victim = nil
	}
	var size, live int64
	for _, seg := range l.segments {
		size += seg.size
		live += seg.live
	}
	if l.victim != nil || oldest == l.head || size <= 2*live+slackSegments*l.segmentBytes {
		return
	}
	l.victim = &victim{number: oldest.header.number}
	for _, id := range slices.Sorted(maps.Keys(l.groups)) {
		x := &l.groups[id].index
		for i, p := range x.at {
			if p.segment == oldest.header.number {
				l.victim.left = append(l.victim.left, entryRef{id, x.first + uint64(i)})
			}
		}
	}
}

// addMoved adds entries of the victim to a batch, twice as much as it holds, so that old segments go faster than new ones
// come. Groups of which the batch deletes something wait for the next one: what is deleted must not come back.
func (l *Log) addMoved(b *batch) error {
	if l.victim == nil {
		return nil
	}
	deletes := make(map[uint32]bool)
	for _, a := range b.added {
		if a.kind == kindDelete || a.kind == kindRemove {
			deletes[a.group] = true
		}
	}
	limit := max(movedBytes, 2*len(b.buf))
	kept := l.victim.left[:0]
	var err error
	for i, ref := range l.victim.left {
		if err != nil || limit <= 0 {
			kept = append(kept, l.victim.left[i:]...)
			break
		}
		if deletes[ref.group] {
			kept = append(kept, ref)
			continue
		}
		var moved, fits bool
		size := len(b.buf)
		if moved, fits, err = l.move(b, ref); !fits {
			kept = append(kept, l.victim.left[i:]...)
			break
		} else if moved {
			limit -= len(b.buf) - size
		}
	}
	l.victim.left = kept
	return err
}

// move adds one entry of the victim to a batch, if it is still there; fits is false where the head has no room for it.
func (l *Log) move(b *batch, ref entryRef) (moved, fits bool, err error) {
	l.state.RLock()
	defer l.state.RUnlock()
	g := l.groups[ref.group]
	if g == nil {
		return false, true, nil
	}
	p, ok := g.index.get(ref.index)
	if !ok || p.segment != l.victim.number {
		return false, true, nil
	}
	if l.end+frameBytes(len(b.buf))+p.bytes()+frameHeaderSize > l.head.size {
		return false, false, nil
	}
	var e raft.Log
	if err := l.read(l.segment(p), ref.group, ref.index, p, &e); err != nil {
		return false, true, err
	}
	r := record{recordHeader: entryHeader(ref.group, &e), data: e.Data, extensions: e.Extensions}
	r.kind = kindMoved
	b.add(r)
	return true, true, nil
}
