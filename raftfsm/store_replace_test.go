package raftfsm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/sequencer/wire"
)

// stateWith makes a store whose only chat is chatID, and gives a checkpoint of it.
func stateWith(t *testing.T, chatID string) (checkpoint string) {
	t.Helper()
	m := newMachine(t)
	m.one(1, group(chatID, "a"))
	m.one(2, say(chatID, "a", "1", "x"))
	checkpoint = filepath.Join(t.TempDir(), "checkpoint")
	if index, err := m.store.Checkpoint(checkpoint); err != nil || index != 2 {
		t.Fatalf("checkpoint at %d: %v", index, err)
	}
	return checkpoint
}

// names lists a directory.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return fmt.Sprint(all)
}

// A crash may cut a replacement short at any step. What is then in the store's directory opens as the old state or as the
// new one, and nothing else stays behind.
func TestStore_CrashInTheMiddleOfAReplacement(t *testing.T) {
	for _, at := range []struct {
		when string
		dirs map[string]string // name -> the chat in it
		want string
	}{
		{"before the first rename", map[string]string{"db": "old", "db.new": "new"}, "old"},
		{"between the renames", map[string]string{"db.old": "old", "db.new": "new"}, "old"},
		{"after the second rename", map[string]string{"db": "new", "db.old": "old"}, "new"},
		{"after all", map[string]string{"db": "new"}, "new"},
	} {
		t.Run(at.when, func(t *testing.T) {
			dir := t.TempDir()
			for name, chat := range at.dirs {
				if err := os.Rename(stateWith(t, chat), filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			s, err := OpenStore(dir, StoreConfig{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if _, err := s.Chat(at.want); err != nil {
				t.Errorf("the state is not the %s one: %v", at.want, err)
			}
			if got := names(t, dir); got != "[db]" {
				t.Errorf("left behind: %s", got)
			}
		})
	}
}

func TestStore_CrashWhileTheComingStateIsWritten(t *testing.T) {
	dir := t.TempDir()
	if err := os.Rename(stateWith(t, "old"), filepath.Join(dir, "db")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "db.new"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "db.new", "000001.sst"), []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := OpenStore(dir, StoreConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Chat("old"); err != nil || names(t, dir) != "[db]" {
		t.Fatalf("%v, %s", err, names(t, dir))
	}
}

func TestStore_ReplaceWithRefusesWhatIsNoState(t *testing.T) {
	breakages := map[string]func(t *testing.T, dir string){
		"empty": func(t *testing.T, dir string) {
			if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755)); err != nil {
				t.Fatal(err)
			}
		},
		"a manifest cut short": func(t *testing.T, dir string) {
			found, err := filepath.Glob(filepath.Join(dir, "MANIFEST-*"))
			if err != nil || len(found) != 1 {
				t.Fatal(found, err)
			}
			if err := os.Truncate(found[0], 10); err != nil {
				t.Fatal(err)
			}
		},
		"a table that is missing": func(t *testing.T, dir string) {
			found, err := filepath.Glob(filepath.Join(dir, "*.sst"))
			if err != nil || len(found) == 0 {
				t.Fatal(found, err)
			}
			for _, name := range found {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
		},
	}
	for what, destroy := range breakages {
		t.Run(what, func(t *testing.T) {
			m := newMachine(t)
			m.one(1, group("old", "a"))
			dir := stateWith(t, "new")
			destroy(t, dir)
			if err := m.store.ReplaceWith(dir); err == nil {
				t.Fatal("it was taken for a state")
			}
			m.one(2, say("old", "a", "1", "x")) // the old state is still in use
			if err := m.store.failure.failed(); err != nil {
				t.Fatalf("a broken snapshot was taken for a broken disk: %v", err)
			}
		})
	}
}

// Readers see the old state, the new one, or wire.ErrTryAgain, and never anything else.
func TestStore_ReadsWhileTheStateIsReplaced(t *testing.T) {
	m := newMachine(t)
	m.one(1, group("old", "a"))
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		readers.Add(1)
		go func() {
			defer readers.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, err := m.store.Chat("old")
				if err != nil && !errors.Is(err, wire.ErrNoChat) && !errors.Is(err, wire.ErrTryAgain) {
					t.Errorf("a reader got %v", err)
					return
				}
			}
		}()
	}
	for i := range 3 {
		chat := fmt.Sprint("new", i)
		if err := m.store.ReplaceWith(stateWith(t, chat)); err != nil {
			t.Fatal(err)
		}
		if _, err := m.store.Chat(chat); err != nil {
			t.Fatal(err)
		}
		if index, _ := m.store.Applied(); index != 2 {
			t.Fatalf("applied %d", index)
		}
	}
	close(stop)
	readers.Wait()
	if got := names(t, m.dir); got != "[db]" {
		t.Fatalf("left behind: %s", got)
	}
}

// Entries are applied while a read, or a checkpoint that waits for the disk, is under way.
func TestStore_ReadsAndCheckpointsDoNotHoldUpEntries(t *testing.T) {
	m := newMachine(t)
	m.one(1, group("c", "a"))
	err := m.store.view(func(*pebble.DB) error { // Checkpoint holds the store in the same way
		m.one(2, say("c", "a", "1", "x"))
		if _, err := m.store.Checkpoint(filepath.Join(t.TempDir(), "checkpoint")); err != nil {
			return err
		}
		m.one(3, say("c", "a", "2", "x"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if index, _ := m.store.Applied(); index != 3 {
		t.Fatalf("readers see the state at %d", index)
	}
}
