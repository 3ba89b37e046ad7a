package raftfsm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// retainedSnapshots is how many are kept: the newest, and one more for a follower that it is being sent to.
const retainedSnapshots = 2

// snapshotStore keeps snapshots as directories: meta.json and, in state/, a checkpoint of the store. A snapshot of this
// node's own shares its files with the store by hard links; one that came from another node was unpacked from a stream.
// A directory that ends in unfinishedSuffix is not finished, or on its way out, and goes at the next start.
type snapshotStore struct {
	dir      string
	received func(index uint64)       // told of every snapshot that came from another node
	taken    func(began time.Time)    // told of every snapshot of this node's own; nil for nobody
	kept     func(index, term uint64) // told of the same, when it is durable; nil for nobody
	damaged  func(error)              // told of a snapshot that is corrupt

	mu sync.Mutex // held while snapshots are listed, renamed or removed
}

// unfinishedSuffix is that of a snapshot's directory whose files may be incomplete.
const unfinishedSuffix = ".tmp"

var _ raft.SnapshotStore = (*snapshotStore)(nil)

func openSnapshots(dir string, received func(index uint64), damaged func(error)) (*snapshotStore, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the snapshots' directory: %w", err)
	}
	unfinished, err := filepath.Glob(filepath.Join(dir, "*"+unfinishedSuffix))
	if err != nil {
		return nil, err
	}
	for _, tmp := range unfinished {
		if err := os.RemoveAll(tmp); err != nil {
			return nil, fmt.Errorf("remove an unfinished snapshot: %w", err)
		}
	}
	return &snapshotStore{dir: dir, received: received, damaged: damaged}, nil
}

// Create begins a snapshot.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	id := fmt.Sprintf("%020d-%020d-%d", index, term, time.Now().UnixNano())
	sink := &snapshotSink{store: s, begun: time.Now(), tmp: filepath.Join(s.dir, id+unfinishedSuffix), meta: raft.SnapshotMeta{
		Version: version, ID: id, Index: index, Term: term, Configuration: configuration,
		ConfigurationIndex: configurationIndex,
	}}
	if err := os.Mkdir(sink.tmp, 0o755); err != nil {
		return nil, fmt.Errorf("begin a snapshot: %w", err)
	}
	return sink, nil
}

// List gives the snapshots, the newest first.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list()
}

func (s *snapshotStore) list() ([]*raft.SnapshotMeta, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var all []*raft.SnapshotMeta
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), unfinishedSuffix) {
			continue
		}
		meta, err := s.read(e.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, meta)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].ID > all[j].ID })
	return all, nil
}

func (s *snapshotStore) read(id string) (*raft.SnapshotMeta, error) {
	path := filepath.Join(s.dir, id, snapshotMetaName)
	body, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, corrupt(path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read snapshot %s: %w", id, err)
	}
	meta, err := decodeSnapshotMeta(body)
	if err == nil && meta.ID != id {
		err = fmt.Errorf("it is of snapshot %q", meta.ID)
	}
	if err != nil {
		return nil, corrupt(path, err)
	}
	return meta, nil
}

// state gives the directory of a snapshot's checkpoint.
func (s *snapshotStore) state(id string) string { return filepath.Join(s.dir, id, "state") }

// Open gives a snapshot as a stream, of meta.Size bytes. The files are opened one by one as they are read.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	meta, err := s.read(id)
	if err != nil {
		return nil, nil, err
	}
	return meta, &snapshotReader{dir: s.state(id), index: meta.Index, term: meta.Term, size: meta.Size, damaged: s.damaged}, nil
}

// reap removes all but the newest snapshots.
func (s *snapshotStore) reap() error {
	all, err := s.list()
	if err != nil {
		return err
	}
	for _, old := range all[min(retainedSnapshots, len(all)):] {
		// First out of sight, so that a crash leaves no half of it.
		tmp := filepath.Join(s.dir, old.ID+unfinishedSuffix)
		if err := os.Rename(filepath.Join(s.dir, old.ID), tmp); err != nil {
			return fmt.Errorf("remove a snapshot: %w", err)
		}
		if err := os.RemoveAll(tmp); err != nil {
			return fmt.Errorf("remove a snapshot: %w", err)
		}
	}
	return nil
}

