//go:build quorate_nosync

package wal

// NoSync has neither this log nor raft.db wait for the disk, so that a power cut loses what was acknowledged. Only a build with
// the tag quorate_nosync has it, and nothing at run time turns it on: it is the control of the power cut tests, which must
// catch exactly this.
const NoSync = true
