package wal

import (
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// GroupLog is the log of one group. It is a raft.LogStore, and safe for concurrent use.
type GroupLog struct {
	log *Log
	id  uint32

	write   sync.Mutex // held by a writer until its records are durable, so that what it checks stays true
	removed bool       // under write

	index index // under the log's lock of state
}

var _ raft.LogStore = (*GroupLog)(nil)

// FirstIndex gives the index of the first entry, or 0 when there is none.
func (g *GroupLog) FirstIndex() (uint64, error) {
	first, _ := g.bounds()
	return first, nil
}

// LastIndex gives the index of the last entry, or 0 when there is none.
func (g *GroupLog) LastIndex() (uint64, error) {
	_, last := g.bounds()
	return last, nil
}

func (g *GroupLog) bounds() (first, last uint64) {
	g.log.state.RLock()
	defer g.log.state.RUnlock()
	if g.index.empty() {
		return 0, 0
	}
	return g.index.first, g.index.last()
}

// GetLog reads an entry. It answers raft.ErrLogNotFound where there is none, and ErrCorrupt where it is damaged.
func (g *GroupLog) GetLog(index uint64, to *raft.Log) error {
	g.log.state.RLock()
	p, ok := g.index.get(index)
	if !ok || len(g.log.segments) == 0 {
		g.log.state.RUnlock()
		if ok {
			return ErrClosed
		}
		return raft.ErrLogNotFound
	}
	seg := g.log.segment(p)
	seg.use.RLock() // before the lock of state is given up, so that the segment is not removed in between
	defer seg.use.RUnlock()
	g.log.state.RUnlock()
	return g.log.read(seg, g.id, index, p, to)
}

// StoreLog is StoreLogs of one entry.
func (g *GroupLog) StoreLog(entry *raft.Log) error { return g.StoreLogs([]*raft.Log{entry}) }

// StoreLogs appends entries that follow each other, and returns when they are durable. The first one follows the last one
// of the log, or leaves a gap behind it: then all older entries are deleted with the same write, because a snapshot has
// taken their place. Other orders are ErrOrder.
func (g *GroupLog) StoreLogs(entries []*raft.Log) error {
	if len(entries) == 0 {
		return nil
	}
	g.write.Lock()
	defer g.write.Unlock()
	if g.removed {
		return ErrClosed
	}
	first, last := g.bounds()
	records := make([]record, 0, len(entries)+1)
	switch begin := entries[0].Index; {
	case begin == 0, last != 0 && begin <= last:
		return fmt.Errorf("%w: entry %d of group %d behind entry %d", ErrOrder, begin, g.id, last)
	case last != 0 && begin > last+1:
		records = append(records, record{recordHeader: recordHeader{group: g.id, kind: kindDelete, index: first, term: last}})
	}
	for i, e := range entries {
		if e.Index != entries[0].Index+uint64(i) {
			return fmt.Errorf("%w: entry %d of group %d behind entry %d", ErrOrder, e.Index, g.id, entries[i-1].Index)
		}
		records = append(records, record{recordHeader: entryHeader(g.id, e), data: e.Data, extensions: e.Extensions})
	}
	return g.log.append(records)
}

// DeleteRange deletes the entries from first to last, and returns when that is durable. The range must begin or end the
// log, or hold all of it; what it names beyond the log is ignored.
func (g *GroupLog) DeleteRange(first, last uint64) error {
	g.write.Lock()
	defer g.write.Unlock()
	if g.removed {
		return ErrClosed
	}
	has, until := g.bounds()
	switch {
	case first > last || until == 0 || last < has || first > until:
		return nil
	case first > has && last < until:
		return fmt.Errorf("%w: entries %d to %d of group %d lie in the middle of %d to %d", ErrOrder, first, last, g.id, has, until)
	}
	first, last = max(first, has), min(last, until)
	return g.log.append([]record{{recordHeader: recordHeader{group: g.id, kind: kindDelete, index: first, term: last}}})
}

// read reads the entry of a group at p of a segment that stays meanwhile.
func (l *Log) read(seg *segment, group uint32, index uint64, p pos, to *raft.Log) error {
	b := make([]byte, p.bytes())
	if _, err := seg.file.ReadAt(b, p.offset()); err != nil {
		return fmt.Errorf("read %s: %w", l.path(seg.name), err)
	}
	h, err := decodeRecordHeader(b)
	var data, extensions []byte
	if err == nil {
		data, extensions, err = h.body(b)
	}
	if err == nil && (h.group != group || h.index != index || h.kind > kindMoved) {
		err = fmt.Errorf("it holds entry %d of group %d in place of entry %d", h.index, h.group, index)
	}
	if err != nil {
		return &CorruptError{File: l.path(seg.name), Offset: p.offset(), Groups: []uint32{group}, Reason: err.Error()}
	}
	h.fill(to, data, extensions)
	return nil
}
