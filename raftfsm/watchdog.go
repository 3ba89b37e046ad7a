package raftfsm

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// ErrStorage says that this node's disk failed it. What was written last may be there or not, and a later fsync may claim
// what an earlier one lost: nothing but a new start brings the node back.
var ErrStorage = errors.New("storage failed")

// watchdog guards the log and the stable store. The first write that fails, or does not return in time, is fatal: the
// owner is told once, and from then on every write blocks for ever instead of answering, because raft would carry on
// after an error and the write may still land.
type watchdog struct {
	deadline time.Duration
	fatal    func(error)

	once   sync.Once
	failed chan struct{} // closed at the first failure
	closed chan struct{} // closed by close: whoever is held is let go, with ErrStorage
	ending sync.Once
}

func newWatchdog(deadline time.Duration, fatal func(error)) *watchdog {
	return &watchdog{deadline: deadline, fatal: fatal, failed: make(chan struct{}), closed: make(chan struct{})}
}

// write runs one write of a store.
func (w *watchdog) write(what string, do func() error) error {
	select {
	case <-w.failed:
		return w.hold()
	default:
	}
	timer := time.AfterFunc(w.deadline, func() {
		w.fail(fmt.Errorf("%w: %s has not returned for %s", ErrStorage, what, w.deadline))
	})
	err := do()
	timer.Stop()
	if err != nil {
		w.fail(fmt.Errorf("%w: %s: %w", ErrStorage, what, err))
	}
	select {
	case <-w.failed: // this write, or another one meanwhile
		return w.hold()
	default:
		return nil
	}
}

// read passes the error of a read, but for ErrCorrupt, which is fatal and not answered.
func (w *watchdog) read(err error) error {
	if isDamage(err) {
		w.fail(err)
		return w.hold()
	}
	return err
}

func (w *watchdog) fail(err error) {
	w.once.Do(func() {
		close(w.failed)
		w.fatal(err)
	})
}

// hold keeps a caller until close.
func (w *watchdog) hold() error {
	<-w.closed
	return ErrStorage
}

func (w *watchdog) close() { w.ending.Do(func() { close(w.closed) }) }

// ErrNoSpace refuses entries for which the disk has no room. Nothing of them was written, and later ones may be taken: a
// leader steps down, a follower gets them again.
var ErrNoSpace = errors.New("no space for the log")

// guardedLog is a log store behind a watchdog.
type guardedLog struct {
	raft.LogStore
	dog *watchdog
}

// GetLog reads one entry. One that is corrupt is a storage failure: raft would ask again, or panic.
func (g guardedLog) GetLog(index uint64, l *raft.Log) error {
	return g.dog.read(g.LogStore.GetLog(index, l))
}

// StoreLog writes one entry of the log.
func (g guardedLog) StoreLog(l *raft.Log) error {
	return g.dog.write("a write of the log", func() error { return g.LogStore.StoreLog(l) })
}

// StoreLogs writes entries of the log.
func (g guardedLog) StoreLogs(logs []*raft.Log) error {
	return g.dog.write("a write of the log", func() error { return g.LogStore.StoreLogs(logs) })
}

// DeleteRange cuts the log.
func (g guardedLog) DeleteRange(first, last uint64) error {
	return g.dog.write("a cut of the log", func() error { return g.LogStore.DeleteRange(first, last) })
}

// guardedStable is a stable store behind a watchdog.
type guardedStable struct {
	raft.StableStore
	dog *watchdog
}

// Set writes one value.
func (g guardedStable) Set(key, value []byte) error {
	return g.dog.write("a write of term or vote", func() error { return g.StableStore.Set(key, value) })
}

// Get reads one value.
func (g guardedStable) Get(key []byte) ([]byte, error) {
	value, err := g.StableStore.Get(key)
	return value, g.dog.read(err)
}

// GetUint64 reads one number.
func (g guardedStable) GetUint64(key []byte) (uint64, error) {
	value, err := g.StableStore.GetUint64(key)
	return value, g.dog.read(err)
}

// SetUint64 writes one number.
func (g guardedStable) SetUint64(key []byte, value uint64) error {
	return g.dog.write("a write of term or vote", func() error { return g.StableStore.SetUint64(key, value) })
}
