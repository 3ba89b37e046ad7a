//go:build !quorate_nosync

package raftfsm

// noSync is what no binary for use has: see sync_never.go.
const noSync = false
