package sequencer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/backup"
	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// ErrNotEmpty says that a directory holds something already. A backup is restored into an empty one only.
var ErrNotEmpty = errors.New("the directory is not empty")

// RestoreConfig says which backup is restored, and where to.
type RestoreConfig struct {
	From    archive.Store
	Name    string        // of the backup, or backup.Latest
	Dir     string        // of a node that does not exist yet: missing or empty
	Archive archive.Store // is given the objects of the archive that it does not have; nil is told of none

	Progress func(RestoreProgress)                           // told now and then; nil for nobody
	DiskFree func(dir string) (free, total int64, err error) // the default asks the system; for tests
}

// RestoreProgress is how far a restore, or the verification of a backup, is.
type RestoreProgress struct {
	Backup   string `json:"backup"`
	Step     string `json:"step"` // "files", "records" or "archive"
	Group    int    `json:"group"`
	Bytes    int64  `json:"bytes"`    // that are there
	AllBytes int64  `json:"allBytes"` // of all groups
}

// RestoredGroup is what a group of a backup holds.
type RestoredGroup struct {
	Group    int    `json:"group"`
	Index    uint64 `json:"index"`
	Term     uint64 `json:"term"`
	At       uint64 `json:"at"` // milliseconds: when the checkpoint was made
	Bytes    int64  `json:"bytes"`
	Chats    uint64 `json:"chats"`
	Messages uint64 `json:"messages"` // in the hot store
	Objects  int    `json:"objects"`  // of the archive
}

// RestoreResult is what came of a restore, or of the verification of a backup.
type RestoreResult struct {
	Backup    string          `json:"backup"`
	ClusterID string          `json:"clusterId"` // of the cluster that was saved
	Epoch     uint64          `json:"epoch"`     // of that
	At        uint64          `json:"at"`        // milliseconds: when the backup was complete
	Groups    []RestoredGroup `json:"groups"`
}

// restorer is one restore, or verification.
type restorer struct {
	RestoreConfig
	b    *backup.Backup
	at   RestoreProgress
	sums RestoreResult
}

// Restore makes of a backup what a node of a new cluster begins with. All first nodes of that cluster are given the same; each then starts
// with the Bootstrap list of the new cluster. Everything that the backup says of itself is read and checked before anything is written.
// A restore that fails leaves a directory with which no node starts.
func Restore(ctx context.Context, cfg RestoreConfig) (*RestoreResult, error) {
	r, err := openRestorer(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := r.room(); err != nil {
		return nil, err
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	defer lock.Close() //nolint:errcheck // it was only held
	if err := os.Mkdir(restoreDir(cfg.Dir), 0o700); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	for _, g := range r.b.Groups {
		dir := restoredGroup(cfg.Dir, g.Group)
		if err := r.group(ctx, g, dir); err != nil {
			return nil, fmt.Errorf("restore group %d: %w", g.Group, err)
		}
		if _, err := raftfsm.Mend(dir); err != nil {
			return nil, fmt.Errorf("restore group %d: %w", g.Group, err)
		}
	}
	if err := r.archive(ctx); err != nil {
		return nil, err
	}
	return &r.sums, r.finish()
}

// VerifyBackup reads a backup whole: every object with its sum, and every record of every group. It needs no cluster, and as much room in scratch
// as the largest group takes.
func VerifyBackup(ctx context.Context, cfg RestoreConfig) (*RestoreResult, error) {
	r, err := openRestorer(ctx, cfg)
	if err != nil {
		return nil, err
	}
	for _, g := range r.b.Groups {
		dir, err := os.MkdirTemp(cfg.Dir, "quorate-verify-*")
		if err != nil {
			return nil, err
		}
		err = r.group(ctx, g, filepath.Join(dir, "group"))
		if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
			return nil, fmt.Errorf("verify group %d: %w", g.Group, err)
		}
		for _, o := range g.Segments {
			r.tell("archive", g)
			if err := backup.CheckObject(ctx, cfg.From, o); err != nil {
				return nil, fmt.Errorf("verify group %d: %w", g.Group, err)
			}
		}
	}
	return &r.sums, nil
}

func openRestorer(ctx context.Context, cfg RestoreConfig) (*restorer, error) {
	b, err := backup.Open(ctx, cfg.From, cfg.Name)
	if err != nil {
		return nil, err
	}
	if !b.DataFormat.Known() {
		return nil, fmt.Errorf("backup %s: %w: format %d", b.Name, wire.ErrFormat, b.DataFormat)
	}
	r := &restorer{RestoreConfig: cfg, b: b, at: RestoreProgress{Backup: b.Name, AllBytes: b.Bytes()}}
	r.sums = RestoreResult{Backup: b.Name, ClusterID: b.ClusterID, Epoch: b.Epoch, At: uint64(b.At)}
	if r.DiskFree == nil {
		r.DiskFree = diskFree
	}
	return r, nil
}

// room looks that the directory is empty and has room.
func (r *restorer) room() error {
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	entries, err := os.ReadDir(r.Dir)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("restore into %s: %w", r.Dir, ErrNotEmpty)
	}
	free, _, err := r.DiskFree(r.Dir)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if need := r.b.Bytes(); need > free {
		return fmt.Errorf("restore: the backup has %d bytes, the disk of %s has room for %d", need, r.Dir, free)
	}
	return nil
}

