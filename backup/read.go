package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/sequencer/wire"
)

// Latest stands for the newest finished backup in place of a name.
const Latest = "latest"

// Entry is a backup as List finds it.
type Entry struct {
	Name       string
	Finished   bool
	ModifiedAt wire.Millis // of its newest object
}

// List gives the backups in a store, those that are not finished too, the oldest first.
func List(ctx context.Context, store archive.Store) ([]Entry, error) {
	found := map[string]*Entry{}
	err := store.List(ctx, allBackups, func(o archive.Object) error {
		name, rest, _ := strings.Cut(strings.TrimPrefix(o.Key, allBackups), "/")
		if CheckName(name) != nil {
			return nil // not ours
		}
		e := found[name]
		if e == nil {
			e = &Entry{Name: name}
			found[name] = e
		}
		e.Finished = e.Finished || rest == manifestName
		e.ModifiedAt = max(e.ModifiedAt, o.ModifiedAt)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the backups: %w", err)
	}
	all := make([]Entry, 0, len(found))
	for _, e := range found {
		all = append(all, *e)
	}
	slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Find gives the name of a finished backup: the one that is named, or for Latest the newest. ErrNotFound says that there is none,
// ErrUnfinished that it has no manifest.
func Find(ctx context.Context, store archive.Store, name string) (string, error) {
	if name != Latest {
		if err := CheckName(name); err != nil {
			return "", err
		}
	}
	all, err := List(ctx, store)
	if err != nil {
		return "", err
	}
	for _, e := range slices.Backward(all) {
		switch {
		case name == Latest && e.Finished:
			return e.Name, nil
		case e.Name == name && !e.Finished:
			return "", fmt.Errorf("%w: %s", ErrUnfinished, name)
		case e.Name == name:
			return name, nil
		}
	}
	return "", fmt.Errorf("%w: %s", ErrNotFound, name)
}

// Backup is a finished backup that was read and checked as far as its manifest goes.
type Backup struct {
	Manifest
	SHA256 Sum // of the manifest's bytes
	Groups []*Group
}

// Open reads the manifest of a backup and what it says of each group. Nothing else of it is read.
func Open(ctx context.Context, store archive.Store, name string) (*Backup, error) {
	name, err := Find(ctx, store, name)
	if err != nil {
		return nil, err
	}
	sizes, err := sizesOf(ctx, store, name)
	if err != nil {
		return nil, err
	}
	body, err := read(ctx, store, wholeKey(name), sizes, maxManifestBytes)
	if err != nil {
		return nil, err
	}
	m, err := DecodeManifest(body)
	if err == nil && m.Name != name {
		err = fmt.Errorf("%w: it is that of %s", ErrCorrupt, m.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", wholeKey(name), err)
	}
	b := &Backup{Manifest: *m, SHA256: sha256.Sum256(body)}
	for i := range b.Parts {
		p := &b.Parts[i]
		key := groupKey(name, p.Group)
		if size, there := sizes[key]; there && size != p.Size {
			return nil, fmt.Errorf("%w: %s has %d bytes, not %d", ErrCorrupt, key, size, p.Size)
		}
		body, err := read(ctx, store, key, sizes, maxGroupBytes)
		if err != nil {
			return nil, err
		}
		g, err := decodeGroup(body, m, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		b.Groups = append(b.Groups, g)
	}
	return b, nil
}

// Bytes is what the files of all checkpoints have.
func (m *Manifest) Bytes() (n int64) {
	for i := range m.Parts {
		n += m.Parts[i].Bytes
	}
	return n
}

// FetchGroup brings the files of a group's checkpoint into dir, which must be empty, and makes them durable. Each is the file that the backup
// means, or the answer is ErrCorrupt or ErrMissing. fetched is told the bytes of each.
func FetchGroup(ctx context.Context, store archive.Store, g *Group, dir string, fetched func(bytes int64)) error {
	for i := range g.Files {
		f := &g.Files[i]
		if err := fetchFile(ctx, store, g, f, filepath.Join(dir, f.Name)); err != nil {
			return err
		}
		fetched(f.Size)
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func fetchFile(ctx context.Context, store archive.Store, g *Group, f *File, path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = fetch(ctx, store, fileKey(g.Backup, g.Group, f), f.Size, f.SHA256, file)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// CheckObject reads an object whole and makes sure that it is the one that is meant.
func CheckObject(ctx context.Context, store archive.Store, o Segment) error {
	return fetch(ctx, store, o.Key, o.Size, o.SHA256, io.Discard)
}

// fetchPiece is how much of an object is in memory at one time.
const fetchPiece = 8 << 20

// fetch reads an object piece by piece. That it is the right one is known only at the end.
func fetch(ctx context.Context, store archive.Store, key string, size int64, want Sum, to io.Writer) error {
	sum := sha256.New()
	for at := int64(0); at < size; {
		piece, err := store.Get(ctx, key, at, min(size-at, fetchPiece))
		if err != nil {
			return storeError(key, err)
		}
		sum.Write(piece)
		if _, err := to.Write(piece); err != nil {
			return err
		}
		at += int64(len(piece))
	}
	if Sum(sum.Sum(nil)) != want {
		return fmt.Errorf("%w: %s does not fit its checksum", ErrCorrupt, key)
	}
	return nil
}

// ReadBegun reads the first object of a backup.
func ReadBegun(ctx context.Context, store archive.Store, name string) (*Begun, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	sizes, err := sizesOf(ctx, store, name)
	if err != nil {
		return nil, err
	}
	body, err := read(ctx, store, begunKey(name), sizes, maxManifestBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	b := &Begun{}
	if err := decode(body, b); err != nil {
		return nil, fmt.Errorf("%s: %w", begunKey(name), err)
	}
	if b.Name != name || b.Groups < 1 || b.Groups > maxGroups || badTime(b.At) {
		return nil, fmt.Errorf("%w: %s", ErrCorrupt, begunKey(name))
	}
	return b, nil
}

// sizesOf gives the sizes of the objects that a backup has for itself, but for the files of checkpoints.
func sizesOf(ctx context.Context, store archive.Store, name string) (map[string]int64, error) {
	sizes := map[string]int64{}
	err := store.List(ctx, prefixOf(name), func(o archive.Object) error {
		if strings.Count(o.Key, "/") == strings.Count(prefixOf(name), "/") {
			sizes[o.Key] = o.Size
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at backup %s: %w", name, err)
	}
	return sizes, nil
}

// read reads an object of at most limit bytes.
func read(ctx context.Context, store archive.Store, key string, sizes map[string]int64, limit int64) ([]byte, error) {
	size, there := sizes[key]
	switch {
	case !there:
		return nil, fmt.Errorf("%w: %s", ErrMissing, key)
	case size < 1 || size > limit:
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrCorrupt, key, size)
	}
	body, err := store.Get(ctx, key, 0, size)
	return body, storeError(key, err)
}
