package wal

import (
	"errors"
	"fmt"
	"time"
)

// commitOldest writes the oldest batch and answers who waits for it; it is false when there is none. Under the lock of
// commit.
func (l *Log) commitOldest() bool {
	l.mu.Lock()
	if len(l.queue) == 0 {
		l.mu.Unlock()
		return false
	}
	b := l.queue[0]
	l.queue = l.queue[1:]
	err := l.failed
	l.mu.Unlock()
	if err == nil {
		err = l.write(b)
	}
	if err != nil {
		l.refuse(b, err)
		return true
	}
	l.apply(b)
	close(b.done)
	l.recycleBuffer(b)
	l.tidy()
	return true
}

// write makes a batch durable.
func (l *Log) write(b *batch) error {
	if err := l.makeRoom(frameBytes(len(b.buf))); err != nil {
		return err
	}
	if err := l.addMoved(b); err != nil {
		return l.fail(err)
	}
	b.finish(l.seq, l.head.header.salt)
	began := time.Now()
	if _, err := l.head.file.WriteAt(b.buf, l.end); err != nil {
		return l.fail(fmt.Errorf("write %s: %w", l.path(l.head.name), err))
	}
	if err := l.head.file.Datasync(); err != nil {
		return l.fail(fmt.Errorf("sync %s: %w", l.path(l.head.name), err))
	}
	l.writes.Took(began)
	l.syncs.Add(1)
	l.records.Add(uint64(len(b.added)))
	return nil
}

// fail remembers the first error of a write: from then on nobody knows what is on the disk.
func (l *Log) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return l.failed
}

// refuse answers a batch that is not in the log, and all behind it: they may rely on its entries.
func (l *Log) refuse(b *batch, err error) {
	l.mu.Lock()
	all := append([]*batch{b}, l.queue...)
	l.queue = nil
	l.mu.Unlock()
	for _, b := range all {
		b.err = err
		close(b.done)
	}
}

// apply brings the indexes up to what the batch made durable.
func (l *Log) apply(b *batch) {
	l.state.Lock()
	defer l.state.Unlock()
	for _, a := range b.added {
		l.applyRecord(a.recordHeader, at(l.head.header.number, l.end+int64(a.off), a.size()))
	}
	l.end += int64(len(b.buf))
	l.seq++
}

func (l *Log) applyRecord(h recordHeader, p pos) {
	g := l.group(h.group)
	switch h.kind {
	case kindEntry:
		g.index.add(h.index, p)
		l.segment(p).live += p.bytes()
	case kindMoved:
		old, ok := g.index.get(h.index)
		if !ok {
			panic("BUG: an entry was moved that is deleted")
		}
		l.segment(old).live -= old.bytes()
		g.index.at[h.index-g.index.first] = p
		l.segment(p).live += p.bytes()
	case kindDelete:
		g.index.cut(h.index, h.term, l.gone)
	case kindRemove:
		if !g.index.empty() {
			g.index.cut(g.index.first, g.index.last(), l.gone)
		}
		delete(l.groups, h.group)
	}
}

// gone takes a deleted record off its segment.
func (l *Log) gone(p pos) { l.segment(p).live -= p.bytes() }

// segment gives the segment that a record is in. Under the lock of state.
func (l *Log) segment(p pos) *segment { return l.segments[p.segment-l.segments[0].header.number] }

func (l *Log) recycleBuffer(b *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cap(b.buf) <= keptBuffer && len(l.bufs) < keptBuffers {
		l.bufs = append(l.bufs, b.buf)
	}
	b.buf = nil
}

// tidy does what nobody waits for: it removes segments that no group needs, and says in the log that all of it is synced
// when no other write is about to say so.
func (l *Log) tidy() {
	err := l.reclaim()
	l.mu.Lock()
	busy := len(l.queue) > 0
	l.mu.Unlock()
	if err == nil && !busy {
		err = l.confirm()
	}
	if err != nil && !errors.Is(err, ErrFailed) {
		_ = l.fail(err) // who writes next is told
	}
}

// confirm writes a frame of no records behind the last one, without a sync: it takes the place of the next frame. Where it
// is found, damage before it can not be a write that was cut off.
func (l *Log) confirm() error {
	var b [frameHeaderSize]byte
	frameHeader{seq: l.seq}.put(b[:], l.head.header.salt)
	if _, err := l.head.file.WriteAt(b[:], l.end); err != nil {
		return fmt.Errorf("write %s: %w", l.path(l.head.name), err)
	}
	return nil
}
