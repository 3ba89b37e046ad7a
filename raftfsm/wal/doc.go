// Package wal is a write-ahead log that all Raft groups of a node share: whoever waits for the disk at one time shares one
// write and one fdatasync. FORMAT.md has the bytes, DESIGN.md of raftfsm the reasons.
package wal
