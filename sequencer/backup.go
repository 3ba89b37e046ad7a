package sequencer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/backup"
	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// saver saves a group into a backup, on the node that leads it. The checkpoint is made at once, when a backup asks for it, so those of
// all groups are of nearly one time; what is sent waits for the node's other work of this kind. What a crash leaves is in a directory
// that the next start removes, and in a backup without a manifest.
type saver struct {
	host  *host
	taken tokens // by the one backup that saves the group; meanwhile the archiver removes none of the group's objects

	state  atomic.Pointer[string] // for BACKUP STATUS
	now    saverCounts            // of the backup under way, or the last
	begun  atomic.Int64           // backups of this group that this node began, and
	failed atomic.Int64           // of them those that failed
	sent   atomic.Int64           // bytes, of all of them
	done   atomic.Int64           // milliseconds: when the last one was complete; 0 for never
}

// saverCounts is how far a backup of a group is.
type saverCounts struct {
	files, allFiles       atomic.Int64 // the objects of the archive included, as far as they are known
	bytes, allBytes, sent atomic.Int64
}

// What a saver is at.
const (
	saverIdle    = "idle"
	saverWaits   = "waiting"
	saverSends   = "sending"
	saverArchive = "archive" // copies objects of the archive
)

func newSaver(h *host) *saver {
	s := &saver{host: h, taken: make(tokens, 1)}
	s.is(saverIdle)
	return s
}

func (s *saver) is(state string) { s.state.Store(&state) }

// backupDir holds checkpoints while they are sent.
func (n *Node) backupDir() string { return filepath.Join(n.cfg.Dir, "backup") }

// busy tells whether a backup is at the group.
func (s *saver) busy() bool { return len(s.taken) > 0 }

// save puts the group as it is now into a backup. It is wire.ErrBusy where another backup is at the group.
func (s *saver) save(ctx context.Context, store archive.Store, name string) (part backup.Part, err error) {
	select {
	case s.taken <- struct{}{}:
		defer func() { <-s.taken }()
	default:
		return part, fmt.Errorf("%w: group %d is being saved already", wire.ErrBusy, s.host.id)
	}
	s.begun.Add(1)
	defer s.is(saverIdle)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.host.node.life, cancel)()
	go func() { // ends with ctx
		select {
		case <-s.host.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	dir := filepath.Join(s.host.node.backupDir(), strconv.Itoa(int(s.host.id)))
	part, err = s.saveFrom(ctx, store, name, dir)
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		s.failed.Add(1)
		return part, fmt.Errorf("save group %d: %w", s.host.id, err)
	}
	s.done.Store(int64(s.host.node.cfg.Clock()))
	return part, nil
}

// saveFrom is save by way of a directory.
func (s *saver) saveFrom(ctx context.Context, store archive.Store, name, dir string) (part backup.Part, err error) {
	s.is(saverWaits)
	for _, count := range []*atomic.Int64{&s.now.files, &s.now.allFiles, &s.now.bytes, &s.now.allBytes, &s.now.sent} {
		count.Store(0)
	}
	if err := os.RemoveAll(dir); err != nil {
		return part, err
	}
	if err := s.host.readBarrier(ctx); err != nil {
		return part, err
	}
	g := &backup.Group{
		Backup: name, ClusterID: s.host.node.identity.get().ClusterID, Group: s.host.id, At: s.host.node.cfg.Clock(), Segments: []backup.Segment{},
	}
	at, err := s.host.raft.Checkpoint(dir)
	if err != nil {
		return part, err
	}
	g.Index, g.Term = at.Index, at.Term
	select {
	case s.host.node.saving <- struct{}{}:
		defer func() { <-s.host.node.saving }()
	case <-ctx.Done():
		return part, ctx.Err()
	}
	if err := s.sendFiles(ctx, store, g, dir); err != nil {
		return part, err
	}
	if err := s.copySegments(ctx, store, g, dir); err != nil {
		return part, err
	}
	return backup.PutGroup(ctx, store, g)
}

// sendFiles sends the files of a checkpoint. A table is verified first: its sum says only that what came is what was sent.
func (s *saver) sendFiles(ctx context.Context, store archive.Store, g *backup.Group, dir string) error {
	s.is(saverSends)
	files, err := raftfsm.CheckpointFiles(dir)
	if err != nil {
		return err
	}
	s.now.allFiles.Store(int64(len(files)))
	for _, f := range files {
		s.now.allBytes.Add(f.Size)
	}
	for _, f := range files {
		began := time.Now()
		path := filepath.Join(dir, f.Name)
		if f.Table {
			if err := raftfsm.VerifyTable(path); err != nil {
				return err
			}
		}
		file, sent, err := backup.PutFile(ctx, store, g.Backup, g.Group, f.Name, path)
		if err != nil {
			return err
		}
		g.Files = append(g.Files, file)
		if err := s.count(ctx, file.Size, sent, began); err != nil {
			return err
		}
	}
	return nil
}

