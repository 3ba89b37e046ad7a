package raftfsm

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// boltBytes is a log with entries from 3 to 300 and some values, as a file.
func boltBytes(t testing.TB) []byte {
	t.Helper()
	dir := t.TempDir()
	bolt, err := openBolt(filepath.Join(dir, logName))
	if err != nil {
		t.Fatal(err)
	}
	log, err := openCheckedLog(bolt, logName)
	if err != nil {
		t.Fatal(err)
	}
	stable := checkedStable{bolt, logName}
	for i := uint64(1); i <= 300; i++ {
		if i%50 == 0 {
			if err := stable.SetUint64(keyTerm, i); err != nil {
				t.Fatal(err)
			}
		}
		if err := log.StoreLog(&raft.Log{Index: i, Term: 1 + i/50, Data: bytes.Repeat([]byte{byte(i)}, int(i))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(log.DeleteRange(1, 2), bolt.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, logName))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCheckBolt_WholeFile(t *testing.T) {
	b := boltBytes(t)
	if err := checkBoltPages(bytes.NewReader(b), int64(len(b))); err != nil {
		t.Fatal(err)
	}
}

// A bucket whose name is broken would be made anew, and be empty.
func TestCheckBolt_BrokenNameOfABucket(t *testing.T) {
	whole := boltBytes(t)
	for _, name := range boltBuckets {
		found := 0
		for at := 0; at < len(whole); at++ {
			next := bytes.Index(whole[at:], []byte(name))
			if next < 0 {
				break
			}
			at += next
			b := bytes.Clone(whole)
			b[at+len(name)-1] ^= 4
			if checkBoltPages(bytes.NewReader(b), int64(len(b))) != nil {
				found++
			}
		}
		if found == 0 {
			t.Errorf("no broken %q was found", name)
		}
	}
}

// FuzzCheckBolt demands that a file that passes the check can be opened and read without harm.
func FuzzCheckBolt(f *testing.F) {
	whole := boltBytes(f)
	f.Add(uint32(5), byte(1))
	f.Add(uint32(4096*2+8), byte(1))
	f.Fuzz(func(t *testing.T, at uint32, flip byte) {
		b := bytes.Clone(whole)
		b[int(at)%len(b)] ^= flip
		if checkBoltPages(bytes.NewReader(b), int64(len(b))) != nil {
			return
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, logName), b, 0o600); err != nil {
			t.Fatal(err)
		}
		bolt, err := openBolt(filepath.Join(dir, logName))
		if err != nil {
			return
		}
		defer bolt.Close()
		log, err := openCheckedLog(bolt, logName)
		if err == nil {
			err = log.verify()
		}
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
		if last, _ := log.LastIndex(); err == nil && last != 300 {
			t.Fatalf("the log ends at %d", last)
		}
	})
}
