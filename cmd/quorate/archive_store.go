package main

import (
	"net/url"
	"path/filepath"

	"github.com/quorate/quorate/archive"
)

// openArchive opens the object store of a URL, nil for none.
func openArchive(rawURL string) (archive.Store, error) { return openStore("--archive", rawURL) }

// openStore opens the object store that a flag names, nil for none.
func openStore(flag, rawURL string) (archive.Store, error) {
	if rawURL == "" {
		return nil, nil //nolint:nilnil // no archive is what was asked for
	}
	store, err := archive.OpenStore(rawURL)
	if err != nil {
		return nil, usagef("%s: %w", flag, err)
	}
	return store, nil
}

// openArchive opens the archive of a whole cluster in one process: a directory beside its data unless another is named.
func (c *DevConfig) openArchive() (archive.Store, error) {
	if c.Archive != "" {
		return openArchive(c.Archive)
	}
	dir, err := filepath.Abs(filepath.Join(c.Data, "archive"))
	if err != nil {
		return nil, err
	}
	return openArchive((&url.URL{Scheme: "file", Path: dir}).String())
}
