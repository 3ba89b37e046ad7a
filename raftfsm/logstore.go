package raftfsm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"github.com/quorate/quorate/raftfsm/wal"
)

// logName is the file in a replica's directory that holds its log, term and vote.
const logName = "raft.db"

// boltOpenWait is how long the log's file may be held by another process.
const boltOpenWait = 2 * time.Second

// errOtherLog says that a replica's entries are in raft.db, and it was told that they are in the node's log.
var errOtherLog = errors.New("the replica's log is of another kind")

// openLog opens term, vote and the log of the group. A replica without a raft.db is new: what an earlier one left in the
// node's log is deleted before the file is made, so that it is never taken for the new one's.
func (g *Group) openLog() (err error) {
	path := filepath.Join(g.cfg.Dir, logName)
	defer recovered(path, &err)
	id := uint32(g.cfg.Group)
	if g.cfg.WAL != nil {
		_, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			err = g.cfg.WAL.Remove(id)
		}
		if err != nil {
			return fmt.Errorf("make a new log: %w", err)
		}
	}
	if g.bolt, err = openBolt(path); err != nil {
		return err
	}
	g.stable = checkedStable{inner: g.bolt, file: path}
	if g.cfg.WAL == nil {
		g.checked, err = openCheckedLog(g.bolt, path)
		g.entries = g.checked
		return err
	}
	if last, err := g.bolt.LastIndex(); err != nil || last != 0 {
		return errors.Join(err, fmt.Errorf("%w: %s holds its entries", errOtherLog, path))
	}
	g.entries, err = g.cfg.WAL.Group(id)
	return err
}

// openBolt opens a file of term and vote, which may hold a log too.
func openBolt(path string) (*raftboltdb.BoltStore, error) {
	s, err := raftboltdb.New(raftboltdb.Options{
		Path: path,
		BoltOptions: &bbolt.Options{
			Timeout:        boltOpenWait,
			NoFreelistSync: true, // the free list is found again at the start; writing it costs every commit
			FreelistType:   bbolt.FreelistMapType,
		},
		NoSync:                  wal.NoSync,
		MsgpackUseNewTimeFormat: true,
	})
	if errors.Is(err, bbolt.ErrTimeout) { //nolint:staticcheck // the name that raft-boltdb's version knows
		return nil, fmt.Errorf("open %s: another process has it open", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return s, nil
}

// trailing gives how many entries to keep behind a snapshot so that they take about limit bytes, judging by the last
// sample entries of the log.
func trailing(log raft.LogStore, limit uint64) (uint64, error) {
	const sample = 64
	first, err := log.FirstIndex()
	if err != nil {
		return 0, err
	}
	last, err := log.LastIndex()
	if err != nil || last == 0 {
		return maxTrailingLogs, err
	}
	var bytes, n uint64
	for i := last; i >= first && n < sample; i-- {
		var l raft.Log
		if err := log.GetLog(i, &l); err != nil {
			return 0, err
		}
		bytes += uint64(len(l.Data)) + 64
		n++
	}
	return min(max(limit*n/bytes, minTrailingLogs), maxTrailingLogs), nil
}
