package sequencer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDataDir_SecondProcessIsTurnedAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "n1")
	lock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := lockDir(dir); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("a second lock: %v, %v", second, err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	lock, err = lockDir(dir)
	if err != nil {
		t.Fatalf("a lock after the first was given back: %v", err)
	}
	lock.Close()
}

func TestDataDir_WrongNodeGroupsOrFormatIsTurnedAway(t *testing.T) {
	dir := t.TempDir()
	id, err := claimDir(dir, "n1", 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := id.update(func(f *identityFile) { f.ClusterID, f.Groups = "c", 4 }); err != nil {
		t.Fatal(err)
	}
	again, err := claimDir(dir, "n1", 4, 2)
	if err != nil || again.get().Incarnation != id.get().Incarnation || again.get().ClusterID != "c" {
		t.Fatalf("the same again: %+v, %v", again, err)
	}
	if _, err := claimDir(dir, "n1", 5, 1); err == nil || !strings.Contains(err.Error(), "cluster of 4 groups") {
		t.Errorf("another number of groups: %v", err)
	}
	if _, err := claimDir(dir, "n2", 4, 1); err == nil || !strings.Contains(err.Error(), "data of node n1") {
		t.Errorf("another node: %v", err)
	}
	if other, err := claimDir(t.TempDir(), "n1", 4, 1); err != nil || other.get().Incarnation == id.get().Incarnation {
		t.Errorf("data that is made anew has the old incarnation: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("files left behind: %v, %v", left, err)
	}
	for _, content := range []string{
		`{"format":3,"nodeId":"n1","incarnation":"i","groups":4}`, `{"format":2,"nodeId":"n1"}`, `{"form`, ``,
	} {
		if err := os.WriteFile(filepath.Join(dir, "cluster.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := claimDir(dir, "n1", 4, 1); err == nil {
			t.Errorf("%q passes for a cluster.json", content)
		}
	}
}
