package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/quorate/quorate/sequencer/wire"
)

// dirStore keeps objects as files in a directory.
type dirStore struct{ dir string }

func openDir(u *url.URL) (Store, error) {
	if u.Host != "" && u.Host != "localhost" || u.RawQuery != "" || u.Fragment != "" || !filepath.IsAbs(u.Path) {
		return nil, fmt.Errorf("a directory as object store is file:///ABSOLUTE/PATH, not %q", u.Redacted())
	}
	return &dirStore{dir: filepath.Clean(u.Path)}, nil
}

// unfinished begins the names of files that are being written.
const unfinished = ".put-"

func (d *dirStore) path(key string) string { return filepath.Join(d.dir, filepath.FromSlash(key)) }

// Put writes beside the object and renames.
func (d *dirStore) Put(ctx context.Context, key string, body io.ReaderAt, size int64) (err error) {
	if err := checkKey(key); err != nil {
		return err
	}
	path := d.path(key)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return dirError(err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), unfinished)
	if err != nil {
		return dirError(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = io.Copy(f, &cancelled{ctx, io.NewSectionReader(body, 0, size)})
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return dirError(err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return dirError(err)
	}
	return d.syncUp(filepath.Dir(path))
}

// syncUp makes the entries of a directory durable, and those of the directories above it that may be new.
func (d *dirStore) syncUp(dir string) error {
	for {
		f, err := os.Open(dir)
		if err != nil {
			return dirError(err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return dirError(err)
		}
		if parent := filepath.Dir(dir); dir == filepath.Dir(d.dir) || parent == dir {
			return nil
		}
		dir = filepath.Dir(dir)
	}
}

// Get reads part of a file.
func (d *dirStore) Get(_ context.Context, key string, offset, size int64) ([]byte, error) {
	if err := errors.Join(checkKey(key), checkRange(offset, size)); err != nil {
		return nil, err
	}
	f, err := os.Open(d.path(key))
	if err != nil {
		return nil, dirError(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	b := make([]byte, size)
	if _, err := f.ReadAt(b, offset); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: %s ends before byte %d", ErrCorrupt, key, offset+size)
		}
		return nil, dirError(err)
	}
	return b, nil
}

// List walks the directory.
func (d *dirStore) List(ctx context.Context, prefix string, visit func(Object) error) error {
	if err := checkPrefix(prefix); err != nil {
		return err
	}
	return filepath.WalkDir(d.path(prefix), func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return dirError(err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if entry.IsDir() || strings.HasPrefix(entry.Name(), unfinished) {
			return nil
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return dirError(err)
		}
		name, err := filepath.Rel(d.dir, path)
		if err != nil {
			return err
		}
		return visit(Object{Key: filepath.ToSlash(name), Size: info.Size(), ModifiedAt: wire.Millis(info.ModTime().UnixMilli())})
	})
}

// Delete removes a file.
func (d *dirStore) Delete(_ context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if err := os.Remove(d.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return dirError(err)
	}
	return nil
}

func dirError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrDenied, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func checkRange(offset, size int64) error {
	if offset < 0 || size <= 0 || size > maxGet || offset > 1<<50 {
		return fmt.Errorf("%w: %d bytes from %d on", ErrCorrupt, size, offset)
	}
	return nil
}

func checkPrefix(prefix string) error {
	if !strings.HasSuffix(prefix, "/") {
		return fmt.Errorf("%w: a prefix ends in a slash, %q does not", ErrKey, prefix)
	}
	return checkKey(strings.TrimSuffix(prefix, "/"))
}

// cancelled is a reader that ends with a context.
type cancelled struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
