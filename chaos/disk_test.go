//go:build linux

package chaos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// disk is a file system of the test's own, in a file. Its power can be cut.
type disk struct{ image, dir string }

// newDisk makes an ext4 in a file of that size and mounts it. commit=60 keeps the file system from writing back what
// nobody asked it to.
func newDisk(t *testing.T, name string, megabytes int) *disk {
	t.Helper()
	base := t.TempDir()
	d := &disk{image: filepath.Join(base, name+".img"), dir: filepath.Join(base, name)}
	f, err := os.Create(d.image)
	if err == nil {
		err = errors.Join(f.Truncate(int64(megabytes)<<20), f.Close(), os.Mkdir(d.dir, 0o700))
	}
	if err == nil {
		err = run("", "mkfs.ext4", "-q", "-F", d.image)
	}
	if err == nil {
		err = d.mount()
	}
	if err != nil {
		t.Fatalf("make a disk: %v", err)
	}
	t.Cleanup(func() {
		if err := d.unmount(); err != nil {
			t.Errorf("%v", err)
		}
	})
	return d
}

func (d *disk) mount() error { return run("", "mount", "-o", "loop,commit=60", d.image, d.dir) }

// unmount waits for a killed process to let go of its files.
func (d *disk) unmount() error {
	var err error
	for range 100 {
		if err = syscall.Unmount(d.dir, 0); !errors.Is(err, syscall.EBUSY) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", d.dir, err)
	}
	return nil
}

// cutPower loses all that no fsync has asked for: from here on nothing reaches the disk, and what is in the page cache is
// gone with restorePower. Every call to the file system fails meanwhile.
func (d *disk) cutPower() error {
	const (
		ext4Shutdown = 0x8004587d // EXT4_IOC_SHUTDOWN
		noLogFlush   = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH: the journal is not written either
	)
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), ext4Shutdown, noLogFlush); err != nil {
		return fmt.Errorf("shut down %s: %w", d.dir, err)
	}
	return nil
}

// sync writes all that the page cache holds.
func (d *disk) sync() error {
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// restorePower mounts what has reached the disk. Nobody may have a file of it open.
func (d *disk) restorePower() error { return errors.Join(d.unmount(), d.mount()) }