// group brings a group's checkpoint into dir and reads all of it.
func (r *restorer) group(ctx context.Context, g *backup.Group, dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	r.tell("files", g)
	err := backup.FetchGroup(ctx, r.From, g, dir, func(bytes int64) {
		r.at.Bytes += bytes
		r.tell("files", g)
	})
	if err != nil {
		return err
	}
	r.tell("records", g)
	for i := range g.Files {
		if f := &g.Files[i]; f.Table() {
			if err := raftfsm.VerifyTable(filepath.Join(dir, f.Name)); err != nil {
				return fmt.Errorf("%w: %w", backup.ErrCorrupt, err)
			}
		}
	}
	holds, err := raftfsm.CheckContents(ctx, dir)
	if err == nil && holds.Position != (raftfsm.Position{Index: g.Index, Term: g.Term}) {
		err = fmt.Errorf("it ends with entry %d of term %d, not with %d of %d", holds.Index, holds.Term, g.Index, g.Term)
	}
	if err == nil && int(holds.Segments) != len(g.Segments) {
		err = fmt.Errorf("it refers to %d objects of the archive, not to %d", holds.Segments, len(g.Segments))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", backup.ErrCorrupt, err)
	}
	r.sums.Groups = append(r.sums.Groups, RestoredGroup{
		Group: int(g.Group), Index: g.Index, Term: g.Term, At: uint64(g.At), Bytes: r.b.Parts[g.Group].Bytes, Chats: holds.Chats,
		Messages: holds.Messages, Objects: len(g.Segments),
	})
	return nil
}

// archive gives the archive of the new cluster the objects that it does not have.
func (r *restorer) archive(ctx context.Context) error {
	for _, g := range r.b.Groups {
		for _, o := range g.Segments {
			if r.Archive == nil {
				break
			}
			r.tell("archive", g)
			if _, err := backup.CopySegment(ctx, r.From, r.Archive, o, restoreDir(r.Dir)); err != nil {
				return fmt.Errorf("restore the archive: %w", err)
			}
		}
	}
	return nil
}

// finish says that the directory holds the whole backup.
func (r *restorer) finish() error {
	content, err := json.MarshalIndent(&restored{
		Format: restoredFormat, Backup: r.b.Name, Manifest: r.b.SHA256, ClusterID: r.b.ClusterID, Epoch: r.b.Epoch, DataFormat: r.b.DataFormat,
		Groups: len(r.b.Groups), Settings: r.b.Settings,
	}, "", "  ")
	if err == nil {
		err = writeDurably(filepath.Join(restoreDir(r.Dir), restoredName), append(content, '\n'))
	}
	if err == nil {
		err = errors.Join(syncDir(r.Dir), syncDir(filepath.Dir(filepath.Clean(r.Dir))))
	}
	if err != nil {
		return fmt.Errorf("finish the restore: %w", err)
	}
	return nil
}

func (r *restorer) tell(step string, g *backup.Group) {
	if r.Progress != nil {
		r.at.Step, r.at.Group = step, int(g.Group)
		r.Progress(r.at)
	}
}
