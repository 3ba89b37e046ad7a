package raftfsm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/raftfsm/wal"
)

// ErrCorrupt says that files of this replica are not what was written to them: a checksum does not fit, a file is gone or
// cannot be read. It wraps ErrStorage. The replica must not go on, and not come back under its name: what it acknowledged
// or voted for may be among what is lost.
var ErrCorrupt = fmt.Errorf("%w: corrupt", ErrStorage)

// ErrReplicaLost is Open's answer where the replica's files are corrupt or incomplete. They have been set aside; the
// group must replace the replica by a new one, with the next generation.
var ErrReplicaLost = errors.New("the replica is lost")

const (
	corruptName   = "CORRUPT" // in a replica's directory: why it must not be opened again
	replicaName   = "REPLICA" // in a replica's directory: it has been made, and must not be made again
	corruptSuffix = ".corrupt-"
)

// corrupt makes an ErrCorrupt that names the file.
func corrupt(file string, err error) error { return fmt.Errorf("%w: %s: %w", ErrCorrupt, file, err) }

// isDamage tells errors that say that the disk did not keep what it was given from those that a program makes: a record
// that cannot be decoded although its block's checksum fits is as bad on all replicas, and dropping them would lose it.
func isDamage(err error) bool {
	var path *os.PathError
	return errors.Is(err, ErrCorrupt) || errors.Is(err, wal.ErrCorrupt) || pebble.IsCorruptionError(err) || errors.As(err, &path) && path.Op == "read"
}

// MarkCorrupt records durably that the replica in dir must not be opened again. The first reason stays.
func MarkCorrupt(dir string, reason error) error {
	path := filepath.Join(dir, corruptName)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	text := fmt.Sprintf("%s\n%v\n", time.Now().UTC().Format(time.RFC3339), reason)
	if err := errors.Join(writeDurably(path, []byte(text)), syncDir(dir)); err != nil {
		return fmt.Errorf("record that the replica is corrupt: %w", err)
	}
	return nil
}

// marking records an error that is damage before it passes it on to fatal. A marker that cannot be written is not missed
// for long: the damage is found again.
func marking(dir string, fatal func(error)) func(error) {
	return func(err error) {
		if isDamage(err) {
			err = errors.Join(err, MarkCorrupt(dir, err))
		}
		fatal(err)
	}
}

// IsReplica reports whether dir holds a replica that was made there before. One that has lost only some of its files is
// still a replica, and Open says that it is lost.
func IsReplica(dir string) bool {
	for _, name := range []string{replicaName, corruptName} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// markedCorrupt gives the reason that a marker in dir records, or nil.
func markedCorrupt(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, corruptName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return corrupt(corruptName, err)
	}
	return fmt.Errorf("%w: recorded at %s", ErrCorrupt, strings.TrimSpace(string(text)))
}

// setAside renames a lost replica's directory to NAME.corrupt-TIME, for whoever looks into it, and removes those of the
// same group that were set aside before. It gives ErrReplicaLost with the reason.
func setAside(dir string, reason error) error {
	parent, name := filepath.Split(filepath.Clean(dir))
	group, _, _ := strings.Cut(name, ".")
	entries, err := os.ReadDir(parent)
	if err != nil {
		return fmt.Errorf("set a lost replica aside: %w: %w", err, reason)
	}
	for _, e := range entries {
		before, _, aside := strings.Cut(e.Name(), corruptSuffix)
		if of, _, _ := strings.Cut(before, "."); aside && of == group {
			err = errors.Join(err, os.RemoveAll(filepath.Join(parent, e.Name())))
		}
	}
	aside := dir + corruptSuffix + time.Now().UTC().Format("20060102T150405.000")
	if err := errors.Join(err, os.Rename(dir, aside), syncDir(filepath.Clean(parent))); err != nil {
		return fmt.Errorf("set a lost replica aside: %w: %w", err, reason)
	}
	return fmt.Errorf("%w: set aside as %s: %w", ErrReplicaLost, filepath.Base(aside), reason)
}

// recovered turns a panic of a library that met broken bytes into an error.
func recovered(file string, err *error) {
	if r := recover(); r != nil {
		*err = corrupt(file, fmt.Errorf("%v", r))
	}
}
