package main

import (
	"context"
	"slices"
	"time"
)

// Bounds of what a disk should do. An append waits for the fsyncs of two nodes, so p99 is close to what a client waits.
const (
	fsyncSlow    = 20 * time.Millisecond  // p99 above: every append is slow
	fsyncTooSlow = 200 * time.Millisecond // p99 above: leaders lose their followers under load
	fsyncTooFast = 10 * time.Microsecond  // p50 below: no disk is that fast, so nothing was made durable
)

// checkFsync measures what an append costs on this disk.
func checkFsync(_ context.Context, c *DoctorConfig, m machine) []*diagnosis {
	const check = "fsync"
	times, err := m.fsyncs(c.Data, c.Fsyncs)
	if err != nil {
		return []*diagnosis{fail(check, "name a directory with --data that this user may write to", "%v", err)}
	}
	slices.Sort(times)
	at := func(q float64) time.Duration { return times[int(q*float64(len(times)-1))].Round(10 * time.Microsecond) }
	p50, p99 := at(0.50), at(0.99)
	found := "p50 %s, p99 %s over %d writes in %s"
	args := []any{p50, p99, len(times), c.Data}
	switch {
	case p99 > fsyncTooSlow:
		return []*diagnosis{fail(check, "use a local SSD that nothing else writes to", found, args...)}
	case p99 > fsyncSlow:
		return []*diagnosis{warn(check, "use a local SSD that nothing else writes to", found, args...)}
	case times[len(times)/2] < fsyncTooFast:
		return []*diagnosis{warn(check, "make sure that the disk honours fsync: a power cut may lose what was acknowledged", found, args...)}
	}
	return []*diagnosis{pass(check, found, args...)}
}

// Bounds of free space.
const (
	freeLow       = 10 << 30
	freeTooLow    = 1 << 30
	freePart      = 0.15 // of the disk
	freeInodesLow = 10_000
)

// checkDisk looks at the file system under the data.
func checkDisk(_ context.Context, c *DoctorConfig, m machine) []*diagnosis {
	space, err := m.disk(c.Data)
	if err != nil || space.TotalBytes == 0 {
		return nil
	}
	return []*diagnosis{freeSpace(space), fileSystem(space), freeInodes(space)}
}

func freeSpace(s diskSpace) *diagnosis {
	part := float64(s.FreeBytes) / float64(s.TotalBytes)
	found, args := "%s of %s free (%.0f %%)", []any{size(s.FreeBytes), size(s.TotalBytes), 100 * part}
	switch {
	case s.FreeBytes < freeTooLow:
		return fail("disk space", "free some, or use a larger disk: a full disk ends the node", found, args...)
	case s.FreeBytes < freeLow || part < freePart:
		return warn("disk space", "leave 15 % and 10 GiB free: snapshots and compactions need room", found, args...)
	}
	return pass("disk space", found, args...)
}

func fileSystem(s diskSpace) *diagnosis {
	switch s.Type {
	case "":
		return nil
	case "tmpfs", "ramfs":
		return fail("file system", "name a directory on a disk with --data", "%s: it is memory, and gone with the machine", s.Type)
	case "nfs", "cifs", "fuse":
		return warn("file system", "use a local disk: locks and fsync over a network are slow, and not always kept", "%s", s.Type)
	}
	return pass("file system", "%s", s.Type)
}

func freeInodes(s diskSpace) *diagnosis {
	if s.TotalInodes == 0 || s.FreeInodes >= freeInodesLow {
		return nil
	}
	return fail("inodes", "remove small files, or make the file system anew with more inodes", "%d free of %d", s.FreeInodes, s.TotalInodes)
}
