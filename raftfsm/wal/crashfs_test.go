package wal

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
)

// errPower is what every operation answers after the machine lost power.
var errPower = errors.New("the power is gone")

// crashFS is a file system in memory that forgets what was not synced. Every change, and every sync, is an operation; the
// power fails before operation number failAt.
type crashFS struct {
	mu      sync.Mutex
	names   map[string]*crashFile
	pending []func(map[string]*crashFile) // changes of names since the last SyncDir
	durable map[string]*crashFile
	ops     int
	failAt  int   // 0: never
	room    int64 // bytes that can still be allocated
	failing error // of every sync, when set
}

func newCrashFS() *crashFS {
	return &crashFS{names: map[string]*crashFile{}, durable: map[string]*crashFile{}, room: 1 << 40}
}

// crashFile is a file: what the process sees, what is on the disk, and the writes between them.
type crashFile struct {
	fs      *crashFS
	seen    []byte
	disk    []byte
	pending []pendingWrite
}

type pendingWrite struct {
	off  int64
	data []byte
}

// op counts an operation. Under the lock.
func (c *crashFS) op() error {
	c.ops++
	if c.failAt > 0 && c.ops >= c.failAt {
		return errPower
	}
	return nil
}

func (c *crashFS) change(do func(map[string]*crashFile)) error {
	if err := c.op(); err != nil {
		return err
	}
	do(c.names)
	c.pending = append(c.pending, do)
	return nil
}

func (c *crashFS) Open(name string, create bool) (File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.names[name]; f != nil && !create {
		return f, nil
	}
	if !create {
		return nil, fs.ErrNotExist
	}
	f := &crashFile{fs: c}
	return f, c.change(func(names map[string]*crashFile) { names[name] = f })
}

func (c *crashFS) Rename(from, to string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.names[from]
	return c.change(func(names map[string]*crashFile) { delete(names, from); names[to] = f })
}

func (c *crashFS) Remove(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.change(func(names map[string]*crashFile) { delete(names, name) })
}

func (c *crashFS) List() ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.names)), nil
}

func (c *crashFS) SyncDir() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.op(); err != nil {
		return err
	}
	c.durable, c.pending = maps.Clone(c.names), nil
	return nil
}

// survivors says how much of what was not synced a crash leaves.
type survivors int

const (
	nothing  survivors = iota // only what was synced
	allOfIt                   // everything, in memory: the process died, the machine did not
	someOfIt                  // any sectors of any write, and a part of the changes of names
)

const sector = 512

// crash gives the file system as it is after the power came back.
func (c *crashFS) crash(what survivors, seed uint64) *crashFS {
	c.mu.Lock()
	defer c.mu.Unlock()
	if what == allOfIt {
		c.failAt = 0
		return c
	}
	rng := rand.New(rand.NewPCG(seed, uint64(what)))
	names := maps.Clone(c.durable)
	keep := len(c.pending)
	switch what {
	case nothing:
		keep = 0
	case someOfIt:
		keep = rng.IntN(keep + 1)
	}
	for _, do := range c.pending[:keep] {
		do(names)
	}
	after := newCrashFS()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		f := names[name]
		disk := slices.Clone(f.disk)
		for _, w := range f.pending {
			if what == someOfIt {
				disk = w.survive(disk, rng)
			}
		}
		after.names[name] = &crashFile{fs: after, seen: disk, disk: slices.Clone(disk)}
	}
	after.durable = maps.Clone(after.names)
	return after
}

// survive puts what is left of a write on the disk.
func (w pendingWrite) survive(disk []byte, rng *rand.Rand) []byte {
	for from := int64(0); from < int64(len(w.data)); {
		to := min((w.off+from)/sector*sector+sector-w.off, int64(len(w.data)))
		if rng.IntN(3) > 0 {
			disk = overwrite(disk, w.off+from, w.data[from:to])
		}
		from = to
	}
	return disk
}

func overwrite(b []byte, off int64, data []byte) []byte {
	if need := off + int64(len(data)); int64(len(b)) < need {
		b = append(b, make([]byte, need-int64(len(b)))...)
	}
	copy(b[off:], data)
	return b
}

func (f *crashFile) ReadAt(b []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off >= int64(len(f.seen)) {
		return 0, io.EOF
	}
	n := copy(b, f.seen[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *crashFile) WriteAt(b []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	err := f.fs.op()
	if err != nil && f.fs.ops > f.fs.failAt {
		return 0, err
	}
	f.seen = overwrite(f.seen, off, b) // what the power interrupts may still be in part on its way
	f.pending = append(f.pending, pendingWrite{off, slices.Clone(b)})
	return len(b), err
}

func (f *crashFile) Allocate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.op(); err != nil {
		return err
	}
	grows := size - int64(len(f.seen))
	if grows > f.fs.room {
		return syscall.ENOSPC
	}
	f.fs.room -= grows
	f.seen = overwrite(f.seen, size, nil)
	f.pending = append(f.pending, pendingWrite{size, nil})
	return nil
}

func (f *crashFile) Datasync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.op(); err != nil {
		return err
	}
	if f.fs.failing != nil {
		return f.fs.failing
	}
	for _, w := range f.pending {
		f.disk = overwrite(f.disk, w.off, w.data)
	}
	f.pending = nil
	return nil
}

func (f *crashFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.seen)), nil
}

func (f *crashFile) Close() error { return nil }
