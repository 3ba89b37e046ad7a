//go:build !linux

package wal

import "os"

func allocate(f *os.File, size int64) error { return writeZeros(f, 0, size) }

func datasync(f *os.File) error { return f.Sync() }
