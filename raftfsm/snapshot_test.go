package raftfsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// checkpointOf makes a machine with some state and a checkpoint of it.
func checkpointOf(t testing.TB) (m *machine, dir string) {
	m = newMachine(t)
	m.one(1, group("c", "a", "b"))
	m.one(2, say("c", "a", "1", "x"))
	dir = filepath.Join(t.TempDir(), "state")
	if _, err := m.store.Checkpoint(dir); err != nil {
		t.Fatal(err)
	}
	return m, dir
}

func streamOf(t testing.TB, dir string) []byte {
	files, size, err := listCheckpoint(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := writeStream(&out, dir, files); err != nil {
		t.Fatal(err)
	}
	if int64(out.Len()) != size {
		t.Fatalf("a stream of %d bytes was announced with %d", out.Len(), size)
	}
	return out.Bytes()
}

func TestSnapshotStream_CarriesTheState(t *testing.T) {
	m, dir := checkpointOf(t)
	want := dump(t, m.store)
	other := newMachine(t)
	other.one(1, group("gone", "x"))
	if err := other.fsm.Restore(io.NopCloser(bytes.NewReader(streamOf(t, dir)))); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, other.store); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	if index, _ := other.store.Applied(); index != 2 {
		t.Fatalf("restored to %d", index)
	}
	other.index = 2
	if r := other.one(3, say("c", "a", "2", "y")); r.Append.Seq != 2 {
		t.Fatalf("the next message got %d", r.Append.Seq)
	}
}

func TestSnapshotStream_BrokenOnesLeaveTheOldState(t *testing.T) {
	_, dir := checkpointOf(t)
	good := streamOf(t, dir)
	m := newMachine(t)
	m.one(1, group("old", "x"))
	want := dump(t, m.store)
	broken := map[string][]byte{
		"nothing":       nil,
		"cut":           good[:len(good)-3],
		"cut in half":   good[:len(good)/2],
		"a byte behind": append(bytes.Clone(good), 0),
		"other magic":   append([]byte("X"), good[1:]...),
		"version":       append([]byte("QSNP\x02"), good[5:]...),
		"a path":        []byte("QSNP\x01\x00\x04../x\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
		"huge":          []byte("QSNP\x01\x00\x01x\x7f\xff\xff\xff\xff\xff\xff\xff"),
	}
	for i := 40; i < len(good); i += len(good) / 20 {
		flipped := bytes.Clone(good)
		flipped[i] ^= 1
		broken[fmt.Sprint("flipped at ", i)] = flipped
	}
	for name, stream := range broken {
		if err := m.fsm.Restore(io.NopCloser(bytes.NewReader(stream))); !errors.Is(err, ErrSnapshotStream) {
			t.Errorf("%s: %v", name, err)
		}
		if got := dump(t, m.store); got != want {
			t.Fatalf("%s: the old state is lost", name)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(m.dir, "db.*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func FuzzReadStream(f *testing.F) {
	_, dir := checkpointOf(f)
	f.Add(streamOf(f, dir))
	f.Add([]byte("QSNP\x01\x00\x00"))
	f.Add([]byte("QSNP\x01\x00\x01x\x00\x00\x00\x00\x00\x00\x00\x01y\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		files := map[string]*memoryFile{}
		err := decodeStream(bytes.NewReader(b), func(name string) (unpackedFile, error) {
			if !goodFileName(name) {
				t.Fatalf("a file named %q", name)
			}
			if files[name] != nil {
				return nil, os.ErrExist
			}
			files[name] = &memoryFile{}
			return files[name], nil
		})
		if err != nil {
			return
		}
		size := len(streamMagic) + 1 + 2
		for name, file := range files {
			size += streamFileHead + len(name) + file.Len() + streamFileTail
		}
		if size != len(b) {
			t.Fatalf("a stream of %d bytes unpacked to what takes %d", len(b), size)
		}
	})
}

type memoryFile struct{ bytes.Buffer }

func (*memoryFile) Sync() error  { return nil }
func (*memoryFile) Close() error { return nil }

// A crash may come between any two steps of a replacement.
func TestStore_CrashWhileReplaced(t *testing.T) {
	for name, leave := range map[string]func(dir string) error{
		"before the old state moved": func(dir string) error { return os.Mkdir(filepath.Join(dir, "db.new"), 0o755) },
		"between the renames":        func(dir string) error { return os.Rename(filepath.Join(dir, "db"), filepath.Join(dir, "db.old")) },
		"before the old state went":  func(dir string) error { return os.Mkdir(filepath.Join(dir, "db.old"), 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := checkpointOf(t)
			want := dump(t, m.store)
			m.store.Close()
			if err := leave(m.dir); err != nil {
				t.Fatal(err)
			}
			m.open()
			if got := dump(t, m.store); got != want {
				t.Fatalf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func newSnapshots(t *testing.T) *snapshotStore {
	s, err := openSnapshots(t.TempDir(), func(uint64) {}, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSnapshotStore_KeepsTheNewestAndSharesFiles(t *testing.T) {
	m, _ := checkpointOf(t)
	s := newSnapshots(t)
	for index := uint64(1); index <= 4; index++ {
		sink, err := s.Create(1, min(index, 2), 1, raft.Configuration{}, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := (&snapshotRef{m.store}).Persist(sink); err != nil {
			t.Fatal(err)
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.List()
	if err != nil || len(all) != retainedSnapshots || all[0].Index != 2 || all[0].ID <= all[1].ID {
		t.Fatalf("kept %v, %v", all, err)
	}
	tables, _ := filepath.Glob(filepath.Join(s.dir, all[0].ID, "state", "*.sst"))
	if len(tables) == 0 {
		t.Fatal("no tables in the snapshot")
	}
	for _, table := range tables {
		mine, _ := os.Stat(table)
		live, err := os.Stat(filepath.Join(m.dir, "db", filepath.Base(table)))
		if err != nil || !os.SameFile(mine, live) {
			t.Errorf("%s is a copy: %v", filepath.Base(table), err)
		}
	}
}

func TestSnapshotStore_UnfinishedOnesAreNeverSeen(t *testing.T) {
	m, dir := checkpointOf(t)
	s := newSnapshots(t)
	begin := func() raft.SnapshotSink {
		sink, err := s.Create(1, 2, 1, raft.Configuration{}, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		return sink
	}
	cancelled := begin()
	if err := (&snapshotRef{m.store}).Persist(cancelled); err != nil {
		t.Fatal(err)
	}
	if err := cancelled.Cancel(); err != nil {
		t.Fatal(err)
	}
	short := begin()
	stream := streamOf(t, dir)
	if _, err := short.Write(stream[:len(stream)/2]); err != nil {
		t.Fatal(err)
	}
	if err := short.Close(); !errors.Is(err, ErrSnapshotStream) {
		t.Fatalf("half a stream: %v", err)
	}
	begin() // and a crash
	if all, err := s.List(); err != nil || len(all) != 0 {
		t.Fatalf("listed %v, %v", all, err)
	}
	again, err := openSnapshots(s.dir, func(uint64) {}, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(again.dir); len(left) != 0 {
		t.Fatalf("left behind: %v", left)
	}
}
