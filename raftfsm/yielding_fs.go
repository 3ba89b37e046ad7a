package raftfsm

import (
	"runtime"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// yieldingFS has whoever makes tables let other goroutines go first, block by block. A flush or a compaction computes for up to seconds, on all replicas at
// about the same time, as they write the same. Go lets each of them have a processor for 10 ms at a time, and an append needs a turn for more
// than ten goroutines on its way.
type yieldingFS struct{ vfs.FS }

// Create creates a file.
func (fs yieldingFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil || !strings.HasSuffix(name, tableSuffix) {
		return f, err
	}
	return yieldingFile{f}, nil
}

// Open opens a file. A compaction says that it reads one from end to end.
func (fs yieldingFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := fs.FS.Open(name, opts...)
	if err != nil || !slices.Contains(opts, vfs.SequentialReadsOption) {
		return f, err
	}
	return yieldingFile{f}, nil
}

// Unwrap gives the file system beneath.
func (fs yieldingFS) Unwrap() vfs.FS { return fs.FS }

// yieldingFile is a table that is written, or read from end to end. Of what is read most may be deleted, and never be written.
type yieldingFile struct{ vfs.File }

// Write writes behind what was written.
func (f yieldingFile) Write(b []byte) (int, error) {
	runtime.Gosched()
	return f.File.Write(b)
}

// ReadAt reads a block.
func (f yieldingFile) ReadAt(b []byte, offset int64) (int, error) {
	runtime.Gosched()
	return f.File.ReadAt(b, offset)
}
