package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// fileSystems are the names of those that it matters to know.
var fileSystems = map[int64]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.TMPFS_MAGIC: "tmpfs",
	unix.RAMFS_MAGIC: "ramfs", unix.NFS_SUPER_MAGIC: "nfs", unix.SMB2_SUPER_MAGIC: "cifs", unix.CIFS_SUPER_MAGIC: "cifs",
	unix.FUSE_SUPER_MAGIC: "fuse", unix.OVERLAYFS_SUPER_MAGIC: "overlay", 0x2fc12fc1: "zfs",
}

func diskOf(dir string) (diskSpace, error) {
	dir, err := existing(dir)
	if err != nil {
		return diskSpace{}, err
	}
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return diskSpace{}, fmt.Errorf("statfs %s: %w", dir, err)
	}
	block := uint64(s.Bsize) //nolint:gosec // a size
	return diskSpace{
		FreeBytes: s.Bavail * block, TotalBytes: s.Blocks * block, FreeInodes: s.Ffree, TotalInodes: s.Files,
		Type: fileSystems[int64(s.Type)], //nolint:unconvert // not the same type on every architecture
	}, nil
}

// kernelClock asks the kernel whether somebody keeps its clock.
func kernelClock() (clockState, error) {
	var t unix.Timex // modes 0: only asks
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return clockState{}, err
	}
	return clockState{
		Synchronised: state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0,
		MaxError:     time.Duration(t.Maxerror) * time.Microsecond,
	}, nil
}
