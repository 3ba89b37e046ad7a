package backup_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/archive/archivetest"
	"github.com/quorate/quorate/backup"
	"github.com/quorate/quorate/sequencer/wire"
)

const (
	cluster = "c0ffee"
	day     = wire.Millis(24 * 60 * 60 * 1000)
	now     = wire.Millis(1_796_000_000_000)
)

func dirStore(t testing.TB) (dir string, store archive.Store) {
	t.Helper()
	dir = t.TempDir()
	store, err := archive.OpenStore("file://" + dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, store
}

// files are those of a small checkpoint.
var files = map[string]string{"000004.sst": "a table", "MANIFEST-000001": "a manifest", "marker.manifest.000001.MANIFEST-000001": ""}

// save makes a backup of two groups, whose tables are equal, and of one object of the archive. It stops at the first error.
func save(ctx context.Context, t testing.TB, store archive.Store, name string, changed string) error {
	t.Helper()
	err := backup.Begin(ctx, store, backup.Begun{Name: name, ClusterID: cluster, Groups: 2, At: now})
	for g := wire.GroupID(0); g < 2 && err == nil; g++ {
		err = saveGroup(ctx, t, store, name, g, changed)
	}
	if err != nil {
		return err
	}
	return backup.Commit(ctx, store, manifest(name))
}

func manifest(name string) *backup.Manifest {
	return &backup.Manifest{Name: name, ClusterID: cluster, Epoch: 1, DataFormat: 1, Version: "v1", At: now, Settings: map[string]string{"moves": "2"}}
}

func saveGroup(ctx context.Context, t testing.TB, store archive.Store, name string, g wire.GroupID, changed string) error {
	t.Helper()
	dir := t.TempDir()
	group := &backup.Group{Backup: name, ClusterID: cluster, Group: g, Index: 7, Term: 2, At: now, Segments: []backup.Segment{}}
	for _, file := range []string{"000004.sst", "MANIFEST-000001", "marker.manifest.000001.MANIFEST-000001"} {
		path := filepath.Join(dir, file)
		body := files[file]
		if strings.HasSuffix(file, ".sst") {
			body += changed
		}
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		f, _, err := backup.PutFile(ctx, store, name, g, file, path)
		if err != nil {
			return err
		}
		group.Files = append(group.Files, f)
	}
	from := t.TempDir()
	old, err := archive.OpenStore("file://" + from)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte("an object of the archive")
	seg := backup.Segment{
		Key: archive.Key(archive.Info{Cluster: cluster, Group: g, Term: 1}, sha256.Sum256(body)), Size: int64(len(body)), SHA256: sha256.Sum256(body),
	}
	if err := old.Put(ctx, seg.Key, bytes.NewReader(body), seg.Size); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.CopySegment(ctx, old, store, seg, dir); err != nil {
		return err
	}
	group.Segments = append(group.Segments, seg)
	_, err = backup.PutGroup(ctx, store, group)
	return err
}

func name(n int) string { return fmt.Sprintf("20261129T1200%02d000Z-0000000%d", n, n) }

// fetchAll brings all files of a backup, and reads all of its objects.
func fetchAll(t testing.TB, store archive.Store, b *backup.Backup) error {
	for _, g := range b.Groups {
		dir := t.TempDir()
		if err := backup.FetchGroup(t.Context(), store, g, dir, func(int64) {}); err != nil {
			return err
		}
		for _, f := range g.Files {
			got, err := os.ReadFile(filepath.Join(dir, f.Name))
			if err != nil || !strings.HasPrefix(string(got), files[f.Name]) || int64(len(got)) != f.Size {
				t.Errorf("%s of group %d: %q, %v", f.Name, g.Group, got, err)
			}
		}
		for _, o := range g.Segments {
			if err := backup.CheckObject(t.Context(), store, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestBackup_InEveryStore: what was saved is there, in a directory and in an S3; equal tables once.
func TestBackup_InEveryStore(t *testing.T) {
	dir, local := dirStore(t)
	remote, err := archive.OpenStore(archivetest.StartFaultyS3(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	for what, store := range map[string]archive.Store{"directory": local, "S3": remote} {
		t.Run(what, func(t *testing.T) {
			if err := save(t.Context(), t, store, name(1), ""); err != nil {
				t.Fatal(err)
			}
			b, err := backup.Open(t.Context(), store, backup.Latest)
			if err != nil || b.Name != name(1) || b.Settings["moves"] != "2" || len(b.Groups) != 2 {
				t.Fatalf("%+v, %v", b, err)
			}
			if err := fetchAll(t, store, b); err != nil {
				t.Error(err)
			}
		})
	}
	tables, err := filepath.Glob(filepath.Join(dir, "tables", "*", "*"))
	if err != nil || len(tables) != 1 {
		t.Errorf("two equal tables are in %v, %v", tables, err)
	}
}

// TestBackup_FailsAtEachRequest: whatever request fails, and however, there is no backup, or a whole one, and the same steps again make one.
func TestBackup_FailsAtEachRequest(t *testing.T) {
	s3 := archivetest.StartFaultyS3(t)
	store, err := archive.OpenStore(s3.URL)
	if err != nil {
		t.Fatal(err)
	}
	for what, fault := range map[string]archivetest.Fault{
		"403": archivetest.Status(http.StatusForbidden, "AccessDenied"), "done, and an error": archivetest.AfterSuccess, "lost": archivetest.Lost,
	} {
		failed := 0
		for at := len(what) % 3; ; at += 3 { // three faults, three requests each: every request meets one
			seen := 0
			s3.Set(func(w http.ResponseWriter, r *http.Request, answer http.Handler) {
				if seen++; seen-1 >= at && seen-1 < at+3 { // the client asks again by itself
					fault(w, r, answer)
					return
				}
				answer.ServeHTTP(w, r)
			})
			id := fmt.Sprintf("20261129T13%02d%02d000Z-%08x", failed/60, at%60, len(what))
			err := save(t.Context(), t, store, id, fmt.Sprint(what, at))
			s3.Set(nil)
			if seen <= at {
				break
			}
			b, openErr := backup.Open(t.Context(), store, id)
			if err != nil {
				failed++
			}
			switch {
			case openErr == nil:
				if err := fetchAll(t, store, b); err != nil {
					t.Errorf("%s at request %d: a backup that exists is not whole: %v", what, at, err)
				}
			case err == nil && what != "lost": // a manifest that was taken and is not there
				t.Errorf("%s at request %d: it is said to be made: %v", what, at, openErr)
			}
			if err := save(t.Context(), t, store, id, fmt.Sprint(what, at)); err != nil {
				t.Errorf("%s at request %d: the same again: %v", what, at, err)
			}
		}
		if failed == 0 {
			t.Errorf("%s: no request failed", what)
		}
	}
}

// TestBackup_Damage: of a store in which one byte of any object is another, or an object is gone or cut, nothing is taken for a whole backup.
func TestBackup_Damage(t *testing.T) {
	for _, damage := range []string{"flip", "cut", "remove", "grow"} {
		dir, store := dirStore(t)
		if err := save(t.Context(), t, store, name(1), ""); err != nil {
			t.Fatal(err)
		}
		err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || entry.Name() == "begun.json" {
				return err
			}
			whole, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			bad := bytes.Clone(whole)
			switch damage {
			case "flip":
				bad[len(bad)/2] ^= 1
			case "cut":
				bad = bad[:len(bad)-1]
			case "grow":
				bad = append(bad, 'x')
			}
			if damage == "remove" {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, bad, 0o600)
			}
			if err != nil {
				return err
			}
			b, err := backup.Open(t.Context(), store, name(1))
			if err == nil {
				err = fetchAll(t, store, b)
			}
			longer := damage == "grow" && !strings.HasSuffix(path, ".json") // what is behind the end is not read
			if typed := errors.Is(err, backup.ErrCorrupt) || errors.Is(err, backup.ErrMissing) || errors.Is(err, backup.ErrUnfinished); typed == longer {
				t.Errorf("%s of %s: %v", damage, path, err)
			}
			return os.WriteFile(path, whole, 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestBackup_CommitOfHalf wants every group, and all that they name.
func TestBackup_CommitOfHalf(t *testing.T) {
	dir, store := dirStore(t)
	if err := backup.Commit(t.Context(), store, manifest(name(1))); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("of none: %v", err)
	}
	if err := backup.Begin(t.Context(), store, backup.Begun{Name: name(1), ClusterID: cluster, Groups: 2, At: now}); err != nil {
		t.Fatal(err)
	}
	if err := saveGroup(t.Context(), t, store, name(1), 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := backup.Commit(t.Context(), store, manifest(name(1))); !errors.Is(err, backup.ErrMissing) {
		t.Errorf("of one group of two: %v", err)
	}
	if err := saveGroup(t.Context(), t, store, name(1), 1, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "tables")); err != nil {
		t.Fatal(err)
	}
	if err := backup.Commit(t.Context(), store, manifest(name(1))); !errors.Is(err, backup.ErrMissing) {
		t.Errorf("without its tables: %v", err)
	}
	if _, err := backup.Open(t.Context(), store, name(1)); !errors.Is(err, backup.ErrUnfinished) {
		t.Errorf("it is there: %v", err)
	}
	if _, err := backup.Find(t.Context(), store, backup.Latest); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("the latest: %v", err)
	}
}

// TestBackup_RemoveAndSweep: what other backups share stays, what nobody needs goes, and nothing while a backup may be under way.
func TestBackup_RemoveAndSweep(t *testing.T) {
	_, store := dirStore(t)
	for n, table := range map[int]string{1: "", 2: " of another day"} {
		if err := save(t.Context(), t, store, name(n), table); err != nil {
			t.Fatal(err)
		}
	}
	later := now + 1<<40 // the files are as old as this test
	if err := backup.Begin(t.Context(), store, backup.Begun{Name: name(3), ClusterID: cluster, Groups: 2, At: now}); err != nil {
		t.Fatal(err)
	}
	all, err := backup.List(t.Context(), store)
	if err != nil || len(all) != 3 {
		t.Fatal(all, err)
	}
	if _, err := backup.Sweep(t.Context(), store, true, all[2].ModifiedAt+day/2); !errors.Is(err, backup.ErrInProgress) {
		t.Errorf("while one is under way: %v", err)
	}
	for _, id := range []string{name(3), name(1)} {
		if gone, err := backup.Remove(t.Context(), store, id); err != nil || gone.Objects == 0 {
			t.Errorf("remove %s: %+v, %v", id, gone, err)
		}
	}
	if gone, err := backup.Sweep(t.Context(), store, false, later); err != nil || gone.Objects != 1 {
		t.Errorf("the table that only one had: %+v, %v", gone, err)
	}
	b, err := backup.Open(t.Context(), store, name(2))
	if err == nil {
		err = fetchAll(t, store, b)
	}
	if err != nil {
		t.Errorf("the other one: %v", err)
	}
	if gone, err := backup.Sweep(t.Context(), store, true, later); err != nil || gone.Objects != 0 {
		t.Errorf("copies that are needed: %+v, %v", gone, err)
	}
	// A restored cluster archives into the store: its objects are no garbage, nor are those that it reads.
	body := []byte("new")
	key := archive.Key(archive.Info{Cluster: "restored", Group: 0, Term: 3}, sha256.Sum256(body))
	if err := store.Put(t.Context(), key, bytes.NewReader(body), 3); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Remove(t.Context(), store, name(2)); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Sweep(t.Context(), store, true, later); !errors.Is(err, backup.ErrSameStore) {
		t.Errorf("in the archive of a cluster: %v", err)
	}
	if _, err := backup.Remove(t.Context(), store, name(2)); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("again: %v", err)
	}
	if _, err := backup.Remove(t.Context(), store, "../.."); !errors.Is(err, backup.ErrName) {
		t.Errorf("a path: %v", err)
	}
}
