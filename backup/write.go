package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/sequencer/wire"
)

// The order of events: Begin; per group its files, its objects of the archive, PutGroup; Commit. A backup that ends before
// Commit is none, and each step may be done again.

// Begin writes the first object of a backup.
func Begin(ctx context.Context, store archive.Store, b Begun) error {
	if err := CheckName(b.Name); err != nil {
		return err
	}
	b.Format = Format
	return put(ctx, store, begunKey(b.Name), b)
}

// Shared tells whether other is the same object store as the one in which the backup was begun.
func Shared(ctx context.Context, other archive.Store, name string) (bool, error) {
	_, err := other.Get(ctx, begunKey(name), 0, 1)
	if errors.Is(err, archive.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// PutFile stores a file of a group's checkpoint, whose sum and size it finds out. A table that is there already is not sent again.
func PutFile(ctx context.Context, store archive.Store, name string, g wire.GroupID, fileName, path string) (f File, sent bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return f, false, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	f = File{Name: fileName}
	sum := sha256.New()
	if f.Size, err = io.Copy(sum, &withContext{ctx, file}); err != nil {
		return f, false, fmt.Errorf("read %s: %w", path, err)
	}
	copy(f.SHA256[:], sum.Sum(nil))
	if f.Size == 0 {
		return f, false, nil // a mark, which is all in its name
	}
	key := fileKey(name, g, &f)
	if f.Table() {
		if there, err := has(ctx, store, key, f.Size); err != nil || there {
			return f, false, err
		}
	}
	return f, true, storeError(key, store.Put(ctx, key, file, f.Size))
}

// CopySegment copies an object of the archive from one store into another, by way of a file in scratch, where it is not there yet. What is
// copied is the object that seg means, or nothing.
func CopySegment(ctx context.Context, from, to archive.Store, seg Segment, scratch string) (sent bool, err error) {
	if there, err := has(ctx, to, seg.Key, seg.Size); err != nil || there {
		return false, err
	}
	file, err := os.CreateTemp(scratch, "segment-*")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	if err := fetch(ctx, from, seg.Key, seg.Size, seg.SHA256, file); err != nil {
		return false, err
	}
	return true, storeError(seg.Key, to.Put(ctx, seg.Key, file, seg.Size))
}

// PutGroup stores what a group's files and objects are, when all of them are there. It gives the group's line in the manifest.
func PutGroup(ctx context.Context, store archive.Store, g *Group) (Part, error) {
	g.Format = Format
	if bad := g.check(); bad != "" {
		return Part{}, fmt.Errorf("BUG: group %d of a backup: %s", g.Group, bad)
	}
	body, err := encode(g)
	if err != nil {
		return Part{}, err
	}
	if len(body) > maxGroupBytes {
		return Part{}, fmt.Errorf("group %d has too many files for a backup: %d", g.Group, len(g.Files))
	}
	return g.part(body), putBytes(ctx, store, groupKey(g.Backup, g.Group), body)
}

// Commit makes the backup exist: it makes sure that all groups, and all that they name, are there, and writes the manifest, whose Parts it
// fills in. ErrMissing says that something is not there (yet).
func Commit(ctx context.Context, store archive.Store, m *Manifest) error {
	begun, err := ReadBegun(ctx, store, m.Name)
	if err != nil {
		return err
	}
	if begun.ClusterID != m.ClusterID {
		return fmt.Errorf("%w: it is one of cluster %s", ErrNotFound, begun.ClusterID)
	}
	sizes, err := sizesOf(ctx, store, m.Name)
	if err != nil {
		return err
	}
	m.Format, m.BegunAt, m.Parts = Format, begun.At, nil
	for id := range wire.GroupID(begun.Groups) {
		part, err := completePart(ctx, store, m, id, sizes)
		if err != nil {
			return err
		}
		m.Parts = append(m.Parts, part)
	}
	if bad := m.check(); bad != "" {
		return fmt.Errorf("BUG: the manifest of a backup: %s", bad)
	}
	return put(ctx, store, wholeKey(m.Name), m)
}

// completePart reads what a group says of itself, and looks for all that it names.
func completePart(ctx context.Context, store archive.Store, m *Manifest, id wire.GroupID, sizes map[string]int64) (Part, error) {
	body, err := read(ctx, store, groupKey(m.Name, id), sizes, maxGroupBytes)
	if err != nil {
		return Part{}, err
	}
	g, err := DecodeGroup(body)
	if err != nil {
		return Part{}, fmt.Errorf("%s: %w", groupKey(m.Name, id), err)
	}
	if g.Group != id || g.ClusterID != m.ClusterID || g.Backup != m.Name {
		return Part{}, fmt.Errorf("%w: %s is another group's", ErrCorrupt, groupKey(m.Name, id))
	}
	for _, o := range g.objects() {
		there, err := has(ctx, store, o.Key, o.Size)
		if err == nil && !there {
			err = fmt.Errorf("%w: %s", ErrMissing, o.Key)
		}
		if err != nil {
			return Part{}, err
		}
	}
	return g.part(body), nil
}

// objects lists all objects that a group needs.
func (g *Group) objects() []Segment {
	all := make([]Segment, 0, len(g.Files)+len(g.Segments))
	for i := range g.Files {
		if f := &g.Files[i]; f.Size > 0 {
			all = append(all, Segment{Key: fileKey(g.Backup, g.Group, f), Size: f.Size, SHA256: f.SHA256})
		}
	}
	return append(all, g.Segments...)
}

func put(ctx context.Context, store archive.Store, key string, v any) error {
	body, err := encode(v)
	if err != nil {
		return err
	}
	return putBytes(ctx, store, key, body)
}

func putBytes(ctx context.Context, store archive.Store, key string, body []byte) error {
	return storeError(key, store.Put(ctx, key, bytes.NewReader(body), int64(len(body))))
}

// has tells whether an object is there that is not shorter than it should be. What is in it only reading it tells.
func has(ctx context.Context, store archive.Store, key string, size int64) (bool, error) {
	_, err := store.Get(ctx, key, size-1, 1)
	if errors.Is(err, archive.ErrNotFound) || errors.Is(err, archive.ErrCorrupt) {
		return false, nil
	}
	return err == nil, storeError(key, err)
}

// withContext is a reader that ends with a context.
type withContext struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (w *withContext) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.r.Read(p)
}
