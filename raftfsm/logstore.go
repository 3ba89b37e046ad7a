package raftfsm

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// boltOpenWait is how long the log's file may be held by another process.
const boltOpenWait = 2 * time.Second

// openLog opens the log of a group, which holds term and vote too.
func openLog(dir string) (*raftboltdb.BoltStore, error) {
	path := filepath.Join(dir, "raft.db")
	s, err := raftboltdb.New(raftboltdb.Options{
		Path: path,
		BoltOptions: &bbolt.Options{
			Timeout:        boltOpenWait,
			NoFreelistSync: true, // the free list is found again at the start; writing it costs every commit
			FreelistType:   bbolt.FreelistMapType,
		},
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