// copySegments copies the objects of the archive that a checkpoint refers to, those that the store of backups does not have yet.
func (s *saver) copySegments(ctx context.Context, store archive.Store, g *backup.Group, dir string) error {
	s.is(saverArchive)
	segments, err := raftfsm.CheckpointSegments(dir)
	if err != nil || len(segments) == 0 {
		return err
	}
	from := s.host.node.cfg.Archive
	if from == nil {
		return fmt.Errorf("%w: the group has messages in the archive, and this node has none", wire.ErrBadRequest)
	}
	if shared, err := backup.Shared(ctx, from, g.Backup); err != nil || shared {
		return errors.Join(err, sharedError(shared))
	}
	slices.SortFunc(segments, func(a, b wire.Segment) int { return cmp.Compare(a.Key, b.Key) })
	s.now.allFiles.Add(int64(len(segments)))
	for _, seg := range segments {
		s.now.allBytes.Add(seg.Size)
	}
	for _, seg := range segments {
		began := time.Now()
		o := backup.Segment{Key: seg.Key, Size: seg.Size, SHA256: seg.SHA256}
		sent, err := backup.CopySegment(ctx, from, store, o, s.host.node.backupDir())
		if err != nil {
			return err
		}
		g.Segments = append(g.Segments, o)
		if err := s.count(ctx, seg.Size, sent, began); err != nil {
			return err
		}
	}
	return nil
}

func sharedError(shared bool) error {
	if shared {
		return fmt.Errorf("%w: %w", wire.ErrBadRequest, backup.ErrSameStore)
	}
	return nil
}

// count notes that a file is done, and waits where sending goes faster than it may.
func (s *saver) count(ctx context.Context, size int64, sent bool, began time.Time) error {
	s.now.files.Add(1)
	s.now.bytes.Add(size)
	if !sent {
		return ctx.Err()
	}
	s.now.sent.Add(size)
	s.sent.Add(size)
	rate := s.host.node.cfg.BackupRate
	if rate <= 0 {
		return ctx.Err()
	}
	return rest(ctx, time.Duration(float64(size)/float64(rate)*float64(time.Second))-time.Since(began))
}

// backupStore gives the store that a command names, or that of the node.
func (n *Node) backupStore(rawURL string) (archive.Store, error) {
	if rawURL == "" {
		if n.cfg.Backup == nil {
			return nil, fmt.Errorf("%w: this node has no store for backups: name one with TO", wire.ErrBadRequest)
		}
		return n.cfg.Backup, nil
	}
	store, err := archive.OpenStore(rawURL)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrBadRequest, err)
	}
	return store, nil
}

// beginBackup begins a backup of the cluster. This node serves the meta group.
func (n *Node) beginBackup(ctx context.Context, store archive.Store) (*backup.Begun, error) {
	now, f := n.cfg.Clock(), n.identity.get()
	begun := backup.Begun{Name: backup.NewName(now), ClusterID: f.ClusterID, Groups: f.Groups, At: now}
	if err := backup.Begin(ctx, store, begun); err != nil {
		return nil, err
	}
	if n.cfg.Archive != nil {
		shared, err := backup.Shared(ctx, n.cfg.Archive, begun.Name)
		if shared {
			_, err = backup.Remove(ctx, store, begun.Name)
		}
		if err != nil || shared {
			return nil, errors.Join(err, sharedError(shared))
		}
	}
	return &begun, nil
}

// commitBackup finishes a backup all of whose groups are saved. This node serves the meta group.
func (n *Node) commitBackup(ctx context.Context, store archive.Store, name string) (*backup.Manifest, error) {
	m, err := n.replicas().meta.latestMap(ctx)
	if err == nil && m == nil {
		err = wire.ErrTryAgain
	}
	if err != nil {
		return nil, err
	}
	settings := maps.Clone(m.Settings)
	delete(settings, wire.SettingEpoch)
	if settings == nil {
		settings = map[string]string{}
	}
	whole := &backup.Manifest{
		Name: name, ClusterID: m.ClusterID, Epoch: wire.EpochOf(m.Settings), DataFormat: m.Format, Version: n.cfg.Version, At: n.cfg.Clock(), Settings: settings,
	}
	return whole, backup.Commit(ctx, store, whole)
}
