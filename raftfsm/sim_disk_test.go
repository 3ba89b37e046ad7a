package raftfsm

import (
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/raftfsm/wal"
)

// simDisk is the file system under a node's log: in memory, and a power cut leaves only what was synced.
type simDisk struct {
	mu    sync.Mutex
	files map[string]*simFile
	names map[string]*simFile // as of the last SyncDir

	lazy  bool // most syncs do nothing
	syncs int
}

func newSimDisk(lazy bool) *simDisk {
	return &simDisk{lazy: lazy, files: map[string]*simFile{}, names: map[string]*simFile{}}
}

// powerCut gives the disk as it is when the power comes back. The old one goes on for those who still hold it.
func (d *simDisk) powerCut() *simDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := newSimDisk(d.lazy)
	for name, f := range d.names {
		kept := slices.Clone(f.synced)
		next.files[name] = &simFile{disk: next, seen: kept, synced: slices.Clone(kept)}
	}
	next.names = maps.Clone(next.files)
	return next
}

func (d *simDisk) Open(name string, create bool) (wal.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.files[name]; f != nil && !create {
		return f, nil
	}
	if !create {
		return nil, fs.ErrNotExist
	}
	d.files[name] = &simFile{disk: d}
	return d.files[name], nil
}

func (d *simDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[to] = d.files[from]
	delete(d.files, from)
	return nil
}

func (d *simDisk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.files, name)
	return nil
}

func (d *simDisk) List() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.files)), nil
}

func (d *simDisk) SyncDir() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names = maps.Clone(d.files)
	return nil
}

// simFile is a file of a simDisk: what the process sees, and what is on the disk.
type simFile struct {
	disk         *simDisk
	seen, synced []byte
}

func (f *simFile) ReadAt(b []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if off >= int64(len(f.seen)) {
		return 0, io.EOF
	}
	n := copy(b, f.seen[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *simFile) WriteAt(b []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.grow(off + int64(len(b)))
	return copy(f.seen[off:], b), nil
}

func (f *simFile) grow(size int64) {
	if more := size - int64(len(f.seen)); more > 0 {
		f.seen = append(f.seen, make([]byte, more)...)
	}
}

func (f *simFile) Allocate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.grow(size)
	return nil
}

func (f *simFile) Datasync() error {
	// No virtual time passes here: who waits for a mutex that is held meanwhile would keep the clock from going on.
	runtime.Gosched()
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.syncs++; f.disk.lazy && f.disk.syncs%20 != 0 {
		return nil
	}
	f.synced = slices.Clone(f.seen)
	return nil
}

func (f *simFile) Size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return int64(len(f.seen)), nil
}

func (f *simFile) Close() error { return nil }

// slowLog is the log of a node as its disk is: writes take their time. It passes above the log's own locks, see Datasync.
type slowLog struct {
	raft.LogStore
	node *simNode
}

func (l slowLog) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

func (l slowLog) StoreLogs(entries []*raft.Log) error {
	time.Sleep(l.node.pace.next())
	return l.LogStore.StoreLogs(entries)
}

// diskPace is how long the writes of a disk take. It changes between that of a good disk and of one that hangs for a while.
type diskPace struct {
	mu    sync.Mutex
	rng   *rand.Rand
	slow  bool
	until time.Time
}

func newDiskPace(seed, node uint64) *diskPace {
	return &diskPace{rng: rand.New(rand.NewPCG(seed, 100+node))}
}

func (p *diskPace) next() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.After(p.until) {
		p.slow, p.until = p.rng.IntN(5) == 0, now.Add(time.Duration(p.rng.IntN(1500))*time.Millisecond)
	}
	if p.slow {
		return time.Duration(p.rng.IntN(400)) * time.Millisecond
	}
	return time.Duration(p.rng.IntN(4000)) * time.Microsecond
}
