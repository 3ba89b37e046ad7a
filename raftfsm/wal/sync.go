//go:build !quorate_nosync

package wal

// NoSync is false in every binary for use; sync_never.go says what it is.
const NoSync = false
