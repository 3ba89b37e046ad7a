package raftfsm

import (
	"context"
	"errors"
	"fmt"
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
	readable, err := sstable.NewSimpleReadable(yieldingFile{f})
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

// verify is verifyTable, where the table is still the file that was listed: it may have been removed meanwhile, and another one with its name may
// be written when a snapshot has replaced the state.
func (t table) verify() error {
	err := verifyTable(t.path)
	if err == nil || t.replaced() {
		return nil
	}
	return err
}

// replaced tells whether the file that was listed is not there any more.
func (t table) replaced() bool {
	info, err := os.Stat(t.path)
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	return !os.SameFile(info, t.info) || !info.ModTime().Equal(t.info.ModTime())
}

// tablesIn lists the tables in the directory of a checkpoint, which has no others than complete ones; none where there is no directory.
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
			continue // the snapshot is not needed any more
		}
		if err != nil {
			return nil, err
		}
		tables = append(tables, table{filepath.Join(dir, e.Name()), info})
	}
	return tables, nil
}

// tableSuffix is that of Pebble's tables, which are never written again once they are complete.
const tableSuffix = ".sst"

// tables lists the tables that the state consists of, the newest first. Other files in its directory, which may be there like these, are of no
// use: Pebble writes them at this moment, or was about to when the process ended, or is about to remove them.
func (s *Store) tables() (tables []table, err error) {
	err = s.locked(func(db *pebble.DB) error {
		levels, err := db.SSTables()
		if err != nil {
			return fmt.Errorf("list the tables: %w", err)
		}
		for _, level := range levels {
			for i := range level {
				path := filepath.Join(s.current(), level[i].BackingSSTNum.String()+tableSuffix)
				info, err := os.Stat(path)
				if errors.Is(err, os.ErrNotExist) {
					continue // a compaction was done with it; where it was not, Pebble finds that out
				}
				if err != nil {
					return fmt.Errorf("list the tables: %w", err)
				}
				tables = append(tables, table{path, info})
			}
		}
		return nil
	})
	slices.SortFunc(tables, func(a, b table) int { return b.info.ModTime().Compare(a.info.ModTime()) })
	return tables, err
}

// verifyNewest verifies the newest tables, of limit bytes at most: what was written last before the machine stopped is what
// it may have lost. The rest is left to the scrub, and to Pebble, which checks what it reads.
func (s *Store) verifyNewest(limit int64) error {
	tables, err := s.tables()
	if err != nil {
		return err
	}
	for _, t := range tables {
		if limit -= t.info.Size(); limit < 0 {
			return nil
		}
		if err := t.verify(); err != nil {
			return err
		}
	}
	return nil
}