// snapshotReader streams a checkpoint. It begins when it is first read: a node that restores its own snapshot takes the
// directory instead.
type snapshotReader struct {
	dir     string
	index   uint64
	term    uint64
	size    int64       // of the stream
	damaged func(error) // told when the checkpoint is corrupt; its reader gets an error too
	pipe    *io.PipeReader
}

// Read gives the next bytes of the stream.
func (r *snapshotReader) Read(p []byte) (int, error) {
	if r.pipe == nil {
		files, size, err := listCheckpoint(r.dir)
		if err == nil && size != r.size {
			err = corrupt(r.dir, fmt.Errorf("its stream would have %d bytes, not %d", size, r.size))
			r.damaged(err)
		}
		if err != nil {
			return 0, err
		}
		var w *io.PipeWriter
		r.pipe, w = io.Pipe()
		go func() { // ends when the pipe is closed, at the latest
			err := writeStream(w, r.dir, files)
			_ = w.CloseWithError(err)
			if errors.Is(err, ErrCorrupt) {
				r.damaged(err)
			}
		}()
	}
	return r.pipe.Read(p)
}

// Close ends the stream.
func (r *snapshotReader) Close() error {
	if r.pipe == nil {
		return nil
	}
	return r.pipe.Close()
}

// snapshotSink is a snapshot that is being made: by capture from this node's store, or by Write from a stream.
type snapshotSink struct {
	store *snapshotStore
	meta  raft.SnapshotMeta
	tmp   string
	begun time.Time
	pipe  *io.PipeWriter // of a stream that is being unpacked
	done  chan error     // what came of unpacking
	ended bool
}

// ID names the snapshot.
func (s *snapshotSink) ID() string { return s.meta.ID }

func (s *snapshotSink) state() string { return filepath.Join(s.tmp, "state") }

// capture takes a checkpoint of the store.
func (s *snapshotSink) capture(store *Store) error {
	index, err := store.Checkpoint(s.state())
	if err != nil {
		return err
	}
	if index < s.meta.Index {
		return store.stamp(s.state(), s.meta.Index, s.meta.Term)
	}
	return nil
}

// Write takes the next bytes of a stream.
func (s *snapshotSink) Write(p []byte) (int, error) {
	if s.pipe == nil {
		if err := os.Mkdir(s.state(), 0o755); err != nil {
			return 0, err
		}
		var r *io.PipeReader
		r, s.pipe = io.Pipe()
		s.done = make(chan error, 1)
		go func() {
			err := readStream(r, s.state())
			_ = r.CloseWithError(err)
			s.done <- err
		}()
	}
	return s.pipe.Write(p)
}

// Close makes the snapshot durable and lets it be seen.
func (s *snapshotSink) Close() error {
	if s.ended {
		return nil
	}
	s.ended = true
	if s.pipe != nil {
		_ = s.pipe.Close()
		if err := <-s.done; err != nil {
			return errors.Join(err, os.RemoveAll(s.tmp))
		}
		s.store.received(s.meta.Index)
	}
	if err := s.finish(); err != nil {
		return errors.Join(fmt.Errorf("finish a snapshot: %w", err), os.RemoveAll(s.tmp))
	}
	if s.pipe == nil && s.store.taken != nil {
		s.store.taken(s.begun)
	}
	if s.pipe == nil && s.store.kept != nil {
		s.store.kept(s.meta.Index, s.meta.Term)
	}
	return nil
}

func (s *snapshotSink) finish() error {
	_, size, err := listCheckpoint(s.state())
	if err != nil {
		return err
	}
	s.meta.Size = size
	body, err := encodeSnapshotMeta(&s.meta)
	if err != nil {
		return err
	}
	if err := writeDurably(filepath.Join(s.tmp, snapshotMetaName), body); err != nil {
		return err
	}
	if err := syncDir(s.tmp); err != nil {
		return err
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if err := os.Rename(s.tmp, filepath.Join(s.store.dir, s.meta.ID)); err != nil {
		return err
	}
	if err := syncDir(s.store.dir); err != nil {
		return err
	}
	return s.store.reap()
}

// Cancel forgets the snapshot.
func (s *snapshotSink) Cancel() error {
	if s.ended {
		return nil
	}
	s.ended = true
	if s.pipe != nil {
		_ = s.pipe.CloseWithError(errors.New("cancelled"))
		<-s.done //nolint:errcheck // the unpacking ended because it was cancelled
	}
	return os.RemoveAll(s.tmp)
}

func writeDurably(path string, body []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
