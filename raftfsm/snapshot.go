package raftfsm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/raft"
)

// snapshotRef is a snapshot that has yet to be taken. Its Persist runs beside Apply, so that entries are applied while
// the state goes to disk. What it captures may be newer than the index that raft gives it: the skip rule of ApplyBatch
// makes that right on whoever restores it, and the log is cut only after Persist.
type snapshotRef struct{ store *Store }

// Persist puts the snapshot into a sink of this package's store.
func (s *snapshotRef) Persist(sink raft.SnapshotSink) error {
	own, ok := sink.(*snapshotSink)
	if !ok {
		return fmt.Errorf("BUG: a snapshot into %T", sink)
	}
	return own.capture(s.store)
}

// Release has nothing to let go.
func (s *snapshotRef) Release() {}

// restore replaces the store's state by that of a snapshot. It is prepared aside: a snapshot that turns out to be broken
// leaves the old state as it was.
func restore(s *Store, rc io.ReadCloser) error {
	aside := s.coming()
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	if err := os.Mkdir(aside, 0o755); err != nil {
		return err
	}
	if err := fillAside(aside, rc); err != nil {
		return errors.Join(err, os.RemoveAll(aside))
	}
	return s.ReplaceWith(aside)
}

func fillAside(aside string, rc io.ReadCloser) error {
	if own := ownSnapshot(rc); own != nil {
		return linkCheckpoint(own.dir, aside)
	}
	return readStream(rc, aside)
}

// ownSnapshot gives the snapshot of this node's that rc reads, nil where it reads something else.
func ownSnapshot(rc io.ReadCloser) *snapshotReader {
	for {
		if own, ok := rc.(*snapshotReader); ok {
			return own
		}
		wrapper, ok := rc.(raft.ReadCloserWrapper)
		if !ok {
			return nil
		}
		rc = wrapper.WrappedReadCloser()
	}
}

// linkCheckpoint copies a checkpoint: its tables, which are never written again, by hard links, the few others byte by
// byte.
func linkCheckpoint(from, to string) error {
	files, _, err := listCheckpoint(from)
	if err != nil {
		return err
	}
	for _, f := range files {
		src, dst := filepath.Join(from, f.name), filepath.Join(to, f.name)
		if strings.HasSuffix(f.name, tableSuffix) {
			err = os.Link(src, dst)
		} else {
			var body []byte
			if body, err = os.ReadFile(src); err == nil {
				err = writeDurably(dst, body)
			}
		}
		if err != nil {
			return fmt.Errorf("copy a checkpoint: %w", err)
		}
	}
	return syncDir(to)
}
