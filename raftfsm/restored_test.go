package raftfsm

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/sequencer/wire"
)

// savedState gives the checkpoint of a state with two chats, lines of a chat list and an outbox.
func savedState(t *testing.T) string {
	t.Helper()
	m := newMachine(t)
	m.one(1, group("c", "a", "b"))
	m.one(2, group("d", "a"))
	for i, text := range []string{"text 1", "text 2", "text 3"} {
		m.one(wire.Millis(3+i), say("c", "a", text, text))
	}
	m.one(9, AckOutbox{Through: 1})
	m.one(9, PutUserChat{UserID: "a", Present: true, Chat: wire.UserChat{ChatID: "c", Type: wire.GroupChat, Version: 7}})
	m.one(9, PutUserChat{UserID: "z", Present: true, Chat: wire.UserChat{ChatID: "later", Type: wire.GroupChat, Version: 3}})
	dir := filepath.Join(t.TempDir(), "saved")
	if _, err := m.store.Checkpoint(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// copied copies a checkpoint.
func copied(t *testing.T, from string) string {
	t.Helper()
	dir := t.TempDir()
	if err := linkCheckpoint(from, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestMend_TellsAllMembersAgain, and no line of a chat list is newer than that. All nodes come to the same bytes.
func TestMend_TellsAllMembersAgain(t *testing.T) {
	saved := savedState(t)
	var first string
	for range 2 {
		dir := filepath.Join(t.TempDir(), "store")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		mended := copied(t, saved)
		if told, err := Mend(mended); err != nil || told != 3 {
			t.Fatalf("%d records, %v", told, err)
		}
		if holds, err := CheckContents(t.Context(), mended); err != nil || holds.Chats != 2 || holds.Messages != 3 || holds.Lines != 2 {
			t.Errorf("it holds %+v, %v", holds, err)
		}
		if err := os.Rename(mended, filepath.Join(dir, "db")); err != nil {
			t.Fatal(err)
		}
		s, err := OpenStore(dir, StoreConfig{})
		if err != nil {
			t.Fatal(err)
		}
		records, err := s.Outbox(10)
		if err != nil || len(records) != 3 || records[0].ID != 4 {
			t.Fatalf("the outbox: %+v, %v", records, err)
		}
		for i, want := range [][2]string{{"a", "c"}, {"b", "c"}, {"a", "d"}} {
			if r := records[i]; r.UserID != want[0] || r.Chat.ChatID != want[1] || !r.Present || r.Chat.Version != 1 {
				t.Errorf("record %d: %+v", i, r)
			}
		}
		lines, _, err := s.UserChats("a", "", 10)
		if err != nil || len(lines) != 1 || lines[0].Version != 0 {
			t.Errorf("the list: %+v, %v", lines, err)
		}
		if all := dump(t, s); first == "" {
			first = all
		} else if all != first {
			t.Error("two nodes hold other bytes")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGroup_BeginsWithASeed: three replicas go on where the checkpoint ends, in a later term; one that a crash stopped before its snapshot
// was there begins again; one that has begun does not look at the seed.
func TestGroup_BeginsWithASeed(t *testing.T) {
	seed := savedState(t)
	at, err := CheckpointPosition(seed)
	if err != nil {
		t.Fatal(err)
	}
	c := newTrio(t, func(_ int, cfg *Config) { cfg.Seed = seed })
	c.acked = 3 // those of savedState
	c.append(5)
	if index, term := c.groups[c.leader()].Store().Applied(); index <= at.Index || term <= at.Term {
		t.Errorf("the log goes on with entry %d of term %d behind %+v", index, term, at)
	}
	c.check()
	for i := range c.groups {
		c.stop(i)
	}
	if err := os.RemoveAll(seed); err != nil {
		t.Fatal(err)
	}
	for i := range c.groups {
		c.start(i)
	}
	c.append(5)
	c.check()
}

func TestGroup_SeedAfterACrash(t *testing.T) {
	seed := savedState(t)
	stopped := false
	c := newTrio(t, func(i int, cfg *Config) {
		cfg.Seed = seed
		if i != 0 || stopped {
			return
		}
		stopped = true // before the first start: the term is there, the snapshot and REPLICA are not
		if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		bolt, err := openBolt(filepath.Join(cfg.Dir, logName))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(checkedStable{inner: bolt}.SetUint64(keyTerm, 1), bolt.Close()); err != nil {
			t.Fatal(err)
		}
	})
	c.acked = 3
	c.append(2)
	c.check()
}

// TestCheckContents_FindsHoles that sums do not show.
func TestCheckContents_FindsHoles(t *testing.T) {
	saved := savedState(t)
	for what, key := range map[string][]byte{"a message within": messageKey(nil, "c", 2), "the last message": messageKey(nil, "c", 3), "an event": numberKey(nil, tableFeed, 3)} {
		dir := copied(t, saved)
		db, err := checkpointStore().openPebble(dir, false, &failure{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Delete(key, pebble.NoSync), db.Flush(), db.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := CheckContents(t.Context(), dir); !errors.Is(err, errHole) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
