package raftfsm

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// scriptedStore does in StoreLogs what a test says.
type scriptedStore struct {
	raft.LogStore
	StoreLogsFunc func() error
}

func (s scriptedStore) StoreLogs([]*raft.Log) error { return s.StoreLogsFunc() }

// mustHold starts a write and demands that it is not answered before the watchdog is closed.
func mustHold(t *testing.T, dog *watchdog, store guardedLog) {
	t.Helper()
	answered := make(chan error, 1)
	go func() { answered <- store.StoreLogs(nil) }()
	<-dog.failed
	select {
	case err := <-answered:
		t.Fatalf("a write was answered after a failure: %v", err)
	default:
	}
	dog.close()
	if err := <-answered; !errors.Is(err, ErrStorage) {
		t.Fatalf("got %v", err)
	}
}

func TestWatchdog_FailedWriteIsFatalOnce(t *testing.T) {
	fatal := make(chan error, 10)
	dog := newWatchdog(time.Minute, func(err error) { fatal <- err })
	store := guardedLog{scriptedStore{StoreLogsFunc: func() error { return errInjected }}, dog}
	mustHold(t, dog, store)
	if err := <-fatal; !errors.Is(err, ErrStorage) || !errors.Is(err, errInjected) {
		t.Fatalf("told of %v", err)
	}
	store.LogStore = scriptedStore{StoreLogsFunc: func() error { t.Error("a write after a failure"); return nil }}
	if err := store.StoreLogs(nil); !errors.Is(err, ErrStorage) {
		t.Fatalf("got %v", err)
	}
	if len(fatal) != 0 {
		t.Fatalf("told again: %v", <-fatal)
	}
}

func TestWatchdog_OverdueWriteIsFatalThoughItLands(t *testing.T) {
	fatal := make(chan error, 10)
	dog := newWatchdog(time.Millisecond, func(err error) { fatal <- err })
	mustHold(t, dog, guardedLog{scriptedStore{StoreLogsFunc: func() error { <-dog.failed; return nil }}, dog})
	if err := <-fatal; !errors.Is(err, ErrStorage) {
		t.Fatalf("told of %v", err)
	}
}

func TestWatchdog_GoodWritesPass(t *testing.T) {
	dog := newWatchdog(time.Minute, func(err error) { t.Error(err) })
	n := 0
	store := guardedLog{scriptedStore{StoreLogsFunc: func() error { n++; return nil }}, dog}
	for range 3 {
		if err := store.StoreLogs(nil); err != nil {
			t.Fatal(err)
		}
	}
	if n != 3 {
		t.Fatalf("%d of 3 writes reached the store", n)
	}
}
