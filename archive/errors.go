package archive

import "errors"

var (
	// ErrNotFound says that there is no such object.
	ErrNotFound = errors.New("no such object in the archive")
	// ErrDenied says that the store refuses its credentials, or what they may do.
	ErrDenied = errors.New("the object store denies access")
	// ErrUnavailable says that the store does not answer, or too slowly, or fails. It may be better later.
	ErrUnavailable = errors.New("the object store is not available")
	// ErrCorrupt says that an object is not what was archived. Its bytes are never handed out.
	ErrCorrupt = errors.New("an object of the archive is corrupt")
	// ErrFormat says that an object was written by a later version of this program.
	ErrFormat = errors.New("an object of the archive has a later format than this program knows")
	// ErrKey says that a name cannot be one of an object.
	ErrKey = errors.New("not the name of an object")
)
