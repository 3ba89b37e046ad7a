//go:build quorate_nosync

package raftfsm

// noSync has the log never wait for the disk, so that a power cut loses what was acknowledged. Only a build with the tag
// quorate_nosync has it, and nothing at run time turns it on: it is the control of the power cut tests, which must catch
// exactly this.
const noSync = true
