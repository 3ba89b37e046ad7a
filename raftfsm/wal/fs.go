package wal

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// FS is the part of a file system that a log needs. Names are file names in the log's directory. OS is the real one; tests
// put faults and crashes behind others.
type FS interface {
	// Open opens a file for reading and writing, or makes an empty one with create.
	Open(name string, create bool) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	// List names the files, in any order.
	List() ([]string, error)
	// SyncDir makes what Open, Rename and Remove did to names durable.
	SyncDir() error
}

// File is an open file of an FS.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Allocate gives the file this size, with blocks of its own behind every byte; bytes never written are 0. Without room
	// it fails with syscall.ENOSPC.
	Allocate(size int64) error
	// Datasync makes everything written so far, and the size, durable.
	Datasync() error
	Size() (int64, error)
}

// OS gives the file system's directory dir, which must exist.
func OS(dir string) FS { return osFS(dir) }

type osFS string

func (d osFS) Open(name string, create bool) (File, error) {
	flags := os.O_RDWR
	if create {
		flags |= os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(filepath.Join(string(d), name), flags, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d osFS) Rename(from, to string) error {
	return os.Rename(filepath.Join(string(d), from), filepath.Join(string(d), to))
}

func (d osFS) Remove(name string) error { return os.Remove(filepath.Join(string(d), name)) }

func (d osFS) List() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (d osFS) SyncDir() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

type osFile struct{ *os.File }

func (f osFile) Allocate(size int64) error { return allocate(f.File, size) }

func (f osFile) Datasync() error {
	if NoSync {
		return nil
	}
	return datasync(f.File)
}

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// writeZeros makes a file of size bytes without the help of the file system.
func writeZeros(f io.WriterAt, from, size int64) error {
	zeros := make([]byte, 1<<20)
	for ; from < size; from += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-from)], from); err != nil {
			return err
		}
	}
	return nil
}
