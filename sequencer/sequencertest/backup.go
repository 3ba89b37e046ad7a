package sequencertest

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// Backup saves the cluster that a node belongs to into an object store, as quorate backup does, and gives the backup's name.
func Backup(t testing.TB, client *wire.Client, addr, store string) string {
	t.Helper()
	name := BeginBackup(t, client, addr, store)
	groups, err := client.Groups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var saving sync.WaitGroup
	for g := range groups {
		saving.Go(func() { SaveGroup(t, client, addr, store, name, wire.GroupID(g)) })
	}
	saving.Wait()
	if _, err := client.DoFollow(t.Context(), addr, "BACKUP", "COMMIT", name, "TO", store); err != nil {
		t.Fatalf("commit the backup: %v", err)
	}
	return name
}

// BeginBackup is the first step of a backup.
func BeginBackup(t testing.TB, client *wire.Client, addr, store string) string {
	t.Helper()
	for {
		begun, err := client.DoFollow(t.Context(), addr, "BACKUP", "BEGIN", "TO", store)
		if err == nil {
			return begun.Field("name").Str()
		}
		if !wire.Temporary(err) {
			t.Fatalf("begin a backup: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// SaveGroup is the second step, of one group.
func SaveGroup(t testing.TB, client *wire.Client, addr, store, name string, g wire.GroupID) {
	t.Helper()
	if _, err := client.DoFollow(t.Context(), addr, "BACKUP", "GROUP", strconv.Itoa(int(g)), name, "TO", store); err != nil {
		t.Errorf("save group %d: %v", g, err)
	}
}
