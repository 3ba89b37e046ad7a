package raftfsm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// tableReading is how Pebble reads tables of its own: with the default options, as openPebble names no others.
var tableReading = func() sstable.ReaderOptions {
	opts := &pebble.Options{}
	opts.EnsureDefaults()
	return opts.MakeReaderOptions()
}()

// verifyTable reads all blocks of a table past Pebble's cache and compares them with their checksums. A broken one is an
// ErrCorrupt.
func verifyTable(path string) (err error) {
	f, err := vfs.Default.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	defer recovered(path, &err)
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r, err := sstable.NewReader(context.Background(), readable, tableReading)
	if err != nil {
		return corrupt(path, errors.Join(err, readable.Close()))
	}
	if err := r.ValidateBlockChecksums(); err != nil {
		return corrupt(path, errors.Join(err, r.Close()))
	}
	return r.Close()
}

// table is a table that is to be verified.
type table struct {
	path string
	info os.FileInfo
}

// tablesIn lists the tables in a directory, the newest first; none where there is no directory.
func tablesIn(dir string) ([]table, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var tables []table
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), tableSuffix) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // a compaction was done with it
		}
		if err != nil {
			return nil, err
		}
		tables = append(tables, table{filepath.Join(dir, e.Name()), info})
	}
	slices.SortFunc(tables, func(a, b table) int { return b.info.ModTime().Compare(a.info.ModTime()) })
	return tables, nil
}

// tableSuffix is that of Pebble's tables, which are never written again once they are complete.
const tableSuffix = ".sst"

// verifyNewest verifies the newest tables in dir, of limit bytes at most: what was written last before the machine stopped
// is what it may have lost. The rest is left to the scrub, and to Pebble, which checks what it reads.
func verifyNewest(dir string, limit int64) error {
	tables, err := tablesIn(dir)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if limit -= t.info.Size(); limit < 0 {
			return nil
		}
		if err := verifyTable(t.path); err != nil {
			return err
		}
	}
	return nil
}
