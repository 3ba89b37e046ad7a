package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/quorate/quorate/meter"
)

// Options say how a log runs. The zero value is good.
type Options struct {
	SegmentBytes int64 // of a segment; default 64 MiB. A frame that is larger gets a segment of its own size
	FS           FS    // default: OS of the directory
	MustExist    bool  // refuse to make a log where there is none: a node that had one has lost it
	// Discard names groups whose entries are to be thrown away: damaged data of theirs, and of no other group, is read
	// past. They are empty afterwards.
	Discard []uint32
	// Inline makes segments only when they are needed, on the goroutine that needs them; for tests that count operations.
	Inline bool
}

const (
	defaultSegmentBytes = 64 << 20
	minSegmentBytes     = segmentHeaderSize + 4096
)

// Log is a write-ahead log shared by the groups of a node. It is safe for concurrent use.
//
// Locks, in the order in which they are taken: GroupLog.write, commit, then mu or state, then segment.use.
type Log struct {
	dir          string
	fs           FS
	segmentBytes int64
	inline       bool

	mu     sync.Mutex
	queue  []*batch // oldest first; a batch leaves the queue when it is written, and then takes no more records
	closed bool
	failed error    // ErrFailed, with the first error of a write
	bufs   [][]byte // of batches that are done, to be used again

	commit  sync.Mutex // held by whoever writes
	head    *segment   // the newest segment
	end     int64      // of its frames
	seq     uint64     // of the next frame
	victim  *victim    // the segment that is being emptied, or nil
	spareID atomic.Uint64

	state    sync.RWMutex // of what follows
	segments []*segment   // oldest first, numbered without holes
	groups   map[uint32]*GroupLog

	spares   chan spare // at most one
	prepare  chan struct{}
	closing  chan struct{}
	done     sync.WaitGroup
	once     sync.Once
	closeErr error

	syncs, records atomic.Uint64
	writes         *meter.Histogram // of a frame, its sync included; seconds
}

// Open opens the log in dir, or makes one. It reads all of it, so it takes a while: about a second per GiB. What was cut
// off in the middle of the last write is dropped; every other damage is ErrCorrupt, and the files are left as they are.
func Open(dir string, o Options) (*Log, error) {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	if o.FS == nil {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the log's directory: %w", err)
		}
		o.FS = OS(dir)
	}
	l := &Log{
		dir: dir, fs: o.FS, segmentBytes: max(o.SegmentBytes, minSegmentBytes) &^ (align - 1), inline: o.Inline,
		groups: make(map[uint32]*GroupLog), writes: meter.NewHistogram(meter.Latency),
		spares: make(chan spare, 1), prepare: make(chan struct{}, 1), closing: make(chan struct{}),
	}
	if err := l.open(o); err != nil {
		return nil, errors.Join(fmt.Errorf("open log %s: %w", dir, err), l.closeFiles())
	}
	if !l.inline {
		l.done.Add(1)
		go l.prepareSpares()
	}
	return l, nil
}

func (l *Log) open(o Options) error {
	if err := l.recover(o.Discard); err != nil {
		return err
	}
	if l.head == nil {
		if o.MustExist {
			return &CorruptError{File: l.dir, Offset: -1, Reason: "the log is gone"}
		}
		l.seq = 1
		return l.roll(0)
	}
	// What was read may be in the kernel's memory only.
	if err := l.head.file.Datasync(); err != nil {
		return fmt.Errorf("sync %s: %w", l.path(l.head.name), err)
	}
	for _, id := range o.Discard {
		if err := l.Remove(id); err != nil {
			return err
		}
	}
	return l.confirm()
}

// Group gives the log of one group, which is empty when it is new. All calls with an id give the same one, until Remove.
func (l *Log) Group(id uint32) (*GroupLog, error) {
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	l.state.Lock()
	defer l.state.Unlock()
	return l.group(id), nil
}

// group is Group under the lock of state.
func (l *Log) group(id uint32) *GroupLog {
	g := l.groups[id]
	if g == nil {
		g = &GroupLog{log: l, id: id}
		l.groups[id] = g
	}
	return g
}

// Groups names the groups that have entries, in order.
func (l *Log) Groups() []uint32 {
	l.state.RLock()
	defer l.state.RUnlock()
	var ids []uint32
	for id, g := range l.groups {
		if !g.index.empty() {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Remove deletes the log of a group, durably. Its GroupLog answers ErrClosed from then on; Group gives a new one.
func (l *Log) Remove(id uint32) error {
	g, err := l.Group(id)
	if err != nil {
		return err
	}
	g.write.Lock()
	defer g.write.Unlock()
	if g.removed {
		return nil
	}
	if err := l.append([]record{{recordHeader: recordHeader{group: id, kind: kindRemove}}}); err != nil {
		return err
	}
	g.removed = true
	return nil
}

// Stats counts what a log holds and has done.
type Stats struct {
	Segments  int
	FileBytes int64  // of all segments
	LiveBytes int64  // of the entries in them that are not deleted
	Syncs     uint64 // writes, each with one fdatasync, since Open
	Records   uint64 // in them
}

// Stats tells how the log stands.
func (l *Log) Stats() Stats {
	l.state.RLock()
	defer l.state.RUnlock()
	s := Stats{Segments: len(l.segments), Syncs: l.syncs.Load(), Records: l.records.Load()}
	for _, seg := range l.segments {
		s.FileBytes += seg.size
		s.LiveBytes += seg.live
	}
	return s
}

// Writes gives how long writes took, each with its fdatasync, in seconds.
func (l *Log) Writes() *meter.Histogram { return l.writes }

// Close waits for writes that are under way and closes the files. Reads and writes answer ErrClosed from then on.
func (l *Log) Close() error {
	l.once.Do(func() {
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		close(l.closing)
		l.done.Wait()
		l.commit.Lock()
		defer l.commit.Unlock()
		for l.commitOldest() {
		}
		l.closeErr = l.closeFiles()
	})
	return l.closeErr
}

func (l *Log) closeFiles() error {
	l.state.Lock()
	defer l.state.Unlock()
	var errs []error
	for _, seg := range l.segments {
		seg.use.Lock()
		errs = append(errs, seg.file.Close())
		seg.use.Unlock()
	}
	l.segments = nil
	select {
	case s := <-l.spares:
		errs = append(errs, s.file.Close())
	default:
	}
	return errors.Join(errs...)
}

func newSalt() uint64 { return rand.Uint64() }
