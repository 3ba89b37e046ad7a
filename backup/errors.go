package backup

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/archive"
)

var (
	// ErrNotFound says that there is no such backup.
	ErrNotFound = errors.New("no such backup")
	// ErrMissing says that an object that a backup needs is not there.
	ErrMissing = errors.New("an object of the backup is missing")
	// ErrCorrupt says that an object of a backup is not what was written.
	ErrCorrupt = errors.New("an object of the backup is corrupt")
	// ErrFormat says that a backup was written by a later version of this program.
	ErrFormat = errors.New("the backup has a later format than this program knows")
	// ErrName says that a name is none of a backup's.
	ErrName = errors.New("not the name of a backup")
	// ErrUnfinished says that a backup has no manifest: it is being made, or was given up.
	ErrUnfinished = errors.New("the backup is not finished")
	// ErrSameStore says that the store of backups is that of the archive, which removes what its cluster needs no more.
	ErrSameStore = errors.New("backups cannot be in the object store of the archive: name another bucket, directory or prefix")
)

// storeError gives what a store answered about an object of a backup its type. What may be better later stays as it is.
func storeError(key string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, archive.ErrNotFound):
		return fmt.Errorf("%w: %s: %w", ErrMissing, key, err)
	case errors.Is(err, archive.ErrCorrupt):
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, key, err)
	}
	return fmt.Errorf("%s: %w", key, err)
}
