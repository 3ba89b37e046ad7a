package raftfsm

import (
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"
)

var errDisk = errors.New("input/output error")

// faultyMachine is a machine over a disk that fails what fails says, and the failures that its owner was told of.
func faultyMachine(t *testing.T, fails func(errorfs.Op) bool) (*machine, chan error) {
	t.Helper()
	fs := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if fails(op) {
			return errDisk
		}
		return nil
	}))
	told := make(chan error, 10)
	m := &machine{t: t, dir: t.TempDir()}
	store, err := OpenStore(m.dir, StoreConfig{fs: fs})
	if err != nil {
		t.Fatal(err)
	}
	m.store, m.fsm = store, newFSM(store, func(err error) { told <- err })
	return m, told
}

func TestStore_FailedFlushIsFatal(t *testing.T) {
	var broken errorfs.Toggle
	broken.Injector = errorfs.InjectorFunc(func(errorfs.Op) error { return errDisk })
	m, told := faultyMachine(t, func(op errorfs.Op) bool {
		return strings.HasSuffix(op.Path, ".sst") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && broken.MaybeError(op) != nil
	})
	m.one(1, group("c", "a"))
	broken.On()
	if _, err := m.store.db.AsyncFlush(); err != nil {
		t.Fatal(err)
	}
	if err := <-told; !errors.Is(err, ErrStorage) || !strings.Contains(err.Error(), errDisk.Error()) {
		t.Fatalf("told of %v", err)
	}
	if reply := m.fsm.Apply(logOf(2, 2, say("c", "a", "1", "x"))); reply != nil {
		t.Fatalf("an entry was applied after the failure: %v", reply)
	}
	broken.Off() // so that the flush, which Pebble tries again, lets the store close
	if err := m.store.Close(); err != nil {
		t.Fatal(err)
	}
}

// garble overwrites one record, as a bug or another program would.
func garble(t *testing.T, s *Store, key []byte) {
	t.Helper()
	if err := s.db.Set(key, []byte{recordVersion, 0xff}, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
}

func TestFSM_UnreadableRecordEndsApplying(t *testing.T) {
	m, told := faultyMachine(t, func(errorfs.Op) bool { return false })
	defer m.store.Close()
	m.one(1, group("c", "a"))
	m.one(2, say("c", "a", "1", "x"))
	garble(t, m.store, dedupKey(nil, "c", "a", "1"))
	before := dump(t, m.store)
	replies := m.fsm.ApplyBatch([]*raft.Log{
		logOf(3, 3, say("c", "a", "2", "x"), say("c", "a", "1", "x")),
		logOf(4, 3, say("c", "a", "3", "x")),
	})
	if len(replies) != 2 || replies[0] != nil || replies[1] != nil {
		t.Fatalf("got %v", replies)
	}
	if err := <-told; !errors.Is(err, ErrStorage) {
		t.Fatalf("told of %v", err)
	}
	m.fsm.Apply(logOf(3, 3, say("c", "a", "4", "x")))
	if after := dump(t, m.store); after != before {
		t.Fatalf("the state went on changing:\n%s\nbefore:\n%s", after, before)
	}
	if len(told) != 0 {
		t.Fatalf("told again: %v", <-told)
	}
}

func TestFSM_EntryThatCannotBeReadEndsApplying(t *testing.T) {
	m, told := faultyMachine(t, func(errorfs.Op) bool { return false })
	defer m.store.Close()
	bad := logOf(1, 1, group("c", "a"))
	bad.Data[0]++
	m.fsm.ApplyBatch([]*raft.Log{bad, logOf(2, 2, group("d", "a"))})
	if err := <-told; !errors.Is(err, errVersion) {
		t.Fatalf("told of %v", err)
	}
	if index, _ := m.store.Applied(); index != 0 {
		t.Fatalf("entries behind it were applied, up to %d", index)
	}
}

func TestStore_UnreadableRecordIsFatalToReaders(t *testing.T) {
	m, told := faultyMachine(t, func(errorfs.Op) bool { return false })
	defer m.store.Close()
	m.one(1, group("c", "a"))
	m.one(2, say("c", "a", "1", "x"))
	garble(t, m.store, messageKey(nil, "c", 1))
	if messages, err := m.store.Range("c", 1, 10); !errors.Is(err, ErrStorage) || len(messages) != 0 {
		t.Fatalf("got %v, %v", messages, err)
	}
	if err := <-told; !errors.Is(err, ErrStorage) {
		t.Fatalf("told of %v", err)
	}
}

// A store fails before its state machine is there: the failure waits for the one who can end the process.
func TestStore_FailureBeforeAnybodyListens(t *testing.T) {
	var f failure
	f.tell(errDisk)
	told := make(chan error, 1)
	f.listen(func(err error) { told <- err })
	if err := <-told; !errors.Is(err, errDisk) {
		t.Fatalf("told of %v", err)
	}
}
